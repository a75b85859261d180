//! Marks: small facts about a group's part in a partition.

use std::collections::BTreeMap;

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::column::sql_count;
use super::lease::{fence, group_of};
use super::partition;
use crate::lease::Lease;
use crate::mark::{self, MARKS_MAX};
use crate::stream::{GroupName, Partition};
use crate::{Error, Result};

/// Writes or clears a mark as the owner.
pub(super) fn put(
    connection: &Connection,
    lease: &Lease,
    name: &str,
    value: Option<&Bytes>,
    now_ms: u64,
) -> Result<()> {
    fence(connection, lease, now_ms)?;
    match value {
        Some(value) => set(connection, &lease.group, &lease.partition, name, value),
        None => clear(connection, &lease.group, &lease.partition, name).map(drop),
    }
}

/// Writes a mark.
pub(super) fn set(
    connection: &Connection,
    group: &GroupName,
    partition: &Partition,
    name: &str,
    value: &Bytes,
) -> Result<()> {
    mark::check(name, value)?;
    partition.stream.check_ownable(group, partition.index)?;
    let partition_id = partition::find_or_create(connection, partition)?.id;
    let group = group_of(&partition.stream, group);
    let others: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM tidegate_mark
             WHERE partition_id = ?1 AND group_name = ?2 AND name <> ?3",
        )?
        .query_row(params![partition_id, group, name], |row| row.get(0))?;
    if others >= sql_count(MARKS_MAX) {
        return Err(Error::Refused(
            format!("{partition} has {MARKS_MAX} marks already").into(),
        ));
    }
    connection
        .prepare_cached(
            "INSERT INTO tidegate_mark (partition_id, group_name, name, value)
             VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET value = excluded.value",
        )?
        .execute(params![partition_id, group, name, value.as_ref()])?;
    Ok(())
}

/// Clears a mark, and answers whether there was one.
pub(super) fn clear(
    connection: &Connection,
    group: &GroupName,
    partition: &Partition,
    name: &str,
) -> Result<bool> {
    let Some(row) = partition::find(connection, partition)? else {
        return Ok(false);
    };
    let deleted = connection
        .prepare_cached(
            "DELETE FROM tidegate_mark WHERE partition_id = ?1 AND group_name = ?2 AND name = ?3",
        )?
        .execute(params![row.id, group_of(&partition.stream, group), name])?;
    Ok(deleted > 0)
}

/// All marks of a group on a partition.
pub(super) fn all(
    connection: &Connection,
    group: &GroupName,
    partition: &Partition,
) -> Result<BTreeMap<String, Bytes>> {
    let Some(row) = partition::find(connection, partition)? else {
        return Ok(BTreeMap::new());
    };
    let mut statement = connection.prepare_cached(
        "SELECT name, value FROM tidegate_mark WHERE partition_id = ?1 AND group_name = ?2",
    )?;
    let mut rows = statement.query(params![row.id, group_of(&partition.stream, group)])?;
    let mut marks = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let value: Vec<u8> = row.get(1)?;
        marks.insert(row.get(0)?, Bytes::from(value));
    }
    Ok(marks)
}
