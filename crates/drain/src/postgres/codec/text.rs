//! `text`, `varchar(n)`, `char(n)`, `name`, `citext`: the bytes of the string.
//!
//! A text that is too long is refused and never cut, not even where only blanks would go.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::scalar::{Scalar, has_nul, too_long, wrong_type};
use crate::catalog::{Codec, plain_text};
use crate::hyperswitch::{Format, Takes};
use crate::rejection::Rejection;

/// How much text a column holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// As much as an entry can have.
    None,
    /// So many characters.
    Characters(usize),
    /// So many bytes.
    Bytes(usize),
}

/// JSON strings only: a number in a text column is a mistake of the sender.
#[derive(Debug)]
pub(super) struct Text {
    /// The column's length.
    pub(super) limit: Limit,
    /// Whether two texts are equal to the database only when their bytes are.
    pub(super) is_exact: bool,
    /// Whether blanks at the end mean nothing, as in a `char(n)`.
    pub(super) is_padded: bool,
}

impl Codec for Text {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        let text = Scalar::text(json, "a string")?;
        // JSON has no such character but as an escape, and what has no escapes is borrowed.
        if let Cow::Owned(text) = &text
            && text.as_bytes().contains(&0)
        {
            return Err(has_nul());
        }
        let text = if self.is_padded {
            text.trim_end_matches(' ')
        } else {
            &*text
        };
        match self.limit {
            // A character has at least one byte, so short texts need no counting.
            Limit::Characters(max) if text.len() > max && text.chars().count() > max => {
                return Err(too_long(format!("the text has more than {max} characters")));
            }
            Limit::Bytes(max) if text.len() > max => {
                return Err(too_long(format!("the text has more than {max} bytes")));
            }
            _ => cell.extend_from_slice(text.as_bytes()),
        }
        Ok(())
    }

    fn takes(&self) -> Takes {
        Takes::Only(Format::Text)
    }

    fn is_exact(&self) -> bool {
        self.is_exact
    }

    fn key_text<'a>(&self, json: &'a RawValue) -> Cow<'a, str> {
        let text = plain_text(json);
        match text.ends_with(' ') && self.is_padded {
            true => Cow::Owned(text.trim_end_matches(' ').to_owned()),
            false => text,
        }
    }
}

/// An enum: one of its labels.
#[derive(Debug)]
pub(super) struct Label {
    /// All labels, in the enum's order.
    pub(super) labels: Vec<String>,
}

/// How many labels a reason lists at most.
const LISTED_LABELS_MAX: usize = 20;

impl Codec for Label {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        let text = Scalar::text(json, "a string with one of the enum's labels")?;
        if !self.labels.iter().any(|label| *label == text) {
            let listed: Vec<_> = self
                .labels
                .iter()
                .take(LISTED_LABELS_MAX)
                .map(String::as_str)
                .collect();
            let more = if self.labels.len() > LISTED_LABELS_MAX {
                ", …"
            } else {
                ""
            };
            return Err(wrong_type(format!(
                "the enum has no such label; it has {}{more}",
                listed.join(", ")
            )));
        }
        cell.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn takes(&self) -> Takes {
        Takes::Only(Format::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scalar::tests::{encode, key_text, refusal};
    use super::*;
    use crate::rejection::Code;

    fn text(limit: Limit) -> Text {
        Text {
            limit,
            is_exact: true,
            is_padded: false,
        }
    }

    #[test]
    fn blanks_at_the_end_of_a_char_mean_nothing() {
        let currency = Text {
            limit: Limit::Characters(3),
            is_exact: true,
            is_padded: true,
        };
        assert_eq!(
            encode(&currency, "\"EU  \"").expect("two characters"),
            b"EU"
        );
        assert_eq!(
            encode(&currency, "\"EUR \"").expect("three characters"),
            b"EUR"
        );
        assert_eq!(key_text(&currency, "\"EU \""), "EU");
        assert_eq!(refusal(&currency, "\"EURO\""), Code::OutOfRange);
    }

    #[test]
    fn length_is_counted_in_characters_and_nothing_is_cut() {
        let three = text(Limit::Characters(3));
        assert_eq!(
            encode(&three, "\"äöü\"").expect("three characters"),
            "äöü".as_bytes()
        );
        assert_eq!(refusal(&three, "\"abcd\""), Code::OutOfRange);
        assert_eq!(refusal(&three, "\"abc \""), Code::OutOfRange);
        assert_eq!(refusal(&text(Limit::Bytes(3)), "\"äö\""), Code::OutOfRange);
    }

    #[test]
    fn only_strings_without_nul_are_text() {
        let any = text(Limit::None);
        assert_eq!(encode(&any, r#""a\u0041\n""#).expect("text"), b"aA\n");
        assert_eq!(refusal(&any, r#""a\u0000""#), Code::OutOfRange);
        for json in ["1", "true", "{}", "[]", r#""\udc00""#] {
            assert_eq!(refusal(&any, json), Code::WrongType, "{json}");
        }
    }

    #[test]
    fn an_unknown_label_is_refused_with_the_known_ones() {
        let mood = Label {
            labels: vec!["sad".to_owned(), "ok".to_owned()],
        };
        assert_eq!(encode(&mood, "\"ok\"").expect("a label"), b"ok");
        let rejection = encode(&mood, "\"Ok\"").expect_err("another case");
        assert!(rejection.reason.contains("sad, ok"), "{rejection}");
    }
}
