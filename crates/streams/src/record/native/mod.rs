//! A record whose fields are the entry's own, which runnel calls a primitive record.
//!
//! Between the user's type and an entry. Every field of the struct is a number, a boolean, a text or
//! bytes; lists and structs need the JSON format. What is written is what a Python client writes for
//! such values: `7`, `1.5`, `1e+16`, `True`. A field that is `None` is left out, and one that is
//! missing is read as `None`. Bytes are fields that serde knows as bytes (`serde_bytes`,
//! `bytes::Bytes`), since a `Vec<u8>` is a list to it.
//!
//! Redis stores such entries more tightly than others when the fields' names repeat, and any tool can
//! read them.
//!
//! Pure: there is nothing here that a crash could interrupt.

mod read;
mod write;

use std::fmt::Display;

use serde::Serialize;
use serde::de::{DeserializeOwned, Expected, Unexpected};
use tidegate_store::Field;

use crate::BoxError;

/// Why a record has no native fields, or why fields are not the record. It never repeats a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NativeError(String);

impl NativeError {
    /// The same reason, about this field.
    fn of_field(self, name: &str) -> Self {
        Self(format!("field `{name}`: {}", self.0))
    }
}

impl serde::ser::Error for NativeError {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl serde::de::Error for NativeError {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self(format!("expected {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self(format!("expected {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(format!("expected one of {expected:?}"))
    }
}

/// Writes each field of a record as a field of the entry. Part of what `#[derive(Record)]` writes.
///
/// # Errors
/// A record that is no struct, has a nested field, or has no field at all to write.
pub fn encode_native<T: Serialize>(record: &T) -> Result<Vec<Field>, BoxError> {
    let fields = record.serialize(write::RecordWriter)?;
    if fields.is_empty() {
        return Err("the record has no field to write, and an entry needs one".into());
    }
    Ok(fields)
}

/// Reads a record from an entry's fields. Part of what `#[derive(Record)]` writes.
///
/// # Errors
/// A field that is missing, or whose text is not of its type.
pub fn decode_native<T: DeserializeOwned>(fields: &[Field]) -> Result<T, BoxError> {
    Ok(T::deserialize(read::RecordReader::new(fields))?)
}

#[cfg(test)]
mod tests;
