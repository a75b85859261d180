//! Trim: deletes what every group has acknowledged.
//!
//! Only the oldest entries go, up to the first that some group still needs, a bounded number in
//! each transaction, so that appends get their turn between. If the process dies here, the rest
//! goes with the next trim.

use rusqlite::{Connection, params};

use super::column::{entry_id, number, sql_number};
use super::group;
use super::lease::fence;
use crate::Result;
use crate::entry::EntryId;
use crate::lease::Lease;

/// How many entries one transaction deletes at most.
const ENTRIES_PER_TRANSACTION_MAX: u64 = 4096;

/// What one transaction has deleted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trimmed {
    /// How many entries.
    pub(super) entries: u64,
    /// Whether there may be more to delete.
    pub(super) has_more: bool,
}

/// Deletes the oldest entries that no group needs, and leaves `keep` at least.
pub(super) fn trim(
    connection: &Connection,
    lease: &Lease,
    keep: u64,
    now_ms: u64,
) -> Result<Trimmed> {
    let partition_id = fence(connection, lease, now_ms)?;
    // A group that has not begun will begin at the first entry: it has acknowledged nothing.
    if group::find(connection, partition_id, &lease.group)?.is_none() {
        return Ok(Trimmed {
            entries: 0,
            has_more: false,
        });
    }
    let Some(needed) = first_needed(connection, partition_id)? else {
        return Ok(Trimmed {
            entries: 0,
            has_more: false,
        });
    };
    let spare = match keep {
        0 => u64::MAX,
        keep => held(connection, partition_id)?.saturating_sub(keep),
    };
    let chunk = spare.min(ENTRIES_PER_TRANSACTION_MAX);
    let bound = entry_at(connection, partition_id, chunk)?;
    let before = bound.map_or(needed, |bound| bound.min(needed));
    let deleted = connection
        .prepare_cached(
            "DELETE FROM tidegate_entry WHERE partition_id = ?1 AND (ms, sequence) < (?2, ?3)",
        )?
        .execute(params![
            partition_id,
            sql_number(before.ms),
            sql_number(before.sequence)
        ])?;
    Ok(Trimmed {
        entries: u64::try_from(deleted).unwrap_or(u64::MAX),
        has_more: before < needed && chunk < spare,
    })
}

/// The first position that some group still needs: its oldest pending entry, or else what comes
/// after its position. None where the partition has no group.
fn first_needed(connection: &Connection, partition_id: i64) -> Result<Option<EntryId>> {
    let mut groups = connection.prepare_cached(
        "SELECT id, delivered_ms, delivered_sequence FROM tidegate_group WHERE partition_id = ?1",
    )?;
    let mut oldest_pending = connection.prepare_cached(
        "SELECT ms, sequence FROM tidegate_pending WHERE group_id = ?1
         ORDER BY ms, sequence LIMIT 1",
    )?;
    let mut first: Option<EntryId> = None;
    let mut rows = groups.query([partition_id])?;
    while let Some(row) = rows.next()? {
        let group_id: i64 = row.get(0)?;
        let mut pending = oldest_pending.query([group_id])?;
        let needed = match pending.next()? {
            Some(oldest) => entry_id(oldest, 0)?,
            None => entry_id(row, 1)?.next(),
        };
        first = Some(first.map_or(needed, |first| first.min(needed)));
    }
    Ok(first)
}

/// How many entries the partition holds: ordinals have no gaps.
fn held(connection: &Connection, partition_id: i64) -> Result<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT appended, (SELECT ordinal FROM tidegate_entry WHERE partition_id = ?1
                           ORDER BY ms, sequence LIMIT 1)
         FROM tidegate_partition WHERE id = ?1",
    )?;
    let mut rows = statement.query([partition_id])?;
    match rows.next()? {
        Some(row) if row.get::<_, Option<i64>>(1)?.is_some() => {
            Ok((number(row, 0)? + 1).saturating_sub(number(row, 1)?))
        }
        _ => Ok(0),
    }
}

/// The entry with so many others before it: the first that is too many for one transaction.
fn entry_at(connection: &Connection, partition_id: i64, before: u64) -> Result<Option<EntryId>> {
    let mut statement = connection.prepare_cached(
        "SELECT ms, sequence FROM tidegate_entry WHERE partition_id = ?1
         ORDER BY ms, sequence LIMIT 1 OFFSET ?2",
    )?;
    let mut rows = statement.query(params![partition_id, sql_number(before)])?;
    match rows.next()? {
        Some(row) => entry_id(row, 0).map(Some),
        None => Ok(None),
    }
}
