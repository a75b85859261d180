//! From a value's JSON to its cell, by the column's declared type.
//!
//! A codec stores exactly what was sent or refuses it. The rules are those of PostgreSQL where
//! the type's name is one of PostgreSQL's, so that the same operations fit both targets.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::cell;
use super::decimal;
use super::declared::Kind;
use super::moment;
use crate::catalog::{Codec, plain_text};
use crate::hyperswitch::Takes;
use crate::rejection::{Code, Rejection};

/// How the column's primary key compares text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collation {
    /// Byte by byte.
    Binary,
    /// Without regard to the case of ASCII letters.
    NoCase,
    /// Without regard to blanks at the end.
    RightTrim,
    /// In a way that only the application knows.
    Other,
}

impl Collation {
    /// The collation of this name.
    pub(super) fn from_name(name: &str) -> Self {
        match name.to_ascii_uppercase().as_str() {
            "BINARY" => Self::Binary,
            "NOCASE" => Self::NoCase,
            "RTRIM" => Self::RightTrim,
            _ => Self::Other,
        }
    }
}

/// The codec of one column.
#[derive(Debug)]
pub(super) struct SqliteCodec {
    /// Which values the column takes.
    pub(super) kind: Kind,
    /// How its values are compared, where it is part of the primary key.
    pub(super) collation: Collation,
}

impl Codec for SqliteCodec {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        match self.kind {
            Kind::Integer => cell::put_integer(cell, decimal::integer(&number_or_string(json)?)?),
            Kind::Real => cell::put_real(cell, decimal::real(&number_or_string(json)?)?),
            Kind::Boolean => cell::put_integer(cell, i64::from(boolean(json)?)),
            Kind::Text { characters_max } => {
                let text = string(json)?;
                check_length(&text, characters_max)?;
                cell::put_text(cell, &text);
            }
            Kind::Uuid => encode_uuid(&string(json)?, cell)?,
            Kind::Date => cell::put_text(cell, &moment::date(&string(json)?)?),
            Kind::Time => cell::put_text(cell, &moment::time(&string(json)?)?),
            Kind::Timestamp => cell::put_text(cell, &moment::timestamp(&string(json)?)?),
            Kind::TimestampTz => cell::put_text(cell, &moment::timestamp_tz(&string(json)?)?),
            Kind::Json => encode_json(json, cell)?,
            Kind::Blob => encode_hex(&string(json)?, cell)?,
            Kind::Decimal { digits_max } => {
                let value = decimal::whole_number(&number_or_string(json)?, digits_max)?;
                cell::put_integer(cell, value);
            }
            Kind::Any { is_numeric } => encode_any(json, is_numeric, cell)?,
        }
        Ok(())
    }

    fn takes(&self) -> Takes {
        Takes::Any
    }

    fn is_exact(&self) -> bool {
        // In a column without a type 1 and 1.0 are equal and their cells are not.
        self.collation == Collation::Binary && !matches!(self.kind, Kind::Any { .. })
    }

    fn key_text<'a>(&self, json: &'a RawValue) -> Cow<'a, str> {
        let text = match self.kind {
            Kind::Text { .. } => plain_text(json),
            _ => {
                let mut cell = Vec::new();
                let text = self
                    .encode(json, &mut cell)
                    .ok()
                    .and_then(|()| cell::to_text(&cell));
                text.map_or_else(|| plain_text(json), |text| Cow::Owned(text.into_owned()))
            }
        };
        match self.collation {
            Collation::NoCase => Cow::Owned(text.to_ascii_lowercase()),
            Collation::RightTrim => Cow::Owned(text.trim_end_matches(' ').to_owned()),
            Collation::Binary | Collation::Other => text,
        }
    }
}

/// The value is of another type; `expected` completes "send".
pub(super) fn wrong_type(expected: &str) -> Rejection {
    Rejection::new(
        Code::WrongType,
        format!("the value is not what the type takes; send {expected}"),
    )
}

/// The value is of the type but beyond what it holds.
pub(super) fn out_of_range(reason: impl Into<String>) -> Rejection {
    Rejection::new(Code::OutOfRange, reason)
}

