//! Records: what a user sends and gets, and how it looks as an entry.
//!
//! A record stands between the user's types and the store's entries. Nothing is kept here: if the
//! process dies, an entry was appended or it was not.
//!
//! ```text
//! record ─► python_repr ─► the key's text, which decides the partition
//!        ─► json ─► compression ─► the field `data`
//!        or native ─► a field of its own for each of the record's
//! ```

mod compression;
mod json;
mod native;
mod printable;
mod python_repr;

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::Error as _;
pub use tidegate_store::Field;

pub use crate::BoxError;
pub use compression::{Compression, DECOMPRESSED_BYTES_MAX};
pub use json::{DATA, decode_json, encode_json, read_json};
pub use native::{NativeError, decode_native, encode_native};
pub use python_repr::{PythonRepr, python_repr};

/// A value that can be sent to a stream and read from it.
///
/// It is derived in the ordinary case (see the facade's `#[derive(Record)]`): then it is JSON under
/// the field `data`, or has native fields. Another format is a matter of writing these three
/// functions.
pub trait Record: Sized + Send + Sync + 'static {
    /// The key that decides the partition, as Python's `repr` would write it, which is what
    /// runnel hashes ([`python_repr()`]); none to spread such records evenly.
    fn partition_key(&self) -> Option<Cow<'_, str>>;

    /// The fields of the entry; at least one.
    ///
    /// # Errors
    /// What can't be written as an entry, with its reason.
    fn encode(&self, compression: Compression) -> Result<Vec<Field>, BoxError>;

    /// Reads the record from an entry's fields, and passes over those it does not know.
    ///
    /// # Errors
    /// What isn't such a record, with its reason, which is shown to people and so must not repeat
    /// the record's values.
    fn decode(fields: &[Field]) -> Result<Self, BoxError>;

    /// Reads the record from a line of JSON, as a person or a file gives it.
    ///
    /// # Errors
    /// As those of [`decode`](Record::decode).
    fn from_json(json: &[u8]) -> Result<Self, BoxError> {
        Self::decode(&[(Bytes::from_static(DATA), Bytes::copy_from_slice(json))])
    }
}

/// An entry's fields as they are, for a processor that decodes for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// The fields in the order in which they were sent.
    pub fields: Vec<Field>,
}

impl Raw {
    /// The value of the first field of this name.
    #[must_use]
    pub fn field(&self, name: &[u8]) -> Option<&Bytes> {
        let mut named = self.fields.iter().filter(|(field, _)| field == name);
        named.next().map(|(_, value)| value)
    }
}

impl Record for Raw {
    fn partition_key(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn encode(&self, _compression: Compression) -> Result<Vec<Field>, BoxError> {
        Ok(self.fields.clone())
    }

    fn decode(fields: &[Field]) -> Result<Self, BoxError> {
        Ok(Self {
            fields: fields.to_vec(),
        })
    }

    /// Takes an object whose values are strings.
    fn from_json(json: &[u8]) -> Result<Self, BoxError> {
        let object: serde_json::Map<String, serde_json::Value> = read_json(json)?;
        let field = |(name, value): (String, serde_json::Value)| match value {
            serde_json::Value::String(text) => Ok((name.into(), text.into())),
            _ => Err(serde_json::Error::custom(format!(
                "field {name:?} of a raw record is not a string"
            ))),
        };
        Ok(Self {
            fields: object.into_iter().map(field).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_record_is_its_fields() {
        let fields = vec![(Bytes::from_static(b"a\0"), Bytes::from_static(b"\xff"))];
        let raw = Raw::decode(&fields).unwrap();
        assert_eq!(raw.encode(Compression::Gzip).unwrap(), fields);
        assert_eq!(raw.field(b"a\0").unwrap(), &fields[0].1);
        assert_eq!(raw.partition_key(), None);
    }

    #[test]
    fn a_raw_record_of_a_line_takes_only_strings() {
        let raw = Raw::from_json(br#"{"b":"2","a":"1"}"#).unwrap();
        assert_eq!(raw.field(b"a").unwrap(), "1");
        let refusal = Raw::from_json(br#"{"b":2}"#).unwrap_err().to_string();
        assert!(refusal.contains("\"b\""), "{refusal}");
    }
}
