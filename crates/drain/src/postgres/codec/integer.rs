//! `int2`, `int4`, `int8`: two's complement, big-endian.

use std::borrow::Cow;
use std::num::IntErrorKind;

use serde_json::value::RawValue;

use super::scalar::{Scalar, out_of_range, wrong_type};
use crate::catalog::Codec;
use crate::hyperswitch::{Format, Takes};
use crate::rejection::Rejection;

/// A JSON integer or a string of digits, within the type's range. `1.0` and `1e3` are no integers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Integer {
    /// `int2`.
    Two,
    /// `int4`.
    Four,
    /// `int8`.
    Eight,
}

impl Integer {
    fn read(self, json: &RawValue) -> Result<i64, Rejection> {
        let text = Scalar::number(json, "an integer")?;
        text.parse()
            .map_err(|error: std::num::ParseIntError| match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => self.refuse_range(),
                _ => wrong_type("an integer is expected, written with digits only"),
            })
    }

    fn refuse_range(self) -> Rejection {
        let range = match self {
            Self::Two => "-32768 to 32767",
            Self::Four => "-2147483648 to 2147483647",
            Self::Eight => "-9223372036854775808 to 9223372036854775807",
        };
        out_of_range(format!("the integer is outside of {range}"))
    }
}

impl Codec for Integer {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        let value = self.read(json)?;
        match self {
            Self::Two => {
                let value = i16::try_from(value).map_err(|_beyond| self.refuse_range())?;
                cell.extend_from_slice(&value.to_be_bytes());
            }
            Self::Four => {
                let value = i32::try_from(value).map_err(|_beyond| self.refuse_range())?;
                cell.extend_from_slice(&value.to_be_bytes());
            }
            Self::Eight => cell.extend_from_slice(&value.to_be_bytes()),
        }
        Ok(())
    }

    fn takes(&self) -> Takes {
        Takes::Only(Format::Integer(match self {
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }))
    }

    fn key_text<'a>(&self, json: &'a RawValue) -> Cow<'a, str> {
        self.read(json).map_or(Cow::Borrowed(json.get()), |value| {
            Cow::Owned(value.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scalar::tests::{encode, key_text, refusal};
    use super::*;
    use crate::rejection::Code;
    use proptest::prelude::*;

    #[test]
    fn beyond_the_range_is_refused() {
        for (codec, json) in [
            (Integer::Two, "32768"),
            (Integer::Four, "-2147483649"),
            (Integer::Eight, "9223372036854775808"),
            (Integer::Eight, "\"123456789012345678901234567890\""),
        ] {
            assert_eq!(refusal(&codec, json), Code::OutOfRange, "{json}");
        }
    }

    #[test]
    fn what_is_no_integer_is_refused() {
        for json in ["1.0", "1e3", "\"\"", "\" 1\"", "\"1x\"", "true", "[1]"] {
            assert_eq!(refusal(&Integer::Eight, json), Code::WrongType, "{json}");
        }
    }

    #[test]
    fn all_spellings_of_a_number_have_one_key_text() {
        for json in ["7", "\"7\"", "\"007\"", "\"+7\""] {
            assert_eq!(key_text(&Integer::Four, json), "7");
        }
        assert_eq!(key_text(&Integer::Four, "-0"), "0");
    }

    proptest! {
        #[test]
        fn integers_are_exact(value in any::<i64>(), small in any::<i16>()) {
            prop_assert_eq!(encode(&Integer::Eight, &value.to_string()).expect("int8"), value.to_be_bytes());
            prop_assert_eq!(encode(&Integer::Two, &format!("\"{small}\"")).expect("int2"), small.to_be_bytes());
        }
    }
}
