//! `bytea` and `uuid`: bytes written as hexadecimal digits.

use std::borrow::Cow;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::scalar::{Scalar, wrong_type};
use crate::catalog::Codec;
use crate::hyperswitch::{Format, Takes};
use crate::rejection::Rejection;

/// `bytea` as PostgreSQL prints it: `\x` and an even number of hexadecimal digits.
#[derive(Debug)]
pub(super) struct ByteString;

impl Codec for ByteString {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        let expected = "a string like \"\\\\x0aff\", hexadecimal digits after \\x,";
        let text = Scalar::text(json, expected)?;
        let refuse = || wrong_type(format!("{expected} is expected"));
        let digits = text.strip_prefix("\\x").ok_or_else(refuse)?.as_bytes();
        let (pairs, []) = digits.as_chunks::<2>() else {
            return Err(refuse());
        };
        for [high, low] in pairs {
            let (high, low) = (nibble(*high), nibble(*low));
            let (Some(high), Some(low)) = (high, low) else {
                return Err(refuse());
            };
            cell.push(high << 4 | low);
        }
        Ok(())
    }

    fn takes(&self) -> Takes {
        Takes::Only(Format::Bytes)
    }

    fn key_text<'a>(&self, json: &'a RawValue) -> Cow<'a, str> {
        Cow::Owned(crate::catalog::plain_text(json).to_ascii_lowercase())
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// `uuid`, with or without hyphens, in either case.
#[derive(Debug)]
pub(super) struct UniqueId;

impl UniqueId {
    fn read(json: &RawValue) -> Result<Uuid, Rejection> {
        let text = Scalar::text(json, "a string with a UUID")?;
        Uuid::try_parse(&text).map_err(|_unread| wrong_type("the string is no UUID"))
    }
}

impl Codec for UniqueId {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        cell.extend_from_slice(Self::read(json)?.as_bytes());
        Ok(())
    }

    fn takes(&self) -> Takes {
        Takes::Only(Format::Uuid)
    }

    fn key_text<'a>(&self, json: &'a RawValue) -> Cow<'a, str> {
        Self::read(json).map_or(Cow::Borrowed(json.get()), |uuid| {
            Cow::Owned(uuid.as_hyphenated().to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scalar::tests::{encode, key_text, refusal};
    use super::*;
    use crate::rejection::Code;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_survive(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(encode(&ByteString, &format!(r#""\\x{digits}""#)).expect("bytes"), bytes);
        }
    }

    #[test]
    fn half_a_byte_or_another_letter_is_refused() {
        for json in [r#""\\x0""#, r#""\\x0g""#, r#""0a""#, r#""""#, "1"] {
            assert_eq!(refusal(&ByteString, json), Code::WrongType, "{json}");
        }
    }

    #[test]
    fn all_spellings_of_a_uuid_are_one() {
        let plain = r#""A0EEBC999C0B4EF8BB6D6BB9BD380A11""#;
        let hyphenated = r#""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11""#;
        assert_eq!(encode(&UniqueId, plain).expect("a UUID").len(), 16);
        assert_eq!(
            encode(&UniqueId, plain).ok(),
            encode(&UniqueId, hyphenated).ok()
        );
        assert_eq!(
            key_text(&UniqueId, plain),
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
        );
        assert_eq!(refusal(&UniqueId, r#""a0eebc99""#), Code::WrongType);
    }
}
