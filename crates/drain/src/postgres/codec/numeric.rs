//! `numeric` and `numeric(p, s)`: exact, to the last digit, or refused.
//!
//! The cell is what `numeric_send` writes: the number of base-10000 digits, the weight of the
//! first, the sign, the display scale, then the digits, all 16 bit. A number with more digits
//! after the point than the column keeps would be rounded by the database in silence, so it is
//! refused here; zeros at the end don't count.
//!
//! Source: PostgreSQL, `src/backend/utils/adt/numeric.c`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::decimal::Decimal;
use super::scalar::{Scalar, out_of_range, wrong_type};
use crate::catalog::{Codec, plain_text};
use crate::hyperswitch::{Format, Takes};
use crate::rejection::Rejection;

const SIGN_PLUS: u16 = 0x0000;
const SIGN_MINUS: u16 = 0x4000;
const SIGN_NAN: u16 = 0xC000;
const SIGN_INFINITY: u16 = 0xD000;
const SIGN_MINUS_INFINITY: u16 = 0xF000;

/// The most digits after the point that PostgreSQL keeps anywhere.
const SCALE_MAX: i64 = 16_383;
/// Decimal digits in one digit of the wire format.
const GROUP: i64 = 4;

/// A JSON number, or a string with one, or `"NaN"`, `"Infinity"`, `"-Infinity"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numeric {
    /// Precision and scale, where the column has them.
    bounds: Option<Bounds>,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    precision: i64,
    /// May be negative since PostgreSQL 15: then the last digits before the point are zeros.
    scale: i64,
}

impl Numeric {
    /// From the column's type modifier.
    pub(super) fn new(typmod: i32) -> Self {
        let bounds = (typmod >= 4).then(|| {
            let packed = i64::from(typmod - 4);
            // The scale is a signed number of 11 bits.
            Bounds {
                precision: packed >> 16 & 0xffff,
                scale: (packed & 0x7ff ^ 0x400) - 0x400,
            }
        });
        Self { bounds }
    }

    fn encode_finite(self, decimal: Decimal<'_>, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        let scale = self
            .bounds
            .map_or(decimal.written_scale(), |bounds| bounds.scale.max(0));
        let beyond = || out_of_range("the number has more digits than PostgreSQL can store");
        let scale = u16::try_from(scale)
            .ok()
            .filter(|scale| i64::from(*scale) <= SCALE_MAX);
        let scale = scale.ok_or_else(beyond)?;
        let Some((first, last)) = decimal.powers() else {
            push_header(cell, 0, 0, SIGN_PLUS, scale);
            return Ok(());
        };
        self.check(first, last)?;
        let weight = first.div_euclid(GROUP);
        let groups = weight - last.div_euclid(GROUP) + 1;
        let sign = if decimal.is_negative {
            SIGN_MINUS
        } else {
            SIGN_PLUS
        };
        match (u16::try_from(groups), i16::try_from(weight)) {
            (Ok(groups), Ok(weight)) => push_header(cell, groups, weight, sign, scale),
            _ => return Err(beyond()),
        }
        let mut group = 0_u16;
        let mut power = first;
        for digit in decimal.digits() {
            group = group * 10 + u16::from(digit);
            if power.rem_euclid(GROUP) == 0 {
                cell.extend_from_slice(&group.to_be_bytes());
                group = 0;
            }
            power -= 1;
        }
        // The last group is filled up with zeros on its right.
        let missing = last.rem_euclid(GROUP);
        if missing > 0 {
            (0..missing).for_each(|_zero| group *= 10);
            cell.extend_from_slice(&group.to_be_bytes());
        }
        Ok(())
    }

    fn check(self, first: i64, last: i64) -> Result<(), Rejection> {
        let Some(Bounds { precision, scale }) = self.bounds else {
            return Ok(());
        };
        if last < -scale {
            return Err(out_of_range(format!(
                "the number would be rounded: numeric({precision},{scale}) keeps {scale} digits \
                 after the point"
            )));
        }
        if first >= precision - scale {
            return Err(out_of_range(format!(
                "the number is too large: numeric({precision},{scale}) keeps {} digits before \
                 the point",
                precision - scale
            )));
        }
        Ok(())
    }
}

fn push_header(cell: &mut Vec<u8>, groups: u16, weight: i16, sign: u16, scale: u16) {
    cell.extend_from_slice(&groups.to_be_bytes());
    cell.extend_from_slice(&weight.to_be_bytes());
    cell.extend_from_slice(&sign.to_be_bytes());
    cell.extend_from_slice(&scale.to_be_bytes());
}

