//! A key as Python's `repr` writes it, which is what runnel hashes.
//!
//! Between a record's key and its partition: the same key must give the same text here and in a
//! Python producer, or one order's events end up in two partitions. A record in Rust and its
//! counterpart in Python should give the key the same type, since `7` and `"7"` are two keys.
//!
//! One thing can't be copied: runnel remembers the hash of keys that Python holds for equal, so a
//! Python process that uses `1`, `1.0` and `True` as keys of one program gives all three the
//! partition of the first. Keys of one stream are of one type, so this is without effect.
//!
//! Pure: there is nothing here that a crash could interrupt.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use uuid::Uuid;

use super::printable::is_printable;

/// From this decimal exponent on, `repr` writes a float with an exponent.
const EXPONENT_FROM: i32 = 16;
/// Below this decimal exponent it does so as well.
const EXPONENT_BELOW: i32 = -4;

/// A value that has a counterpart in Python and can be a key.
///
/// # Examples
/// ```
/// use tidegate_streams::record::python_repr;
///
/// assert_eq!(python_repr(&42_u64), "42");
/// assert_eq!(python_repr("it's"), "\"it's\"");
/// assert_eq!(python_repr(&true), "True");
/// assert_eq!(python_repr(&1e16), "1e+16");
/// ```
pub trait PythonRepr {
    /// Writes the text to the end of `out`.
    fn write_repr(&self, out: &mut String);
}

/// The text that `repr` gives for the value's counterpart in Python.
#[must_use]
pub fn python_repr<T: PythonRepr + ?Sized>(value: &T) -> String {
    let mut out = String::new();
    value.write_repr(&mut out);
    out
}

/// Writing to a string does not fail.
fn push(out: &mut String, text: fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "a string takes everything");
}

macro_rules! written_as_displayed {
    ($($integer:ty)*) => {$(
        impl PythonRepr for $integer {
            fn write_repr(&self, out: &mut String) {
                out.push_str(itoa::Buffer::new().format(*self));
            }
        }
    )*};
}

written_as_displayed!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

impl PythonRepr for bool {
    fn write_repr(&self, out: &mut String) {
        out.push_str(if *self { "True" } else { "False" });
    }
}

macro_rules! written_as_float {
    ($($float:ty)*) => {$(
        impl PythonRepr for $float {
            fn write_repr(&self, out: &mut String) {
                let shortest = format!("{self:e}");
                // Two texts of that length may be equally near to the number. Python takes the one
                // with the even digit, as exact rounding does, and Rust's shortest may be the other.
                let even = format!("{self:.*e}", digits_after_point(&shortest));
                let is_same = even.parse::<$float>().is_ok_and(|it| it == *self);
                write_float(if is_same { &even } else { &shortest }, out);
            }
        }
    )*};
}

// An `f32` is the float that Python reads from the number's shortest text: `0.1_f32` is the key `0.1`.
written_as_float!(f32 f64);

impl PythonRepr for str {
    fn write_repr(&self, out: &mut String) {
        let quote = quote_for(self.contains('\''), self.contains('"'));
        out.push(quote);
        for character in self.chars() {
            match character {
                '\\' => out.push_str(r"\\"),
                '\n' => out.push_str(r"\n"),
                '\r' => out.push_str(r"\r"),
                '\t' => out.push_str(r"\t"),
                it if it == quote => {
                    out.push('\\');
                    out.push(it);
                }
                it if is_printable(it) => out.push(it),
                it => match u32::from(it) {
                    code @ ..0x100 => push(out, format_args!("\\x{code:02x}")),
                    code @ ..0x1_0000 => push(out, format_args!("\\u{code:04x}")),
                    code => push(out, format_args!("\\U{code:08x}")),
                },
            }
        }
        out.push(quote);
    }
}

impl PythonRepr for String {
    fn write_repr(&self, out: &mut String) {
        self.as_str().write_repr(out);
    }
}

/// Python has no characters, only strings of one.
impl PythonRepr for char {
    fn write_repr(&self, out: &mut String) {
        self.encode_utf8(&mut [0; 4]).write_repr(out);
    }
}

/// As Python's `bytes`.
impl PythonRepr for [u8] {
    fn write_repr(&self, out: &mut String) {
        let quote = quote_for(self.contains(&b'\''), self.contains(&b'"'));
        out.push('b');
        out.push(quote);
        for byte in self {
            match char::from(*byte) {
                '\\' => out.push_str(r"\\"),
                '\n' => out.push_str(r"\n"),
                '\r' => out.push_str(r"\r"),
                '\t' => out.push_str(r"\t"),
                it if it == quote => {
                    out.push('\\');
                    out.push(it);
                }
                it @ ' '..='~' => out.push(it),
                _ => push(out, format_args!("\\x{byte:02x}")),
            }
        }
        out.push(quote);
    }
}

impl PythonRepr for Vec<u8> {
    fn write_repr(&self, out: &mut String) {
        self.as_slice().write_repr(out);
    }
}

impl PythonRepr for Bytes {
    fn write_repr(&self, out: &mut String) {
        self.as_ref().write_repr(out);
    }
}

