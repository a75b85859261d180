//! Deletes the oldest entries of a partition that holds more than its producer allows.
//!
//! It happens in the transaction of the append, read or not, and the number of entries that some
//! group had not read is logged. A dropped entry is no longer pending: nobody could read it. If
//! the process dies here, nothing was appended and nothing dropped.

use rusqlite::{Connection, params};

use super::column::{entry_id, number, sql_number};
use crate::Result;
use crate::entry::EntryId;
use crate::stream::Partition;

/// How many entries one append drops at most, beyond those that it adds: a bound that was lowered
/// by millions is reached step by step.
const DROPPED_AT_ONCE_MAX: u64 = 10_000;

/// Drops the oldest of `held` entries, until about `keep` are left.
pub(super) fn drop_oldest(
    connection: &Connection,
    partition: &Partition,
    partition_id: i64,
    held: u64,
    keep: u64,
) -> Result<()> {
    let excess = held.saturating_sub(keep).min(DROPPED_AT_ONCE_MAX);
    if excess == 0 {
        return Ok(());
    }
    let Some(before) = first_kept(connection, partition_id, excess)? else {
        return Ok(());
    };
    let unread = count_unread(connection, partition_id, before)?;
    let position = params![
        partition_id,
        sql_number(before.ms),
        sql_number(before.sequence)
    ];
    let dropped = connection
        .prepare_cached(
            "DELETE FROM tidegate_entry WHERE partition_id = ?1 AND (ms, sequence) < (?2, ?3)",
        )?
        .execute(position)?;
    connection
        .prepare_cached(
            "DELETE FROM tidegate_pending WHERE (ms, sequence) < (?2, ?3) AND group_id IN
             (SELECT id FROM tidegate_group WHERE partition_id = ?1)",
        )?
        .execute(position)?;
    if unread > 0 {
        tracing::warn!(%partition, dropped, unread, "entries were dropped that nobody had read");
    }
    Ok(())
}

/// The first entry after the oldest `excess`.
fn first_kept(connection: &Connection, partition_id: i64, excess: u64) -> Result<Option<EntryId>> {
    let mut statement = connection.prepare_cached(
        "SELECT ms, sequence FROM tidegate_entry WHERE partition_id = ?1
         ORDER BY ms, sequence LIMIT 1 OFFSET ?2",
    )?;
    let mut rows = statement.query(params![partition_id, sql_number(excess)])?;
    rows.next()?.map(|row| entry_id(row, 0)).transpose()
}

/// How many entries before a position the slowest group has not read; all, where there is no
/// group.
fn count_unread(connection: &Connection, partition_id: i64, before: EntryId) -> Result<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM tidegate_entry
         WHERE partition_id = ?1 AND (ms, sequence) < (?2, ?3) AND (ms, sequence) > (
             SELECT coalesce(min(delivered_ms), 0), coalesce(min(delivered_sequence), -1) FROM (
                 SELECT delivered_ms, delivered_sequence FROM tidegate_group
                 WHERE partition_id = ?1 ORDER BY delivered_ms, delivered_sequence LIMIT 1
             )
         )",
    )?;
    let mut rows = statement.query(params![
        partition_id,
        sql_number(before.ms),
        sql_number(before.sequence)
    ])?;
    rows.next()?.map_or(Ok(0), |row| number(row, 0))
}
