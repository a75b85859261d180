//! Binds: from PostgreSQL's binary form to the JSON text that a column's codec reads.
//!
//! The way over JSON is a detour of some nanoseconds, and it makes one path of all forms: what a
//! column refuses in an operation, it refuses in a bind, for the same reason. A bind that does not
//! have exactly its format's bytes is refused here, so that it never becomes an error of the
//! database's protocol. Pure.
//!
//! Source: PostgreSQL's `*_recv` functions.

use std::fmt::Write as _;

use jiff::SignedDuration;
use jiff::civil::{DateTime, date};
use serde_json::value::RawValue;

use super::format::Format;
use crate::rejection::{Code, Rejection};

/// Where PostgreSQL counts days and microseconds from.
const EPOCH: DateTime = date(2000, 1, 1).at(0, 0, 0, 0);
/// The only version of `jsonb`'s binary form.
const JSONB_VERSION: u8 = 1;
/// The most dimensions of an array in PostgreSQL.
const DIMENSIONS_MAX: usize = 6;
/// The signs of a `numeric`.
const NUMERIC_PLUS: u16 = 0x0000;
const NUMERIC_MINUS: u16 = 0x4000;
const NUMERIC_NAN: u16 = 0xC000;
const NUMERIC_INFINITY: u16 = 0xD000;
const NUMERIC_MINUS_INFINITY: u16 = 0xF000;
/// One digit of a `numeric` is below this.
const NUMERIC_BASE: u16 = 10_000;

/// Reads a bind as JSON.
///
/// # Errors
/// A [`Rejection`] that says what the bytes should have been.
pub(super) fn to_json(format: &Format, bytes: &[u8]) -> Result<Box<RawValue>, Rejection> {
    let text = text(format, bytes)?;
    let json =
        RawValue::from_string(text).map_err(|_unread| wrong(format, "its bytes are no JSON"))?;
    if json.get() == "null" {
        return Err(Rejection::new(
            Code::WrongType,
            "the JSON value null can't be told from a missing value; send a bind of null, or \
             another value",
        ));
    }
    Ok(json)
}

fn text(format: &Format, bytes: &[u8]) -> Result<String, Rejection> {
    Ok(match format {
        Format::Boolean => match bytes {
            [0] => "false".to_owned(),
            [1] => "true".to_owned(),
            _ => return Err(wrong(format, "one byte, 0 or 1, is expected")),
        },
        Format::Integer(length) => integer(*length, bytes)?.to_string(),
        Format::Single => float(
            f64::from(f32::from_be_bytes(exactly(format, bytes)?)),
            || f32::from_be_bytes(*bytes.first_chunk().unwrap_or(&[0; 4])).to_string(),
        ),
        Format::Double => {
            let value = f64::from_be_bytes(exactly(format, bytes)?);
            float(value, || value.to_string())
        }
        Format::Numeric => numeric(bytes)?,
        Format::Text => quoted(utf8(format, bytes)?),
        Format::Bytes => quoted(&format!("\\x{}", hex(bytes))),
        Format::Uuid => {
            let uuid = uuid::Uuid::from_bytes(exactly(format, bytes)?);
            format!("\"{uuid}\"")
        }
        Format::Date => day(i32::from_be_bytes(exactly(format, bytes)?))?,
        Format::Time => {
            let micros = i64::from_be_bytes(exactly(format, bytes)?);
            let moment = after_epoch(micros).ok_or_else(|| beyond(format))?;
            if moment.date() != EPOCH.date() {
                return Err(beyond(format));
            }
            format!("\"{}\"", moment.time())
        }
        Format::Timestamp => moment(format, bytes, "")?,
        Format::TimestampTz => moment(format, bytes, "Z")?,
        Format::Interval => interval(bytes)?,
        Format::Json => utf8(format, bytes)?.to_owned(),
        Format::Jsonb => match bytes.split_first() {
            Some((&JSONB_VERSION, json)) => utf8(format, json)?.to_owned(),
            _ => return Err(wrong(format, "a version byte of 1 is expected")),
        },
        Format::Array(element) => array(element, bytes)?,
    })
}

fn integer(length: usize, bytes: &[u8]) -> Result<i64, Rejection> {
    let format = Format::Integer(length);
    Ok(match length {
        2 => i16::from_be_bytes(exactly(&format, bytes)?).into(),
        4 => i32::from_be_bytes(exactly(&format, bytes)?).into(),
        _ => i64::from_be_bytes(exactly(&format, bytes)?),
    })
}

