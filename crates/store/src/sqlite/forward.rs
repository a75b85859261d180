//! Forward: the ids of a partition go on behind what its reader has settled, as after a file was
//! put back from a backup.
//!
//! New entries with ids that the reader takes for settled are appended again, and all that came
//! after them. It is one transaction: if the process dies here, all of it was done or nothing.

use rusqlite::{Connection, params};

use super::column::{entry_id, sql_number};
use super::lease::fence;
use super::{append, partition};
use crate::entry::EntryId;
use crate::lease::Lease;
use crate::port::Forward;
use crate::{Error, Result};

/// See [`Store::move_last_id_forward`](crate::Store::move_last_id_forward).
pub(super) fn move_last_id_forward(
    connection: &Connection,
    lease: &Lease,
    forward: &Forward,
    now_ms: u64,
) -> Result<u64> {
    fence(connection, lease, now_ms)?;
    let mut row = partition::find_or_create(connection, &lease.partition)?;
    if row.last_id < forward.seen {
        return Err(Error::Unavailable(
            "the log has stepped back once more".into(),
        ));
    }
    let after = forward
        .carried
        .first()
        .copied()
        .map_or(forward.seen, |id| id.min(forward.seen));
    let is_new = |id: EntryId| id > forward.seen || forward.carried.contains(&id);
    let mut again = entries_from(connection, row.id, after)?;
    again.retain(|(id, _)| *id > forward.through || is_new(*id));
    if again.iter().all(|(id, _)| *id > forward.through) {
        again.clear();
    }
    for (id, _) in &again {
        connection
            .prepare_cached(
                "DELETE FROM tidegate_entry WHERE partition_id = ?1 AND ms = ?2 AND sequence = ?3",
            )?
            .execute(params![row.id, sql_number(id.ms), sql_number(id.sequence)])?;
    }
    row.last_id = row.last_id.max(forward.through);
    for (_, fields) in &again {
        append::insert(connection, &mut row, fields, now_ms)?;
    }
    let behind: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM tidegate_entry
             WHERE partition_id = ?1 AND (ms, sequence) > (?2, ?3)",
        )?
        .query_row(
            params![
                row.id,
                sql_number(forward.through.ms),
                sql_number(forward.through.sequence)
            ],
            |row| row.get(0),
        )?;
    let held = partition::count_held(connection, &row)?;
    row.appended = (forward.settled + u64::try_from(behind).unwrap_or_default()).max(held);
    // The newest entry's ordinal is the number of all that were appended, and there are no gaps.
    connection
        .prepare_cached(
            "UPDATE tidegate_entry SET ordinal = ?2 - numbered.behind
             FROM (SELECT ms, sequence,
                       row_number() OVER (ORDER BY ms DESC, sequence DESC) - 1 AS behind
                   FROM tidegate_entry WHERE partition_id = ?1) AS numbered
             WHERE tidegate_entry.partition_id = ?1 AND tidegate_entry.ms = numbered.ms
               AND tidegate_entry.sequence = numbered.sequence",
        )?
        .execute(params![row.id, sql_number(row.appended)])?;
    partition::update(connection, &row)?;
    Ok(again.len() as u64)
}

/// The entries from an id on, with their fields as they are stored.
fn entries_from(
    connection: &Connection,
    partition_id: i64,
    from: EntryId,
) -> Result<Vec<(EntryId, Vec<u8>)>> {
    let mut statement = connection.prepare_cached(
        "SELECT ms, sequence, fields FROM tidegate_entry
         WHERE partition_id = ?1 AND (ms, sequence) >= (?2, ?3) ORDER BY ms, sequence",
    )?;
    let mut rows = statement.query(params![
        partition_id,
        sql_number(from.ms),
        sql_number(from.sequence)
    ])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push((entry_id(row, 0)?, row.get(2)?));
    }
    Ok(entries)
}
