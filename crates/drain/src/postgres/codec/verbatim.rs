//! Types without a codec of their own (`interval`, `inet`, ranges, `bit`, `xml`, `hstore`, composite
//! types, …): the text goes to the server as it is, and the server reads it.
//!
//! A value that the server can't read is refused by the server, in its turn. What it would read
//! and round in silence is refused here.

use serde_json::value::RawValue;

use super::scalar::{Scalar, has_nul, out_of_range, too_long};
use crate::catalog::Codec;
use crate::hyperswitch::{Format, Takes};
use crate::rejection::Rejection;

/// What a type's input function would drop without a word.
#[derive(Clone, Copy, Debug)]
pub(super) enum Drops {
    /// Nothing.
    Nothing,
    /// Digits after a point beyond this number.
    FractionBeyond(usize),
    /// Bytes beyond this number.
    BytesBeyond(usize),
}

/// A string, or a number's text.
#[derive(Debug)]
pub(super) struct Verbatim {
    /// What is refused lest it be dropped.
    pub(super) drops: Drops,
    /// The type's binary form, where it can be read.
    pub(super) format: Option<Format>,
}

impl Codec for Verbatim {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        let text = Scalar::number(json, "a string in the type's own notation")?;
        if text.as_bytes().contains(&0) {
            return Err(has_nul());
        }
        match self.drops {
            Drops::FractionBeyond(max) if has_longer_fraction(&text, max) => {
                return Err(out_of_range(format!(
                    "the value would be rounded: the column keeps {max} digits after the point"
                )));
            }
            Drops::BytesBeyond(max) if text.len() > max => {
                return Err(too_long(format!("the text has more than {max} bytes")));
            }
            _ => cell.extend_from_slice(text.as_bytes()),
        }
        Ok(())
    }

    fn takes(&self) -> Takes {
        match &self.format {
            Some(format) => Takes::Only(format.clone()),
            None => Takes::Nothing,
        }
    }

    fn is_exact(&self) -> bool {
        // `1 day` and `24:00:00`, `::1` and `0::1`: equality is known to the server alone.
        false
    }
}

/// Whether a point is followed by more than `max` digits that are not all zeros from there on.
fn has_longer_fraction(text: &str, max: usize) -> bool {
    text.split('.').skip(1).any(|after| {
        let digits = after.bytes().take_while(u8::is_ascii_digit);
        digits.skip(max).any(|digit| digit != b'0')
    })
}

#[cfg(test)]
mod tests {
    use super::super::scalar::tests::{encode, refusal};
    use super::*;
    use crate::rejection::Code;

    #[test]
    fn the_text_is_passed_on_as_it_is() {
        let any = Verbatim {
            drops: Drops::Nothing,
            format: None,
        };
        assert_eq!(encode(&any, "\"10.0.0.0/8\"").expect("text"), b"10.0.0.0/8");
        assert_eq!(encode(&any, "12.50").expect("a number"), b"12.50");
        assert_eq!(refusal(&any, "true"), Code::WrongType);
        assert_eq!(refusal(&any, r#""\u0000""#), Code::OutOfRange);
    }

    #[test]
    fn what_the_server_would_drop_is_refused() {
        let interval = Verbatim {
            drops: Drops::FractionBeyond(3),
            format: None,
        };
        for json in ["\"1.0001 seconds\"", "\"1.5 days 00:00:00.12345\""] {
            assert_eq!(refusal(&interval, json), Code::OutOfRange, "{json}");
        }
        for json in ["\"1.500 seconds\"", "\"1.5000000 h\"", "\"1 day\""] {
            assert!(encode(&interval, json).is_ok(), "{json}");
        }
        let one = Verbatim {
            drops: Drops::BytesBeyond(1),
            format: None,
        };
        assert_eq!(refusal(&one, "\"ab\""), Code::OutOfRange);
    }
}
