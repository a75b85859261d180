//! Decimal numbers of any length, read from their text without a float in between.

use std::fmt;

/// A finite decimal number: its digits where they stand in the text, and where the point is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    /// Whether it is below zero.
    pub(super) is_negative: bool,
    /// The digits before the point as written, leading zeros included.
    whole: &'a [u8],
    /// The digits after the point as written.
    fraction: &'a [u8],
    /// The power of ten behind the `e`, or 0.
    exponent: i64,
    /// The index of the first and of the last digit that is not zero; none for zero itself.
    significant: Option<(usize, usize)>,
}

/// An exponent beyond this is beyond every number that PostgreSQL holds.
const EXPONENT_MAX: i64 = 1_000_000;

impl<'a> Decimal<'a> {
    /// Reads a number as JSON or SQL write it; none for any other text.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (is_negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..)?),
            Some(b'+') => (false, text.get(1..)?),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let (whole, fraction) = (whole.as_bytes(), fraction.as_bytes());
        let is_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let is_significant = |digit: &u8| *digit != b'0';
        let mut digits = whole.iter().chain(fraction);
        let significant = digits.position(is_significant).and_then(|first| {
            let mut digits = whole.iter().chain(fraction).rev();
            let trailing = digits.position(is_significant)?;
            Some((first, whole.len() + fraction.len() - 1 - trailing))
        });
        // There is no negative zero in a NUMERIC.
        let is_negative = is_negative && significant.is_some();
        Some(Self {
            is_negative,
            whole,
            fraction,
            exponent,
            significant,
        })
    }

    /// The powers of ten of the first and the last digit that is not zero; none for zero.
    pub(super) fn powers(&self) -> Option<(i64, i64)> {
        let (first, last) = self.significant?;
        Some((self.power_of(first), self.power_of(last)))
    }

    /// How many digits after the point the number is written with.
    pub(super) fn written_scale(&self) -> i64 {
        (length(self.fraction) - self.exponent).max(0)
    }

    /// The digits from the first to the last that is not zero, each 0 to 9.
    pub(super) fn digits(&self) -> impl Iterator<Item = u8> + 'a {
        let (skip, take) = self
            .significant
            .map_or((0, 0), |(first, last)| (first, last + 1 - first));
        self.whole
            .iter()
            .chain(self.fraction)
            .skip(skip)
            .take(take)
            .map(|digit| digit - b'0')
    }

    fn power_of(&self, index: usize) -> i64 {
        length(self.whole) + self.exponent - 1 - i64::try_from(index).unwrap_or(i64::MAX / 2)
    }
}

fn length(digits: &[u8]) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX / 2)
}

/// Exponents too large for any number are all the same to us.
fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(EXPONENT_MAX).min(EXPONENT_MAX);
    Some(if text.starts_with('-') { -size } else { size })
}

/// The powers of ten between which a number is shown without an exponent.
const PLAIN_POWERS: std::ops::Range<i64> = -40..40;

/// One text for all spellings of a number: `1.50`, `15e-1` and `+1.5` are all `1.5`.
impl fmt::Display for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, last)) = self.powers() else {
            return f.write_str("0");
        };
        if self.is_negative {
            f.write_str("-")?;
        }
        if !PLAIN_POWERS.contains(&first) || !PLAIN_POWERS.contains(&last) {
            self.digits().try_for_each(|digit| write!(f, "{digit}"))?;
            return write!(f, "e{last}");
        }
        if first < 0 {
            f.write_str("0.")?;
            (first + 1..0).try_for_each(|_zero| f.write_str("0"))?;
        }
        for (power, digit) in (last..=first).rev().zip(self.digits()) {
            if power == -1 && first >= 0 {
                f.write_str(".")?;
            }
            write!(f, "{digit}")?;
        }
        (0..last).try_for_each(|_zero| f.write_str("0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_number_are_shown_alike() {
        for (text, shown) in [
            ("1.50", "1.5"),
            ("15e-1", "1.5"),
            ("+0001.5000", "1.5"),
            ("-0.0", "0"),
            ("0e999999999999", "0"),
            ("1200", "1200"),
            ("12E2", "1200"),
            ("-0.00120", "-0.0012"),
            (".5", "0.5"),
            ("5.", "5"),
            ("10.01", "10.01"),
            ("1e50", "1e50"),
            ("12e-60", "12e-60"),
        ] {
            assert_eq!(
                Decimal::parse(text).expect(text).to_string(),
                shown,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in [
            "", "-", ".", "1e", "1e+", "0x1", "1_0", "NaN", "1 ", "1.2.3", "--1", "e5",
        ] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_scale_is_that_of_the_text() {
        for (text, scale) in [
            ("1", 0),
            ("1.50", 2),
            ("1.5e-3", 4),
            ("1.50e1", 1),
            ("1e5", 0),
        ] {
            assert_eq!(
                Decimal::parse(text).expect(text).written_scale(),
                scale,
                "{text}"
            );
        }
    }
}
