//! Push: an entry that is appended as a part of another command, in its transaction.

use rusqlite::{Connection, params};

use super::append::id_after;
use super::column::sql_number;
use super::{codec, partition};
use crate::Result;
use crate::entry::Field;
use crate::stream::Partition;

/// Appends an entry to a partition.
pub(super) fn push(
    connection: &Connection,
    partition: &Partition,
    fields: &[Field],
    now_ms: u64,
) -> Result<()> {
    let mut row = partition::find_or_create(connection, partition)?;
    row.last_id = id_after(row.last_id, now_ms);
    row.appended += 1;
    connection
        .prepare_cached(
            "INSERT INTO tidegate_entry (partition_id, ms, sequence, ordinal, fields)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            row.id,
            sql_number(row.last_id.ms),
            sql_number(row.last_id.sequence),
            sql_number(row.appended),
            codec::encode(fields),
        ])?;
    partition::update(connection, &row)
}

/// Deletes the oldest entries of a partition, and leaves `keep`.
pub(super) fn cut(connection: &Connection, partition: &Partition, keep: u64) -> Result<()> {
    let Some(row) = partition::find(connection, partition)? else {
        return Ok(());
    };
    // Ordinals have no gaps, and grow with the ids.
    connection
        .prepare_cached(
            "DELETE FROM tidegate_entry WHERE partition_id = ?1 AND (ms, sequence) <= (
                 SELECT ms, sequence FROM tidegate_entry WHERE partition_id = ?1
                 ORDER BY ms DESC, sequence DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![row.id, sql_number(keep)])?;
    Ok(())
}
