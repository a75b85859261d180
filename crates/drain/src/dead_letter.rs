//! Dead letters: entries that are held in the target database, with everything needed to try them
//! again and everything a person needs to understand them.

use std::fmt;
use std::str::FromStr;

use tidegate_store::{EntryId, Partition, StreamName};

use crate::Error;
use crate::change::RowKey;
use crate::envelope::Envelope;
use crate::held::HeldState;
use crate::rejection::Rejection;

/// An entry to be held.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The entry.
    pub envelope: Envelope,
    /// Why it is held.
    pub state: HeldState,
    /// Since when, in Unix milliseconds.
    pub since_ms: u64,
    /// The reason; for a parked entry, that an earlier one is held.
    pub rejection: Rejection,
    /// The rows it touches, as far as they are known.
    pub rows: Vec<RowKey>,
}

/// How a person names a held entry: its shard and its id in there, as `3:1700000000000-0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId {
    /// The shard.
    pub shard: u32,
    /// The entry.
    pub entry: EntryId,
}

impl LetterId {
    /// The shard it lies in.
    #[must_use]
    pub fn partition(&self, stream: &StreamName) -> Partition {
        stream.partition(self.shard)
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.shard, self.entry)
    }
}

impl FromStr for LetterId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = text
            .split_once(':')
            .and_then(|(shard, entry)| Some((shard.parse().ok()?, entry.parse().ok()?)));
        match parsed {
            Some((shard, entry)) => Ok(Self { shard, entry }),
            None => Err(Error::Invalid(format!(
                "{text:?} is not a dead letter's id; it looks like 3:1700000000000-0"
            ))),
        }
    }
}

/// Which held entries to list.
#[derive(Clone, Debug)]
pub struct DeadLetterFilter {
    /// Of this stream.
    pub stream: StreamName,
    /// Only these states; all where it is empty.
    pub states: Vec<HeldState>,
    /// Only this one.
    pub id: Option<LetterId>,
    /// At most this many.
    pub count_max: u32,
}

/// A held entry as it lies in the target database.
#[derive(Clone, Debug)]
pub struct StoredLetter {
    /// Its name for people.
    pub id: LetterId,
    /// Why it is held.
    pub state: HeldState,
    /// The kind of the reason.
    pub code: String,
    /// The database's code, where it spoke.
    pub sqlstate: Option<String>,
    /// The reason.
    pub reason: String,
    /// Since when, in Unix milliseconds.
    pub since_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// The entry itself.
    pub envelope: Envelope,
}

/// Packs row keys into one value of a column.
#[must_use]
pub fn pack_rows(rows: &[RowKey]) -> Vec<u8> {
    let mut packed = Vec::new();
    for row in rows {
        let length = u32::try_from(row.as_bytes().len()).unwrap_or(u32::MAX);
        packed.extend_from_slice(&length.to_be_bytes());
        packed.extend_from_slice(row.as_bytes());
    }
    packed
}

/// Reads back what [`pack_rows`] wrote.
///
/// # Errors
/// [`Error::Corrupt`] for anything else.
pub fn unpack_rows(mut packed: &[u8]) -> Result<Vec<RowKey>, Error> {
    let mut rows = Vec::new();
    while !packed.is_empty() {
        let row = packed.split_first_chunk::<4>().and_then(|(length, rest)| {
            rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
        });
        let Some((row, rest)) = row else {
            return Err(Error::Corrupt(
                "a dead letter's list of rows is cut off".to_owned(),
            ));
        };
        rows.push(RowKey::from_bytes(row));
        packed = rest;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_survive_packing(rows in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 0..9), 0..5)) {
            let rows: Vec<_> = rows.iter().map(|row| RowKey::from_bytes(row)).collect();
            prop_assert_eq!(unpack_rows(&pack_rows(&rows)).expect("own bytes"), rows);
        }
    }

    #[test]
    fn an_id_reads_as_it_is_shown() {
        let id: LetterId = "3:1700000000000-7".parse().expect("an id");
        assert_eq!(
            (id.shard, id.to_string().as_str()),
            (3, "3:1700000000000-7")
        );
        assert!("3-7".parse::<LetterId>().is_err());
    }
}
