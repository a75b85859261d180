//! `float4`, `float8`: IEEE 754, big-endian.

use serde_json::value::RawValue;

use super::scalar::{Scalar, out_of_range, wrong_type};
use crate::catalog::Codec;
use crate::hyperswitch::{Format, Takes};
use crate::rejection::Rejection;

/// A JSON number, a string that holds one, or `"NaN"`, `"Infinity"`, `"-Infinity"`.
///
/// The nearest float is taken, as the database itself would; a number that would become infinite
/// or zero is refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Float {
    /// `float4`.
    Single,
    /// `float8`.
    Double,
}

impl Codec for Float {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        let text = Scalar::number(json, "a number")?;
        match self {
            Self::Single => {
                let value = match special(&text) {
                    Some(Special::NotANumber) => f32::NAN,
                    Some(Special::Infinity) => f32::INFINITY,
                    Some(Special::MinusInfinity) => f32::NEG_INFINITY,
                    None => {
                        let value: f32 = text.parse().map_err(|_unread| no_number())?;
                        check(&text, value.is_infinite(), value == 0.0)?;
                        value
                    }
                };
                cell.extend_from_slice(&value.to_be_bytes());
            }
            Self::Double => {
                let value = match special(&text) {
                    Some(Special::NotANumber) => f64::NAN,
                    Some(Special::Infinity) => f64::INFINITY,
                    Some(Special::MinusInfinity) => f64::NEG_INFINITY,
                    None => {
                        let value: f64 = text.parse().map_err(|_unread| no_number())?;
                        check(&text, value.is_infinite(), value == 0.0)?;
                        value
                    }
                };
                cell.extend_from_slice(&value.to_be_bytes());
            }
        }
        Ok(())
    }

    fn takes(&self) -> Takes {
        Takes::Only(match self {
            Self::Single => Format::Single,
            Self::Double => Format::Double,
        })
    }

    fn is_exact(&self) -> bool {
        // 0 and -0 are equal to the database and differ in their bytes.
        false
    }
}

enum Special {
    NotANumber,
    Infinity,
    MinusInfinity,
}

fn special(text: &str) -> Option<Special> {
    match text {
        "NaN" => Some(Special::NotANumber),
        "Infinity" => Some(Special::Infinity),
        "-Infinity" => Some(Special::MinusInfinity),
        _ => None,
    }
}

/// Refuses what Rust's parser takes and JSON doesn't know (`inf`), and what left the float's range.
fn check(text: &str, is_infinite: bool, is_zero: bool) -> Result<(), Rejection> {
    let is_digit_of_mantissa = |c: char| c.is_ascii_digit() && c != '0';
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    if text.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) {
        return Err(no_number());
    }
    if is_infinite || is_zero && mantissa.contains(is_digit_of_mantissa) {
        return Err(out_of_range(
            "the number is too large or too small for the column's float",
        ));
    }
    Ok(())
}

fn no_number() -> Rejection {
    wrong_type("a number, \"NaN\", \"Infinity\" or \"-Infinity\" is expected")
}

#[cfg(test)]
mod tests {
    use super::super::scalar::tests::{encode, refusal};
    use super::*;
    use crate::rejection::Code;
    use proptest::prelude::*;

    #[test]
    fn beyond_the_range_is_refused() {
        for json in ["1e400", "-1e400", "1e-400", "\"1e-400\""] {
            assert_eq!(refusal(&Float::Double, json), Code::OutOfRange, "{json}");
        }
        assert_eq!(refusal(&Float::Single, "1e39"), Code::OutOfRange);
        assert_eq!(refusal(&Float::Single, "1e-46"), Code::OutOfRange);
        assert_eq!(
            encode(&Float::Double, "0e-400").expect("zero"),
            0_f64.to_be_bytes()
        );
    }

    #[test]
    fn only_the_databases_own_words_are_special() {
        assert_eq!(
            encode(&Float::Double, "\"-Infinity\"").expect("a word"),
            f64::NEG_INFINITY.to_be_bytes()
        );
        for json in [
            "\"inf\"",
            "\"infinity\"",
            "\"nan\"",
            "\"\"",
            "\"x\"",
            "true",
        ] {
            assert_eq!(refusal(&Float::Double, json), Code::WrongType, "{json}");
        }
    }

    proptest! {
        #[test]
        fn floats_survive(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            let cell = encode(&Float::Double, &format!("{value:e}")).expect("a float");
            prop_assert_eq!(cell, value.to_be_bytes());
        }
    }
}
