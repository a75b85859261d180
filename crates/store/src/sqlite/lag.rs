//! Lag: how far a group is, from positions and ordinals, without counting entries.

use rusqlite::Connection;

use super::read::first_ordinal_after;
use super::{group, partition};
use crate::Result;
use crate::entry::EntryId;
use crate::port::Lag;
use crate::stream::{GroupName, Kind, Partition};

/// How far the group is in each of the partitions.
pub(super) fn lag(
    connection: &Connection,
    group: &GroupName,
    partitions: &[Partition],
) -> Result<Vec<Lag>> {
    partitions
        .iter()
        .map(|partition| lag_of_one(connection, group, partition))
        .collect()
}

fn lag_of_one(connection: &Connection, group: &GroupName, partition: &Partition) -> Result<Lag> {
    let Some(row) = partition::find(connection, partition)? else {
        return Ok(Lag::default());
    };
    let group = group::find(connection, row.id, group)?;
    let delivered_through = group.map_or(EntryId::ZERO, |group| group.delivered_through);
    // The newest entry's ordinal is the number of all ever appended.
    let count_after = |position| -> Result<u64> {
        let first = first_ordinal_after(connection, row.id, position)?;
        Ok(first.map_or(0, |ordinal| {
            row.appended.saturating_sub(ordinal).saturating_add(1)
        }))
    };
    Ok(Lag {
        appended: row.appended,
        held: match partition.stream.kind() {
            // Parked entries are deleted in any order, which leaves gaps.
            Kind::Parked(_) => partition::count_held(connection, &row)?,
            _ => count_after(EntryId::ZERO)?,
        },
        last_id: row.last_id,
        delivered_through,
        pending: match &group {
            Some(group) => group::count_pending(connection, group)?,
            None => 0,
        },
        undelivered: count_after(delivered_through)?,
        is_sealed: row.is_sealed,
    })
}
