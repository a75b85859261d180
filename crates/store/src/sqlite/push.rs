//! Push: an entry that is appended as a part of another command, in its transaction.

use rusqlite::{Connection, params};

use super::column::sql_number;
use super::{append, codec, partition};
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
    append::insert(connection, &mut row, &codec::encode(fields), now_ms)?;
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
