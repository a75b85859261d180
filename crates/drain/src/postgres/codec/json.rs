//! `json` and `jsonb`: the JSON text as it was sent, and for `jsonb` a version byte before it.

use serde_json::value::RawValue;

use super::scalar::has_nul;
use crate::catalog::Codec;
use crate::hyperswitch::{Format, Takes};
use crate::rejection::Rejection;

/// The only version of `jsonb`'s wire format.
const JSONB_VERSION: u8 = 1;

/// Any JSON value; the value `null` itself is SQL's NULL.
#[derive(Clone, Copy, Debug)]
pub(super) enum Json {
    /// `json`, kept to the letter.
    Text,
    /// `jsonb`.
    Binary,
}

impl Codec for Json {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        if let Self::Binary = self {
            if has_escaped_nul(json.get()) {
                return Err(has_nul());
            }
            cell.push(JSONB_VERSION);
        }
        cell.extend_from_slice(json.get().as_bytes());
        Ok(())
    }

    fn takes(&self) -> Takes {
        Takes::Only(match self {
            Self::Text => Format::Json,
            Self::Binary => Format::Jsonb,
        })
    }

    fn is_exact(&self) -> bool {
        // `{"a":1}` and `{"a": 1}` are equal to the database.
        false
    }
}

/// Whether a string in the JSON text has the escape of U+0000; `\\u0000` is a backslash and text.
pub(super) fn has_escaped_nul(text: &str) -> bool {
    text.match_indices("\\u0000").any(|(at, _)| {
        let before = text.as_bytes().get(..at).unwrap_or_default();
        before
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count()
            % 2
            == 0
    })
}

#[cfg(test)]
mod tests {
    use super::super::scalar::tests::{encode, refusal};
    use super::*;
    use crate::rejection::Code;

    #[test]
    fn the_text_is_kept_to_the_letter() {
        let json = r#"{ "a": 1.10, "b": [null, "\u0000"] }"#;
        assert_eq!(encode(&Json::Text, json).expect("json"), json.as_bytes());
        assert_eq!(encode(&Json::Binary, "1.10").expect("jsonb"), b"\x011.10");
    }

    #[test]
    fn jsonb_refuses_nul_and_only_nul() {
        assert_eq!(
            refusal(&Json::Binary, r#"{"a":"\u0000"}"#),
            Code::OutOfRange
        );
        assert_eq!(refusal(&Json::Binary, r#""\\\u0000""#), Code::OutOfRange);
        assert!(encode(&Json::Binary, r#""\\u0000""#).is_ok());
    }
}
