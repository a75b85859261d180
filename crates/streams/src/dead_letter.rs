//! Dead letters: entries that a processor gave up, with their reasons, in a stream of their own.
//!
//! ```text
//! entry ─ fails ─► stored in `dead.<stream>` ─► acknowledged
//!                        │
//!                        └─► desk: listed, sent again, discarded
//! ```
//!
//! The fields begin with those that runnel's dead letters have: `failed_at`, `partition`, `xid` and
//! `data`; `reason` and `processor` follow. Where the entry is not one field `data`, its own
//! fields follow unchanged, and `data` shows them as JSON. A dead letter is stored before its
//! entry is acknowledged: if the process dies between the two, the entry fails again, and is not
//! stored a second time within a day.

use std::time::Duration;

use bytes::Bytes;
use tidegate_store::{Entry, EntryId, Field, StreamName};

use crate::Result;
use crate::spec::StreamSpec;

/// How long a dead letter that is stored again, or retried again, is known to be the same.
pub(crate) const REPEAT_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// How many fields stand before the entry's own.
const LEADING: usize = 6;
/// The most bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 4_096;

/// A dead letter as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it is in the stream of dead letters.
    pub id: EntryId,
    /// When it was given up: UTC, ISO 8601.
    pub failed_at: String,
    /// The partition in which the entry was.
    pub partition: u32,
    /// Where the entry was in that partition.
    pub entry: EntryId,
    /// Why it was given up.
    pub reason: String,
    /// By which processor; empty where the dead letter is runnel's.
    pub processor: String,
    /// The entry's fields as they were sent.
    pub fields: Vec<Field>,
}

/// The stream for the dead letters of a stream. It has one partition.
///
/// # Errors
/// [`Error::Invalid`](crate::Error) and the store's, where the stream's names are not allowed.
pub fn stream_of(spec: &StreamSpec) -> Result<StreamName> {
    spec.name()?;
    Ok(StreamName::of_app(
        &spec.app,
        &format!("dead.{}", spec.stream),
    )?)
}

/// The fields of a dead letter.
pub(crate) fn encode(
    entry: &Entry,
    partition: u32,
    processor: &str,
    reason: &str,
    failed_at: &str,
) -> Vec<Field> {
    let mut fields = Vec::with_capacity(LEADING + entry.fields.len());
    let mut push = |name: &'static str, value: Bytes| {
        fields.push((Bytes::from_static(name.as_bytes()), value));
    };
    let only_data = only_data(entry);
    push("failed_at", failed_at.to_owned().into());
    push("partition", partition.to_string().into());
    push("xid", entry.id.to_string().into());
    push("data", only_data.cloned().unwrap_or_else(|| shown(entry)));
    push("reason", cut(reason).to_owned().into());
    push("processor", processor.to_owned().into());
    if only_data.is_none() {
        fields.extend(entry.fields.iter().cloned());
    }
    fields
}

/// Reads a dead letter, of Tidegate or of runnel; none where the entry is no such thing.
#[must_use]
pub fn decode(entry: &Entry) -> Option<DeadLetter> {
    let text = |name: &str| {
        let value = entry.field(name.as_bytes())?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let own = entry.fields.get(LEADING..).unwrap_or_default();
    let fields = if own.is_empty() {
        let data = entry.field(b"data")?.clone();
        vec![(Bytes::from_static(b"data"), data)]
    } else {
        own.to_vec()
    };
    Some(DeadLetter {
        id: entry.id,
        failed_at: text("failed_at")?,
        partition: text("partition")?.parse().ok()?,
        entry: text("xid")?.parse().ok()?,
        reason: text("reason").unwrap_or_default(),
        processor: text("processor").unwrap_or_default(),
        fields,
    })
}

fn only_data(entry: &Entry) -> Option<&Bytes> {
    match entry.fields.as_slice() {
        [(name, value)] if name == &b"data"[..] => Some(value),
        _ => None,
    }
}

/// The fields as a JSON object, for people. What is no text is shown as well as it can be.
fn shown(entry: &Entry) -> Bytes {
    let pairs = entry.fields.iter().map(|(name, value)| {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        (text(name), serde_json::Value::String(text(value)))
    });
    let object: serde_json::Map<_, _> = pairs.collect();
    serde_json::Value::Object(object).to_string().into()
}

fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field() -> impl Strategy<Value = Field> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..8).prop_map(Bytes::from);
        (bytes(), bytes())
    }

    proptest! {
        #[test]
        fn an_entry_comes_out_as_it_went_in(
            fields in prop::collection::vec(field(), 1..5), ms in any::<u64>(),
        ) {
            let entry = Entry { id: EntryId::new(ms, 3), fields };
            let stored = Entry {
                id: EntryId::new(1, 2),
                fields: encode(&entry, 7, "settle", "why", "2026-01-01T00:00:00Z"),
            };
            let letter = decode(&stored).unwrap();
            prop_assert_eq!(letter.entry, entry.id);
            prop_assert_eq!(letter.partition, 7);
            prop_assert_eq!(&letter.reason, "why");
            prop_assert_eq!(letter.fields, entry.fields);
        }
    }

    #[test]
    fn the_data_of_a_json_record_is_stored_as_it_is() {
        let data = (
            Bytes::from_static(b"data"),
            Bytes::from_static(b"{\"a\":1}"),
        );
        let entry = Entry {
            id: EntryId::new(5, 6),
            fields: vec![data.clone()],
        };
        let fields = encode(&entry, 7, "settle", "why", "2026-01-01T00:00:00Z");
        assert_eq!(fields.len(), LEADING);
        assert_eq!(fields[3], data);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = "é".repeat(REASON_BYTES_MAX);
        assert!(cut(&reason).len() <= REASON_BYTES_MAX);
        assert_eq!(cut("short"), "short");
    }
}
