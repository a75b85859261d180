//! Arrays: JSON arrays, nested ones for more dimensions, as PostgreSQL's text literal `{…}`.
//!
//! They travel as text, not as the binary form of arrays, because `unnest` would take a column of
//! arrays apart down to the elements. Each element is held against its own type's codec first, so
//! that an element is refused for the same reasons as a value of its own.
//!
//! Source: PostgreSQL documentation, "Array Input and Output Syntax".

use std::sync::Arc;

use serde_json::value::RawValue;

use super::scalar::{Scalar, wrong_type};
use crate::catalog::Codec;
use crate::hyperswitch::{Format, Takes};
use crate::rejection::Rejection;

/// A JSON array of elements, or of arrays of them.
#[derive(Debug)]
pub(super) struct Array {
    /// The elements' type.
    pub(super) element: Arc<dyn Codec>,
    /// What stands between two elements: a comma, but for `box`.
    pub(super) delimiter: char,
    /// Whether the elements are JSON values, so that an array inside is an element.
    pub(super) is_of_json: bool,
}

impl Array {
    fn push(&self, json: &RawValue, literal: &mut String) -> Result<(), Rejection> {
        if !json.get().starts_with('[') {
            return Err(Scalar::read(json).refuse("an array"));
        }
        let elements: Vec<&RawValue> = serde_json::from_str(json.get())
            .map_err(|_unread| wrong_type("an array is expected"))?;
        literal.push('{');
        for (index, element) in elements.into_iter().enumerate() {
            if index > 0 {
                literal.push(self.delimiter);
            }
            let text = element.get();
            if text == "null" {
                literal.push_str("NULL");
            } else if text.starts_with('[') && !self.is_of_json {
                // PostgreSQL would take `{{}}` for an array without elements.
                if text.trim_start_matches('[').trim_start().starts_with(']') {
                    return Err(wrong_type("an array inside of an array is empty"));
                }
                self.push(element, literal)?;
            } else {
                self.push_element(element, literal)?;
            }
        }
        literal.push('}');
        Ok(())
    }

    fn push_element(&self, json: &RawValue, literal: &mut String) -> Result<(), Rejection> {
        // The bytes are of no use here; encoding is how a codec checks.
        self.element.encode(json, &mut Vec::new())?;
        literal.push('"');
        match Scalar::read(json) {
            Scalar::Text(text) if !self.is_of_json => push_escaped(&text, literal),
            _ => push_escaped(json.get(), literal),
        }
        literal.push('"');
        Ok(())
    }
}

fn push_escaped(text: &str, literal: &mut String) {
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            literal.push('\\');
        }
        literal.push(character);
    }
}

impl Codec for Array {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        let mut literal = String::with_capacity(json.get().len() + 8);
        self.push(json, &mut literal)?;
        cell.extend_from_slice(literal.as_bytes());
        Ok(())
    }

    fn takes(&self) -> Takes {
        match self.element.takes() {
            Takes::Only(element) => Takes::Only(Format::Array(Arc::new(element))),
            other => other,
        }
    }

    fn is_exact(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::integer::Integer;
    use super::super::json::Json;
    use super::super::scalar::tests::{encode, refusal};
    use super::super::text::{Limit, Text};
    use super::*;
    use crate::rejection::Code;

    fn array(element: impl Codec + 'static) -> Array {
        Array {
            element: Arc::new(element),
            delimiter: ',',
            is_of_json: false,
        }
    }

    fn literal(array: &Array, json: &str) -> String {
        String::from_utf8(encode(array, json).expect(json)).expect("text")
    }

    #[test]
    fn elements_are_quoted_and_null_is_not() {
        let texts = array(Text {
            limit: Limit::None,
            is_exact: true,
            is_padded: false,
        });
        let json = r#"["a", "NULL", null, "", "x\"y\\z", "{1,2}", "é"]"#;
        assert_eq!(
            literal(&texts, json),
            r#"{"a","NULL",NULL,"","x\"y\\z","{1,2}","é"}"#
        );
        assert_eq!(literal(&texts, "[]"), "{}");
        assert_eq!(
            literal(&array(Integer::Four), "[[1,2],[3,null]]"),
            r#"{{"1","2"},{"3",NULL}}"#
        );
    }

    #[test]
    fn an_array_inside_an_array_of_json_is_an_element() {
        let mut documents = array(Json::Binary);
        documents.is_of_json = true;
        let json = r#"[[1,2],{"a":"b"},"c"]"#;
        assert_eq!(
            literal(&documents, json),
            r#"{"[1,2]","{\"a\":\"b\"}","\"c\""}"#
        );
    }

    #[test]
    fn elements_are_refused_as_values_are() {
        let numbers = array(Integer::Two);
        assert_eq!(refusal(&numbers, "[1, 70000]"), Code::OutOfRange);
        for json in ["[1, \"x\"]", "1", "{}", "\"{1,2}\"", "[[]]", "[[1],[ ]]"] {
            assert_eq!(refusal(&numbers, json), Code::WrongType, "{json}");
        }
    }
}
