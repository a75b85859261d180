//! `bool`: one byte.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::scalar::{Scalar, wrong_type};
use crate::catalog::Codec;
use crate::hyperswitch::{Format, Takes};
use crate::rejection::Rejection;

/// `true` and `false`, or the strings `t`, `f`, `true`, `false`.
#[derive(Debug)]
pub(super) struct Boolean;

impl Codec for Boolean {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        cell.push(u8::from(read(json)?));
        Ok(())
    }

    fn takes(&self) -> Takes {
        Takes::Only(Format::Boolean)
    }

    fn key_text<'a>(&self, json: &'a RawValue) -> Cow<'a, str> {
        Cow::Borrowed(match read(json) {
            Ok(true) => "true",
            Ok(false) => "false",
            Err(_) => json.get(),
        })
    }
}

fn read(json: &RawValue) -> Result<bool, Rejection> {
    match Scalar::read(json) {
        Scalar::Bool(value) => Ok(value),
        Scalar::Text(text) => match &*text {
            "t" | "true" => Ok(true),
            "f" | "false" => Ok(false),
            _ => Err(wrong_type(
                "the string is none of \"true\", \"false\", \"t\" and \"f\"",
            )),
        },
        other => Err(other.refuse("true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scalar::tests::{encode, key_text, refusal};
    use super::*;
    use crate::rejection::Code;

    #[test]
    fn only_true_and_false_are_booleans() {
        for json in ["true", "\"t\"", "\"true\""] {
            assert_eq!(encode(&Boolean, json).expect(json), [1]);
            assert_eq!(key_text(&Boolean, json), "true");
        }
        assert_eq!(encode(&Boolean, "\"f\"").expect("a boolean"), [0]);
        for json in ["1", "0", "\"yes\"", "[]", "\"\""] {
            assert_eq!(refusal(&Boolean, json), Code::WrongType, "{json}");
        }
    }
}
