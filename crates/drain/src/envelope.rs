//! The envelope: what an entry of a shard carries around its operation.
//!
//! Four fields, as Hyperswitch's drainer has them: `request_id`, `global_id`, `typed_sql` and
//! `pushed_at` (Unix seconds as text). A dead letter keeps all fields of its entry, known or not.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_store::entry::Field;
use tidegate_store::{Entry, EntryId};

use crate::rejection::{Code, Rejection};

/// Names the request that caused the operation.
pub const REQUEST_ID: &[u8] = b"request_id";
/// Names the thing that the operation is about, over all its operations.
pub const GLOBAL_ID: &[u8] = b"global_id";
/// Holds the operation.
pub const TYPED_SQL: &[u8] = b"typed_sql";
/// Holds the operation as SQL with binds, as newer releases of Hyperswitch send it.
pub const QUERY: &[u8] = b"query";
/// When the operation was pushed, in Unix seconds as text.
pub const PUSHED_AT: &[u8] = b"pushed_at";

/// Names the state that was written with the entry; only where there is one.
pub const STATE: &[u8] = b"state";

/// The operation's bytes, and the form that their field says they have.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// An operation of Tidegate's or of Hyperswitch's.
    TypedSql(&'a Bytes),
    /// SQL with binds.
    Query(&'a Bytes),
}

/// An entry whose fields have been told apart.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The entry's position.
    pub id: EntryId,
    /// Its fields, all of them.
    pub fields: Vec<Field>,
}

impl Envelope {
    /// Takes an entry as it was read.
    #[must_use]
    pub fn new(entry: Entry) -> Self {
        Self {
            id: entry.id,
            fields: entry.fields,
        }
    }

    /// The operation's bytes: those of `typed_sql`, and without it those of `query`.
    ///
    /// # Errors
    /// A rejection where one of the four fields is missing, or the entry is larger than
    /// `bytes_max`.
    pub fn payload(&self, bytes_max: usize) -> Result<Payload<'_>, Rejection> {
        let bytes: usize = self
            .fields
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if bytes > bytes_max {
            return Err(Rejection::new(
                Code::TooLarge,
                format!(
                    "the entry has {bytes} bytes; drain.entry_bytes_max allows {bytes_max}; \
                     raise it and retry, or send less"
                ),
            ));
        }
        for name in [REQUEST_ID, GLOBAL_ID, PUSHED_AT] {
            self.required(name)?;
        }
        match (self.field(TYPED_SQL), self.field(QUERY)) {
            (None, Some(query)) => Ok(Payload::Query(query)),
            _ => self.required(TYPED_SQL).map(Payload::TypedSql),
        }
    }

    /// A field as text for people; empty where it is missing.
    #[must_use]
    pub fn text(&self, name: &[u8]) -> String {
        self.field(name)
            .map(|v| String::from_utf8_lossy(v).into_owned())
            .unwrap_or_default()
    }

    /// All fields as a JSON text, to be stored with a dead letter: a list of `[name, value]`,
    /// where bytes that are not UTF-8 stand as `{"hex":"…"}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let pairs = self
            .fields
            .iter()
            .map(|(name, value)| json!([to_value(name), to_value(value)]));
        Value::Array(pairs.collect()).to_string()
    }

    /// Reads back what [`to_json`](Self::to_json) wrote; none where it is something else.
    #[must_use]
    pub fn from_json(id: EntryId, text: &str) -> Option<Self> {
        let pairs: Vec<(Value, Value)> = serde_json::from_str(text).ok()?;
        let fields = pairs
            .iter()
            .map(|(name, value)| Some((from_value(name)?, from_value(value)?)))
            .collect::<Option<_>>()?;
        Some(Self { id, fields })
    }

    fn field(&self, name: &[u8]) -> Option<&Bytes> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
    }

    fn required(&self, name: &[u8]) -> Result<&Bytes, Rejection> {
        self.field(name).ok_or_else(|| {
            Rejection::new(
                Code::MissingField,
                format!(
                    "the entry has no field {:?}; an entry needs request_id, global_id, typed_sql \
                     and pushed_at; send it again with all four",
                    String::from_utf8_lossy(name)
                ),
            )
        })
    }
}

/// The fields of an entry to append.
#[must_use]
pub fn fields(request_id: &str, global_id: &str, typed_sql: Bytes, now: SystemTime) -> Vec<Field> {
    let pushed_at = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    vec![
        (
            Bytes::from_static(REQUEST_ID),
            Bytes::copy_from_slice(request_id.as_bytes()),
        ),
        (
            Bytes::from_static(GLOBAL_ID),
            Bytes::copy_from_slice(global_id.as_bytes()),
        ),
        (Bytes::from_static(TYPED_SQL), typed_sql),
        (
            Bytes::from_static(PUSHED_AT),
            Bytes::from(pushed_at.to_string()),
        ),
    ]
}

fn to_value(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => {
            json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
        }
    }
}

fn from_value(value: &Value) -> Option<Bytes> {
    if let Some(text) = value.as_str() {
        return Some(Bytes::copy_from_slice(text.as_bytes()));
    }
    let hex = value.get("hex")?.as_str()?.as_bytes();
    let (pairs, []) = hex.as_chunks::<2>() else {
        return None;
    };
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_survive_the_dead_letter(fields in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..9), prop::collection::vec(any::<u8>(), 0..9)), 0..6)) {
            let fields = fields.into_iter().map(|(n, v)| (Bytes::from(n), Bytes::from(v))).collect();
            let envelope = Envelope { id: EntryId::new(7, 1), fields };
            let back = Envelope::from_json(envelope.id, &envelope.to_json()).expect("own text");
            prop_assert_eq!(back.fields, envelope.fields);
        }
    }
}