/// The shortest text that reads as the same float; the words that the codecs know for the rest.
fn float(value: f64, shortest: impl FnOnce() -> String) -> String {
    if value.is_nan() {
        "\"NaN\"".to_owned()
    } else if value.is_infinite() {
        let sign = if value > 0.0 { "" } else { "-" };
        format!("\"{sign}Infinity\"")
    } else {
        shortest()
    }
}

fn numeric(bytes: &[u8]) -> Result<String, Rejection> {
    let format = &Format::Numeric;
    let short = || wrong(format, "the bytes end too early, or too late");
    let mut rest = Reader(bytes);
    let (count, weight) = (rest.u16().ok_or_else(short)?, rest.u16().ok_or_else(short)?);
    let (sign, scale) = (rest.u16().ok_or_else(short)?, rest.u16().ok_or_else(short)?);
    match sign {
        NUMERIC_PLUS | NUMERIC_MINUS => {}
        NUMERIC_NAN => return Ok("\"NaN\"".to_owned()),
        NUMERIC_INFINITY => return Ok("\"Infinity\"".to_owned()),
        NUMERIC_MINUS_INFINITY => return Ok("\"-Infinity\"".to_owned()),
        _ => return Err(wrong(format, "its sign is unknown")),
    }
    if rest.0.len() != usize::from(count) * 2 {
        return Err(short());
    }
    let mut digits = String::with_capacity(usize::from(count) * 4);
    while let Some(digit) = rest.u16() {
        if digit >= NUMERIC_BASE {
            return Err(wrong(format, "a digit is too large"));
        }
        let _ = write!(digits, "{digit:04}");
    }
    let weight = i16::from_be_bytes(weight.to_be_bytes());
    // The digits are a whole number, and the power of ten is that of its last digit.
    let power = (i64::from(weight) + 1 - i64::from(count)) * 4;
    let (digits, power) = with_scale(digits, power, i64::from(scale))?;
    let sign = if sign == NUMERIC_MINUS { "-" } else { "" };
    // A string, because a JSON number has no leading zeros.
    Ok(format!("\"{sign}{digits}e{power}\""))
}

/// Writes as many digits after the point as the number says it has, so that `1.50` stays `1.50`.
fn with_scale(mut digits: String, power: i64, scale: i64) -> Result<(String, i64), Rejection> {
    if digits.is_empty() {
        digits.push('0');
        return Ok((digits, -scale));
    }
    let written = -power;
    if written < scale {
        let missing = usize::try_from(scale - written).unwrap_or_default();
        digits.extend(std::iter::repeat_n('0', missing));
        return Ok((digits, -scale));
    }
    // Groups of four may have written zeros beyond the scale; another digit there is a lie.
    let surplus = usize::try_from(written - scale).unwrap_or(usize::MAX);
    let kept = digits.len().saturating_sub(surplus);
    if digits.bytes().skip(kept).any(|digit| digit != b'0') {
        return Err(wrong(&Format::Numeric, "it has more digits than its scale"));
    }
    digits.truncate(kept);
    if digits.is_empty() {
        digits.push('0');
    }
    Ok((digits, -scale))
}

fn day(days: i32) -> Result<String, Rejection> {
    match days {
        i32::MAX => return Ok("\"infinity\"".to_owned()),
        i32::MIN => return Ok("\"-infinity\"".to_owned()),
        _ => {}
    }
    let moment = EPOCH.checked_add(SignedDuration::from_hours(i64::from(days) * 24));
    let date = moment.map_err(|_beyond| beyond(&Format::Date))?.date();
    Ok(format!("\"{date}\""))
}

fn moment(format: &Format, bytes: &[u8], zone: &str) -> Result<String, Rejection> {
    match i64::from_be_bytes(exactly(format, bytes)?) {
        i64::MAX => Ok("\"infinity\"".to_owned()),
        i64::MIN => Ok("\"-infinity\"".to_owned()),
        micros => {
            let moment = after_epoch(micros).ok_or_else(|| beyond(format))?;
            Ok(format!("\"{moment}{zone}\""))
        }
    }
}

fn after_epoch(micros: i64) -> Option<DateTime> {
    EPOCH.checked_add(SignedDuration::from_micros(micros)).ok()
}

