//! Numbers and entry ids in SQLite's columns.
//!
//! SQLite's integers are signed. The store never writes a number above `i64::MAX`, so a larger
//! one in a question means "after everything", and a negative one in a column was not written
//! by Tidegate.

use rusqlite::Row;

use crate::entry::EntryId;
use crate::{Error, Result};

/// A number as SQLite takes it; what does not fit becomes the largest.
pub(super) fn sql_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count of things in memory, as SQLite takes it.
pub(super) fn sql_count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Reads a number from a column.
pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value)
        .map_err(|source| Error::Corrupt(format!("{value} in a column of a table: {source}")))
}

/// Reads an entry id from a column of milliseconds and the one after it.
pub(super) fn entry_id(row: &Row<'_>, column: usize) -> Result<EntryId> {
    Ok(EntryId::new(number(row, column)?, number(row, column + 1)?))
}
