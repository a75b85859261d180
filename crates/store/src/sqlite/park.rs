//! Park: from pending in a partition to the group's parked stream, and out of that.
//!
//! Each call is one transaction: if the process dies here, an entry is either pending or parked,
//! never both and never neither.

use rusqlite::{Connection, params};

use super::column::sql_number;
use super::lease::fence;
use super::{group, partition, push};
use crate::Result;
use crate::entry::EntryId;
use crate::lease::Lease;
use crate::parked::ParkedEntry;
use crate::stream::Partition;

/// Moves what is pending of these entries to the parked stream.
pub(super) fn park(
    connection: &Connection,
    lease: &Lease,
    entries: Vec<ParkedEntry>,
    now_ms: u64,
) -> Result<()> {
    let parked = parked_of(lease)?;
    fence(connection, lease, now_ms)?;
    for entry in entries {
        if group::acknowledge(connection, lease, &[entry.id], now_ms)? > 0 {
            push::push(connection, &parked, &entry.into_fields(now_ms), now_ms)?;
        }
    }
    Ok(())
}

/// Deletes parked entries, and returns how many there were.
pub(super) fn unpark(
    connection: &Connection,
    lease: &Lease,
    ids: &[EntryId],
    now_ms: u64,
) -> Result<u64> {
    let parked = parked_of(lease)?;
    fence(connection, lease, now_ms)?;
    let Some(row) = partition::find(connection, &parked)? else {
        return Ok(0);
    };
    let mut delete = connection.prepare_cached(
        "DELETE FROM tidegate_entry WHERE partition_id = ?1 AND ms = ?2 AND sequence = ?3",
    )?;
    let mut deleted = 0;
    for id in ids {
        let rows = delete.execute(params![row.id, sql_number(id.ms), sql_number(id.sequence)])?;
        deleted += u64::from(rows > 0);
    }
    Ok(deleted)
}

fn parked_of(lease: &Lease) -> Result<Partition> {
    let parked = lease.partition.stream.try_parked(&lease.group)?;
    Ok(parked.partition(lease.partition.index))
}
