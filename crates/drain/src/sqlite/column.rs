//! Numbers and entry ids in the columns of the drain's own tables.
//!
//! SQLite's integers are signed. A number above `i64::MAX` is refused before it is written, so a
//! negative one in a column was not written by Tidegate. The two numbers of an entry id may use
//! all 64 bits (a Redis client can choose them), so ids are kept as text.

use rusqlite::Row;
use tidegate_store::{EntryId, Partition};

use super::failure::from_sqlite;
use crate::error::{Error, Result};

/// A number as SQLite takes it; `what` names it in the error.
pub(super) fn to_sql(number: u64, what: &str) -> Result<i64> {
    i64::try_from(number).map_err(|e| {
        Error::Invalid(format!(
            "{what} {number} is larger than a SQLite integer: {e}"
        ))
    })
}

/// Reads a number that is never negative.
pub(super) fn number<T: TryFrom<i64>>(row: &Row<'_>, column: &str) -> Result<T> {
    let value: i64 = row.get(column).map_err(from_sqlite)?;
    // The target's own error says less than the column and the number.
    T::try_from(value)
        .map_err(|_out_of_range| Error::Corrupt(format!("column {column} holds {value}")))
}

/// Reads an entry id.
pub(super) fn entry_id(row: &Row<'_>, column: &str) -> Result<EntryId> {
    let text: String = row.get(column).map_err(from_sqlite)?;
    text.parse()
        .map_err(|_no_id| Error::Corrupt(format!("column {column} holds {text:?}")))
}

/// A text whose order is the order of the ids.
pub(super) fn order_of(id: EntryId) -> String {
    format!("{:020}-{:020}", id.ms, id.sequence)
}

/// How a shard stands in the drain's tables.
#[derive(Clone, Debug)]
pub(super) struct ShardKey {
    /// The stream's name.
    pub(super) stream: String,
    /// The shard's index.
    pub(super) shard: u32,
}

impl From<&Partition> for ShardKey {
    fn from(partition: &Partition) -> Self {
        Self {
            stream: partition.stream.as_str().to_owned(),
            shard: partition.index,
        }
    }
}