fn string(json: &RawValue) -> Result<Cow<'_, str>, Rejection> {
    let inner = json
        .get()
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else {
        return Err(wrong_type("a string"));
    };
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    // Half of a surrogate pair passes for JSON, but is no text.
    let text: String = serde_json::from_str(json.get())
        .map_err(|_lone_surrogate| wrong_type("a string of whole Unicode characters"))?;
    if text.contains('\0') {
        return Err(wrong_type(
            "a string without \\u0000, which a text column can't hold",
        ));
    }
    Ok(Cow::Owned(text))
}

fn number_or_string(json: &RawValue) -> Result<Cow<'_, str>, Rejection> {
    match json.get().as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(json.get())),
        Some(b'"') => string(json),
        _ => Err(wrong_type("a number, or its digits as a string")),
    }
}

fn boolean(json: &RawValue) -> Result<bool, Rejection> {
    match json.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong_type("true or false")),
    }
}

fn check_length(text: &str, characters_max: Option<u32>) -> Result<(), Rejection> {
    let Some(max) = characters_max else {
        return Ok(());
    };
    let max_in_memory = usize::try_from(max).unwrap_or(usize::MAX);
    // Text never has more characters than bytes, so most need not be counted.
    if text.len() <= max_in_memory || text.chars().count() <= max_in_memory {
        return Ok(());
    }
    Err(out_of_range(format!(
        "the text is longer than the {max} characters that the type allows; send less"
    )))
}

fn encode_uuid(text: &str, cell: &mut Vec<u8>) -> Result<(), Rejection> {
    let uuid = uuid::Uuid::try_parse(text)
        .map_err(|_no_uuid| wrong_type("a UUID as \"67e55044-10b1-426f-9247-bb680e5fe0c8\""))?;
    let mut buffer = uuid::Uuid::encode_buffer();
    cell::put_text(cell, uuid.as_hyphenated().encode_lower(&mut buffer));
    Ok(())
}

/// A declared type with JSON in its name is numeric to SQLite, so a bare number would not stay
/// the text it is.
fn encode_json(json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
    let text = json.get();
    if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        cell::put_text(cell, text);
        return Ok(());
    }
    match text.parse::<i64>() {
        Ok(value) if value.to_string() == text => cell::put_integer(cell, value),
        _ => {
            return Err(wrong_type(
                "an object, an array, a string or an integer: SQLite would turn this number into \
                 a float; or declare the column TEXT",
            ));
        }
    }
    Ok(())
}

fn encode_hex(text: &str, cell: &mut Vec<u8>) -> Result<(), Rejection> {
    let expected = || wrong_type("bytes in hexadecimal as \"\\\\x00ff\"");
    let digits = text.strip_prefix("\\x").ok_or_else(expected)?;
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return Err(expected());
    };
    cell::begin_blob(cell);
    for pair in pairs {
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        let byte = pair
            .iter()
            .try_fold(0, |byte, digit| Some(byte * 16 + nibble(*digit)?));
        cell.push(
            byte.and_then(|byte| u8::try_from(byte).ok())
                .ok_or_else(expected)?,
        );
    }
    Ok(())
}

fn encode_any(json: &RawValue, is_numeric: bool, cell: &mut Vec<u8>) -> Result<(), Rejection> {
    match json.get().as_bytes().first() {
        Some(b't' | b'f') => cell::put_integer(cell, i64::from(boolean(json)?)),
        Some(b'"') => {
            let text = string(json)?;
            if is_numeric && decimal::looks_like_number(&text) {
                return Err(wrong_type(
                    "text that doesn't look like a number, which SQLite would make of it in a \
                     column of this type; or declare the column TEXT",
                ));
            }
            cell::put_text(cell, &text);
        }
        Some(b'-' | b'0'..=b'9') => match json.get() {
            text if text.contains(['.', 'e', 'E']) => cell::put_real(cell, decimal::real(text)?),
            text => cell::put_integer(cell, decimal::integer(text)?),
        },
        _ => return Err(wrong_type("a string, a number, true or false")),
    }
    Ok(())
}
