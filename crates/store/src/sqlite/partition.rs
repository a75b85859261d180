//! The row of a partition: its newest id and how many entries it ever had.

use rusqlite::{Connection, params};

use super::column::{entry_id, number, sql_number};
use crate::Result;
use crate::entry::EntryId;
use crate::stream::Partition;

/// What the store keeps of a partition besides its entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartitionRow {
    /// What the other tables call it.
    pub(super) id: i64,
    /// The newest entry ever appended.
    pub(super) last_id: EntryId,
    /// Entries ever appended; the newest one's ordinal.
    pub(super) appended: u64,
    /// Whether nothing can be appended any more.
    pub(super) is_sealed: bool,
}

/// Looks a partition up; none where nothing was ever written about it.
pub(super) fn find(connection: &Connection, partition: &Partition) -> Result<Option<PartitionRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, last_ms, last_sequence, appended, sealed FROM tidegate_partition
         WHERE stream = ?1 AND number = ?2",
    )?;
    let mut rows = statement.query(params![partition.stream.identity(), partition.index])?;
    match rows.next()? {
        Some(row) => Ok(Some(PartitionRow {
            id: row.get(0)?,
            last_id: entry_id(row, 1)?,
            appended: number(row, 3)?,
            is_sealed: row.get(4)?,
        })),
        None => Ok(None),
    }
}

/// Looks a partition up, and creates it empty where it is missing.
pub(super) fn find_or_create(
    connection: &Connection,
    partition: &Partition,
) -> Result<PartitionRow> {
    if let Some(found) = find(connection, partition)? {
        return Ok(found);
    }
    connection
        .prepare_cached(
            "INSERT INTO tidegate_partition (stream, number, last_ms, last_sequence, appended)
             VALUES (?1, ?2, 0, 0, 0)",
        )?
        .execute(params![partition.stream.identity(), partition.index])?;
    Ok(PartitionRow {
        id: connection.last_insert_rowid(),
        last_id: EntryId::ZERO,
        appended: 0,
        is_sealed: false,
    })
}

/// Closes a partition for good.
pub(super) fn seal(connection: &Connection, partition: &Partition) -> Result<()> {
    partition.stream.check_sealable()?;
    let row = find_or_create(connection, partition)?;
    connection
        .prepare_cached("UPDATE tidegate_partition SET sealed = 1 WHERE id = ?1")?
        .execute([row.id])?;
    Ok(())
}

/// How many entries a partition holds, one by one: parked entries go from the middle.
pub(super) fn count_held(connection: &Connection, row: &PartitionRow) -> Result<u64> {
    let mut statement =
        connection.prepare_cached("SELECT count(*) FROM tidegate_entry WHERE partition_id = ?1")?;
    let mut rows = statement.query([row.id])?;
    rows.next()?.map_or(Ok(0), |row| number(row, 0))
}

/// How many entries a partition holds from which only the oldest go: their ordinals have no gaps.
pub(super) fn count(connection: &Connection, row: &PartitionRow) -> Result<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT ordinal FROM tidegate_entry WHERE partition_id = ?1 ORDER BY ms, sequence LIMIT 1",
    )?;
    let mut rows = statement.query([row.id])?;
    match rows.next()? {
        Some(first) => Ok((row.appended + 1).saturating_sub(number(first, 0)?)),
        None => Ok(0),
    }
}

/// Writes a partition's newest id and count.
pub(super) fn update(connection: &Connection, row: &PartitionRow) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE tidegate_partition SET last_ms = ?2, last_sequence = ?3, appended = ?4
             WHERE id = ?1",
        )?
        .execute(params![
            row.id,
            sql_number(row.last_id.ms),
            sql_number(row.last_id.sequence),
            sql_number(row.appended),
        ])?;
    Ok(())
}