/// As Python's `uuid.UUID`; a Python record that holds the id as a string has another key.
impl PythonRepr for Uuid {
    fn write_repr(&self, out: &mut String) {
        push(out, format_args!("UUID('{}')", self.hyphenated()));
    }
}

/// `None` is a key like any other: all records that have it share a partition.
impl<T: PythonRepr> PythonRepr for Option<T> {
    fn write_repr(&self, out: &mut String) {
        match self {
            Some(value) => value.write_repr(out),
            None => out.push_str("None"),
        }
    }
}

impl<T: PythonRepr + ?Sized> PythonRepr for &T {
    fn write_repr(&self, out: &mut String) {
        (**self).write_repr(out);
    }
}

impl<T: PythonRepr + ?Sized> PythonRepr for Box<T> {
    fn write_repr(&self, out: &mut String) {
        (**self).write_repr(out);
    }
}

/// Double quotes only where they save escapes.
fn quote_for(has_single: bool, has_double: bool) -> char {
    if has_single && !has_double { '"' } else { '\'' }
}

/// How many digits stand between the point and the exponent.
fn digits_after_point(scientific: &str) -> usize {
    let digits = scientific.split_once('.').map_or("", |(_, rest)| rest);
    digits.find('e').unwrap_or(0)
}

/// Lays out a float as Python does. `scientific` is Rust's text of it, which has the same digits: the
/// fewest that give the number back.
fn write_float(scientific: &str, out: &mut String) {
    let (sign, rest) = match scientific.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", scientific),
    };
    let Some((mantissa, exponent)) = rest.split_once('e') else {
        // Not a number, which has no sign in Python, or infinite.
        match rest {
            "inf" => push(out, format_args!("{sign}inf")),
            _ => out.push_str("nan"),
        }
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    out.push_str(sign);
    if !(EXPONENT_BELOW..EXPONENT_FROM).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        let size = exponent.unsigned_abs();
        push(out, format_args!("{mantissa}e{sign}{size:02}"));
        return;
    }
    let (first, others) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{first}{others}");
    let whole = usize::try_from(exponent + 1).unwrap_or(0);
    if exponent < 0 {
        let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
        push(out, format_args!("0.{:0<zeros$}{digits}", ""));
    } else if let Some((before, after)) = digits.split_at_checked(whole)
        && !after.is_empty()
    {
        push(out, format_args!("{before}.{after}"));
    } else {
        push(out, format_args!("{digits:0<whole$}.0"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_decimal() {
        assert_eq!(python_repr(&42_u8), "42");
        assert_eq!(python_repr(&i128::MIN), i128::MIN.to_string());
    }

    #[test]
    fn floats_are_laid_out_as_python_does() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (1.5, "1.5"),
            (-123.456, "-123.456"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.000_123, "0.000123"),
            (0.000_01, "1e-05"),
            (0.000_012_5, "1.25e-05"),
            (1e15, "1000000000000000.0"),
            (9_007_199_254_740_993.0, "9007199254740992.0"),
            (-1_510_141_000_000_000.2, "-1510141000000000.2"),
            (1_510_141_000_000_000.8, "1510141000000000.8"),
            (1e16, "1e+16"),
            (1.234e21, "1.234e+21"),
            (1e100, "1e+100"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
        ];
        for (value, text) in cases {
            assert_eq!(python_repr(&value), text);
        }
        assert_eq!(python_repr(&0.1_f32), "0.1");
    }

    #[test]
    fn strings_are_quoted_and_escaped_as_python_does() {
        let cases = [
            ("", "''"),
            ("abc", "'abc'"),
            ("it's", "\"it's\""),
            ("say \"hi\"", "'say \"hi\"'"),
            ("it's \"x\"", "'it\\'s \"x\"'"),
            ("a\\b", r"'a\\b'"),
            ("\r\n\t\0\u{7f}", r"'\r\n\t\x00\x7f'"),
            ("é中😀", "'é中😀'"),
            ("\u{a0}\u{ad}\u{85}", r"'\xa0\xad\x85'"),
            ("\u{200b}\u{2028}\u{feff}", r"'\u200b\u2028\ufeff'"),
            ("\u{e0001}", r"'\U000e0001'"),
        ];
        for (value, text) in cases {
            assert_eq!(python_repr(value), text);
        }
        assert_eq!(python_repr(&'\''), "\"'\"");
    }

    #[test]
    fn bytes_booleans_none_and_ids_have_their_own_text() {
        assert_eq!(python_repr(&b"a'\\\x00\xff\n"[..]), r#"b"a'\\\x00\xff\n""#);
        assert_eq!(python_repr(&Bytes::from_static(b"\"'")), r#"b'"\''"#);
        assert_eq!(python_repr(&false), "False");
        assert_eq!(python_repr(&None::<u8>), "None");
        assert_eq!(python_repr(&Some("a")), "'a'");
        let id = Uuid::from_u128(7);
        assert_eq!(
            python_repr(&id),
            "UUID('00000000-0000-0000-0000-000000000007')"
        );
    }
}