/// Months, days and microseconds, each with its own sign, in words that PostgreSQL reads.
fn interval(bytes: &[u8]) -> Result<String, Rejection> {
    let format = &Format::Interval;
    let all: [u8; 16] = exactly(format, bytes)?;
    let [micros @ .., _, _, _, _, _, _, _, _] = all;
    let [.., d0, d1, d2, d3, m0, m1, m2, m3] = all;
    let micros = i64::from_be_bytes(micros);
    let (days, months) = (
        i32::from_be_bytes([d0, d1, d2, d3]),
        i32::from_be_bytes([m0, m1, m2, m3]),
    );
    let sign = if micros < 0 { "-" } else { "" };
    let (seconds, fraction) = (
        micros.unsigned_abs() / 1_000_000,
        micros.unsigned_abs() % 1_000_000,
    );
    Ok(format!(
        "\"{months} mons {days} days {sign}{seconds}.{fraction:06} secs\""
    ))
}

/// `dimensions, has nulls, element's type, (length, lower bound)…, (length, bytes)…`.
fn array(element: &Format, bytes: &[u8]) -> Result<String, Rejection> {
    let format = Format::Array(std::sync::Arc::new(element.clone()));
    let short = || wrong(&format, "the bytes end too early");
    let mut rest = Reader(bytes);
    let dimensions = usize::try_from(rest.u32().ok_or_else(short)?).unwrap_or(usize::MAX);
    let _has_nulls = rest.u32().ok_or_else(short)?;
    let oid = rest.u32().ok_or_else(short)?;
    let is_json = matches!(element, Format::Json | Format::Jsonb);
    if dimensions > DIMENSIONS_MAX || is_json && dimensions > 1 {
        return Err(wrong(&format, "it has too many dimensions"));
    }
    // The elements of a built-in type say what they are; the column knows the others.
    let own = Format::of_oid(oid);
    let element = own
        .as_ref()
        .filter(|own| own.fits(element))
        .unwrap_or(element);
    if Format::is_built_in(oid) && own.as_ref() != Some(element) {
        return Err(wrong(&format, "its elements are of another type"));
    }
    let mut lengths = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        let length = usize::try_from(rest.u32().ok_or_else(short)?).unwrap_or(usize::MAX);
        if rest.u32().ok_or_else(short)? != 1 {
            return Err(wrong(&format, "its first element is not number 1"));
        }
        // Each element has four bytes at least, so this bounds what is read for any length.
        if length == 0 || length > rest.0.len() / 4 {
            return Err(wrong(&format, "its length does not fit its bytes"));
        }
        lengths.push(length);
    }
    let mut json = String::with_capacity(bytes.len() + 2);
    if dimensions == 0 {
        json.push_str("[]");
    } else {
        level(&format, element, &lengths, &mut rest, &mut json)?;
    }
    if !rest.0.is_empty() {
        return Err(wrong(&format, "there are bytes behind its end"));
    }
    Ok(json)
}

fn level(
    format: &Format,
    element: &Format,
    lengths: &[usize],
    rest: &mut Reader<'_>,
    json: &mut String,
) -> Result<(), Rejection> {
    let Some((length, inner)) = lengths.split_first() else {
        json.push_str(&item(format, element, rest)?);
        return Ok(());
    };
    json.push('[');
    for at in 0..*length {
        if at > 0 {
            json.push(',');
        }
        level(format, element, inner, rest, json)?;
    }
    json.push(']');
    Ok(())
}

fn item(format: &Format, element: &Format, rest: &mut Reader<'_>) -> Result<String, Rejection> {
    let short = || wrong(format, "the bytes end too early");
    let length = rest.u32().ok_or_else(short)?;
    if length == u32::MAX {
        return Ok("null".to_owned());
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let bytes = rest.take(length).ok_or_else(short)?;
    Ok(to_json(element, bytes)?.get().to_owned())
}

/// Reads numbers from the front of bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(front)
    }

    fn u16(&mut self) -> Option<u16> {
        let (front, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*front))
    }

    fn u32(&mut self) -> Option<u32> {
        let (front, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*front))
    }
}

fn exactly<const N: usize>(format: &Format, bytes: &[u8]) -> Result<[u8; N], Rejection> {
    <[u8; N]>::try_from(bytes).map_err(|_length| {
        wrong(
            format,
            &format!("{N} bytes are expected, {} came", bytes.len()),
        )
    })
}

fn utf8<'a>(format: &Format, bytes: &'a [u8]) -> Result<&'a str, Rejection> {
    std::str::from_utf8(bytes).map_err(|_invalid| wrong(format, "its bytes are not UTF-8"))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn beyond(format: &Format) -> Rejection {
    Rejection::new(
        Code::OutOfRange,
        format!("the {} of the bind is beyond the calendar", format.name()),
    )
}

fn wrong(format: &Format, what: &str) -> Rejection {
    Rejection::new(
        Code::WrongType,
        format!("the bind is no {} in binary form: {what}", format.name()),
    )
}
