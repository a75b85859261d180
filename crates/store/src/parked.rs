//! Parked entries: what a group has put aside, in order, because a key of it can't go on.
//!
//! A parked entry is no longer pending in its partition; it is an entry of the
//! [parked stream](crate::StreamName::parked) until its owner is done with it. The move is one
//! step of the store, so that a process which dies there leaves the entry in one of the two.

use bytes::Bytes;

use crate::entry::{Entry, EntryId, Field};

/// How many fields a parked entry has before its own.
const OWN_FROM: usize = 4;

/// A delivered entry that is to be put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedEntry {
    /// Its id in its partition.
    pub id: EntryId,
    /// The key that can't go on.
    pub key: Bytes,
    /// Why, for people.
    pub reason: String,
    /// Its fields.
    pub fields: Vec<Field>,
}

impl ParkedEntry {
    /// Reads back what was parked; none for an entry that is not one.
    #[must_use]
    pub fn from_entry(entry: &Entry) -> Option<Self> {
        let text = |name: &[u8]| std::str::from_utf8(entry.field(name)?).ok();
        Some(Self {
            id: text(b"xid")?.parse().ok()?,
            key: entry.field(b"key")?.clone(),
            reason: text(b"reason")?.to_owned(),
            fields: entry.fields.get(OWN_FROM..)?.to_vec(),
        })
    }

    /// The fields it has in the parked stream.
    pub(crate) fn into_fields(self, parked_at_ms: u64) -> Vec<Field> {
        let text = |text: String| Bytes::from(text);
        let mut fields = vec![
            (Bytes::from_static(b"xid"), text(self.id.to_string())),
            (Bytes::from_static(b"key"), self.key),
            (Bytes::from_static(b"reason"), text(self.reason)),
            (
                Bytes::from_static(b"parked_at"),
                text(parked_at_ms.to_string()),
            ),
        ];
        fields.extend(self.fields);
        fields
    }
}
