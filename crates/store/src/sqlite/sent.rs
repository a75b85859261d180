//! Request ids that were appended a while ago, so that a repeated append is known.
//!
//! A row is written in the transaction that writes the entry, and is there for as long as the
//! window that its append asked for. Rows that have ended are removed by later appends, somewhat
//! faster than such appends add new ones. If the process dies here, entry and row are there, or
//! neither is.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::column::{entry_id, sql_count, sql_number};
use super::partition::PartitionRow;
use crate::Result;
use crate::entry::EntryId;

/// How many ended rows an append removes, for each that it may add…
const FORGOTTEN_PER_ENTRY: usize = 2;
/// …and besides.
const FORGOTTEN_MIN: usize = 64;

/// The entry that was appended for a request id whose window has not ended.
pub(super) fn find(
    connection: &Connection,
    partition_id: i64,
    request_id: &[u8],
    now_ms: u64,
) -> Result<Option<EntryId>> {
    let mut statement = connection.prepare_cached(
        "SELECT ms, sequence FROM tidegate_sent
         WHERE partition_id = ?1 AND request_id = ?2 AND ends_at_ms > ?3",
    )?;
    let mut rows = statement.query(params![partition_id, request_id, sql_number(now_ms)])?;
    rows.next()?.map(|row| entry_id(row, 0)).transpose()
}

/// Remembers that the partition's newest entry was appended for a request id.
pub(super) fn remember(
    connection: &Connection,
    row: &PartitionRow,
    request_id: &[u8],
    window: Duration,
    now_ms: u64,
) -> Result<()> {
    let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    connection
        .prepare_cached(
            "INSERT INTO tidegate_sent (partition_id, request_id, ms, sequence, ends_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (partition_id, request_id) DO UPDATE
             SET ms = excluded.ms, sequence = excluded.sequence, ends_at_ms = excluded.ends_at_ms",
        )?
        .execute(params![
            row.id,
            request_id,
            sql_number(row.last_id.ms),
            sql_number(row.last_id.sequence),
            sql_number(now_ms.saturating_add(window_ms)),
        ])?;
    Ok(())
}

/// Removes rows that have ended, in a number that follows that of the entries to append.
pub(super) fn forget_ended(connection: &Connection, entries: usize, now_ms: u64) -> Result<()> {
    let at_most = entries
        .saturating_mul(FORGOTTEN_PER_ENTRY)
        .saturating_add(FORGOTTEN_MIN);
    connection
        .prepare_cached(
            "DELETE FROM tidegate_sent WHERE id IN
             (SELECT id FROM tidegate_sent WHERE ends_at_ms <= ?1 LIMIT ?2)",
        )?
        .execute(params![sql_number(now_ms), sql_count(at_most)])?;
    Ok(())
}
