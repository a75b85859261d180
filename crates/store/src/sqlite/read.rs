//! Reading stored entries, up to a limit of entries and bytes.

use bytes::Bytes;
use rusqlite::{Connection, Rows, params};

use super::column::{entry_id, number, sql_count, sql_number};
use super::{codec, partition};
use crate::Result;
use crate::entry::{Entry, EntryId};
use crate::port::ReadLimit;
use crate::stream::Partition;

/// An entry as it lies in the file. It is decoded by the caller's thread, not by the writer's.
#[derive(Debug)]
pub(super) struct StoredEntry {
    pub(super) id: EntryId,
    fields: Bytes,
}

/// Decodes entries.
///
/// # Errors
/// [`Error::Corrupt`](crate::Error) when one can't be.
pub(super) fn decode(stored: Vec<StoredEntry>) -> Result<Vec<Entry>> {
    stored
        .into_iter()
        .map(|entry| {
            Ok(Entry {
                id: entry.id,
                fields: codec::decode(entry.fields)?,
            })
        })
        .collect()
}

/// Entries of a partition after a position, oldest first.
pub(super) fn read_after(
    connection: &Connection,
    partition: &Partition,
    after: EntryId,
    limit: ReadLimit,
) -> Result<Vec<StoredEntry>> {
    match partition::find(connection, partition)? {
        Some(row) => entries_after(connection, row.id, after, limit),
        None => Ok(Vec::new()),
    }
}

/// The same, with the partition's row at hand.
pub(super) fn entries_after(
    connection: &Connection,
    partition_id: i64,
    after: EntryId,
    limit: ReadLimit,
) -> Result<Vec<StoredEntry>> {
    let mut statement = connection.prepare_cached(
        "SELECT ms, sequence, fields FROM tidegate_entry
         WHERE partition_id = ?1 AND (ms, sequence) > (?2, ?3)
         ORDER BY ms, sequence LIMIT ?4",
    )?;
    let (ms, sequence) = (sql_number(after.ms), sql_number(after.sequence));
    collect(
        statement.query(params![partition_id, ms, sequence, rows_max(limit)])?,
        limit,
    )
}

/// The limit of rows for a statement; a limit below 1 would bring nothing forever.
pub(super) fn rows_max(limit: ReadLimit) -> i64 {
    sql_count(limit.entries.max(1))
}

/// Takes rows of `ms, sequence, fields` until the one that crosses the limit of bytes.
pub(super) fn collect(mut rows: Rows<'_>, limit: ReadLimit) -> Result<Vec<StoredEntry>> {
    let mut entries = Vec::new();
    let mut bytes = 0_usize;
    while let Some(row) = rows.next()? {
        let fields = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        entries.push(StoredEntry {
            id: entry_id(row, 0)?,
            fields: Bytes::copy_from_slice(fields),
        });
        bytes = bytes.saturating_add(fields.len());
        if bytes >= limit.bytes {
            break;
        }
    }
    Ok(entries)
}

/// The ordinal of the first entry after a position, where there is one.
pub(super) fn first_ordinal_after(
    connection: &Connection,
    partition_id: i64,
    after: EntryId,
) -> Result<Option<u64>> {
    let mut statement = connection.prepare_cached(
        "SELECT ordinal FROM tidegate_entry
         WHERE partition_id = ?1 AND (ms, sequence) > (?2, ?3)
         ORDER BY ms, sequence LIMIT 1",
    )?;
    let mut rows = statement.query(params![
        partition_id,
        sql_number(after.ms),
        sql_number(after.sequence)
    ])?;
    match rows.next()? {
        Some(row) => number(row, 0).map(Some),
        None => Ok(None),
    }
}