impl Codec for Numeric {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        let text = Scalar::number(json, "a number")?;
        if let Some(decimal) = Decimal::parse(&text) {
            return self.encode_finite(decimal, cell);
        }
        let sign = match &*text {
            "NaN" => SIGN_NAN,
            "Infinity" => SIGN_INFINITY,
            "-Infinity" => SIGN_MINUS_INFINITY,
            _ => return Err(wrong_type("a decimal number is expected")),
        };
        if self.bounds.is_some() && sign != SIGN_NAN {
            return Err(out_of_range(
                "a numeric with a precision can't hold an infinity",
            ));
        }
        push_header(cell, 0, 0, sign, 0);
        Ok(())
    }

    fn takes(&self) -> Takes {
        Takes::Only(Format::Numeric)
    }

    fn is_exact(&self) -> bool {
        // Without a fixed scale 1.5 and 1.50 are equal to the database and differ in their bytes.
        self.bounds.is_some()
    }

    fn key_text<'a>(&self, json: &'a RawValue) -> Cow<'a, str> {
        let text = plain_text(json);
        match Decimal::parse(&text) {
            Some(decimal) => Cow::Owned(decimal.to_string()),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scalar::tests::{encode, key_text, refusal};
    use super::*;
    use crate::rejection::Code;
    use proptest::prelude::*;

    fn bounded(precision: i32, scale: i32) -> Numeric {
        Numeric::new((precision << 16 | scale & 0x7ff) + 4)
    }

    /// Reads a cell back as digits and a power of ten, the slow and obvious way.
    fn decode(cell: &[u8]) -> (i128, i64) {
        let word = |at: usize| u16::from_be_bytes([cell[at * 2], cell[at * 2 + 1]]);
        let groups = usize::from(word(0));
        let weight = i64::from(i16::from_be_bytes([cell[2], cell[3]]));
        let value = (0..groups).fold(0, |sum, at| sum * 10_000 + i128::from(word(4 + at)));
        let power = (weight + 1 - i64::try_from(groups).expect("few")) * 4;
        (if word(2) == SIGN_MINUS { -value } else { value }, power)
    }

    #[test]
    fn a_number_that_would_be_rounded_is_refused() {
        let money = bounded(10, 2);
        for json in ["1.001", "\"0.005\"", "1e-3", "123456789", "1e8"] {
            assert_eq!(refusal(&money, json), Code::OutOfRange, "{json}");
        }
        for json in [
            "1.1000",
            "99999999.99",
            "-1e7",
            "\"12.30\"",
            "0",
            "0.00000",
            "\"NaN\"",
        ] {
            assert!(encode(&money, json).is_ok(), "{json}");
        }
    }

    #[test]
    fn a_negative_scale_asks_for_zeros() {
        let hundreds = bounded(3, -2);
        assert!(encode(&hundreds, "12300").is_ok() && encode(&hundreds, "1.2e3").is_ok());
        for json in ["12350", "100000", "0.5"] {
            assert_eq!(refusal(&hundreds, json), Code::OutOfRange, "{json}");
        }
    }

    #[test]
    fn equal_numbers_of_a_bounded_column_have_equal_cells() {
        let money = bounded(38, 10);
        let cell = encode(&money, "1.5").expect("a number");
        for json in ["1.50", "\"+1.5000000000\"", "15e-1", "0.0015E+3"] {
            assert_eq!(encode(&money, json).expect(json), cell, "{json}");
            assert_eq!(key_text(&money, json), "1.5");
        }
        assert!(money.is_exact() && !Numeric::new(-1).is_exact());
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for json in ["\"\"", "\"1,5\"", "\"0x1\"", "true", "{}", "\"nan\""] {
            assert_eq!(refusal(&Numeric::new(-1), json), Code::WrongType, "{json}");
        }
        assert_eq!(refusal(&bounded(5, 0), "\"Infinity\""), Code::OutOfRange);
        assert_eq!(refusal(&Numeric::new(-1), "1e131072"), Code::OutOfRange);
        assert!(encode(&Numeric::new(-1), "1e131071").is_ok());
        assert_eq!(refusal(&Numeric::new(-1), "1e-16384"), Code::OutOfRange);
    }

    proptest! {
        #[test]
        fn numbers_are_exact(digits in -10_i128.pow(30)..10_i128.pow(30), power in -20..20_i64) {
            let cell = encode(&Numeric::new(-1), &format!("{digits}e{power}")).expect("a number");
            let (value, cell_power) = decode(&cell);
            // Both are brought to the lower power of ten before they are compared.
            let low = power.min(cell_power).max(-40);
            let scaled = |value: i128, power: i64| -> String {
                if value == 0 { return "0".to_owned() }
                format!("{value}{}", "0".repeat(usize::try_from(power - low).expect("not below")))
            };
            prop_assert_eq!(scaled(value, cell_power.max(low)), scaled(digits, power));
        }
    }
}
