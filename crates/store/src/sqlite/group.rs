//! Groups: what was delivered, what is pending, what is acknowledged.
//!
//! ```text
//! fetch new ─► pending ─► acknowledge            (the store keeps the position)
//! read_after ─────────► acknowledge through      (the reader keeps its own)
//! ```
//!
//! Every function first asks for the lease, in the transaction of its writes. If the process dies
//! after a fetch, what it fetched is pending, and the next owner reads it first.

use rusqlite::{Connection, params};

use super::column::{entry_id, number, sql_number};
use super::lease::{self, fence};
use super::partition;
use super::read::{StoredEntry, collect, entries_after, rows_max};
use crate::Result;
use crate::entry::EntryId;
use crate::lease::Lease;
use crate::port::{Fetch, ReadLimit, Start};
use crate::stream::{GroupName, Partition};

/// A group's position in a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupRow {
    id: i64,
    /// Everything up to here was delivered.
    pub(super) delivered_through: EntryId,
}

/// Looks a group up.
pub(super) fn find(
    connection: &Connection,
    partition_id: i64,
    group: &GroupName,
) -> Result<Option<GroupRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, delivered_ms, delivered_sequence FROM tidegate_group
         WHERE partition_id = ?1 AND name = ?2",
    )?;
    let mut rows = statement.query(params![partition_id, group.as_str()])?;
    match rows.next()? {
        Some(row) => Ok(Some(GroupRow {
            id: row.get(0)?,
            delivered_through: entry_id(row, 1)?,
        })),
        None => Ok(None),
    }
}

/// How many entries are delivered to a group and not acknowledged.
pub(super) fn count_pending(connection: &Connection, group: &GroupRow) -> Result<u64> {
    let mut statement =
        connection.prepare_cached("SELECT count(*) FROM tidegate_pending WHERE group_id = ?1")?;
    let mut rows = statement.query([group.id])?;
    rows.next()?.map_or(Ok(0), |row| number(row, 0))
}

/// The groups that have a position in a partition, sorted.
pub(super) fn names(connection: &Connection, partition: &Partition) -> Result<Vec<GroupName>> {
    let Some(row) = partition::find(connection, partition)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection
        .prepare_cached("SELECT name FROM tidegate_group WHERE partition_id = ?1 ORDER BY name")?;
    let mut rows = statement.query([row.id])?;
    let mut names = Vec::new();
    while let Some(row) = rows.next()? {
        names.push(GroupName::new(&row.get::<_, String>(0)?)?);
    }
    Ok(names)
}

/// Reads as the owner.
pub(super) fn fetch(
    connection: &Connection,
    lease: &Lease,
    fetch: Fetch,
    limit: ReadLimit,
    now_ms: u64,
) -> Result<Vec<StoredEntry>> {
    let partition_id = fence(connection, lease, now_ms)?;
    let group = find_or_create(connection, partition_id, &lease.group)?;
    match fetch {
        Fetch::Pending(after) => pending_after(connection, partition_id, group, after, limit),
        Fetch::New => deliver(connection, partition_id, group, limit),
    }
}

/// Acknowledges single entries and returns how many were pending.
pub(super) fn acknowledge(
    connection: &Connection,
    lease: &Lease,
    ids: &[EntryId],
    now_ms: u64,
) -> Result<u64> {
    let partition_id = fence(connection, lease, now_ms)?;
    let Some(group) = find(connection, partition_id, &lease.group)? else {
        return Ok(0);
    };
    let mut delete = connection.prepare_cached(
        "DELETE FROM tidegate_pending WHERE group_id = ?1 AND ms = ?2 AND sequence = ?3",
    )?;
    let mut acknowledged = 0;
    for id in ids {
        let deleted = delete.execute(params![
            group.id,
            sql_number(id.ms),
            sql_number(id.sequence)
        ])?;
        acknowledged += u64::from(deleted > 0);
    }
    Ok(acknowledged)
}

/// Moves the group's position to `through`, with nothing pending.
pub(super) fn acknowledge_through(
    connection: &Connection,
    lease: &Lease,
    through: EntryId,
    now_ms: u64,
) -> Result<()> {
    let partition_id = fence(connection, lease, now_ms)?;
    let group = find_or_create(connection, partition_id, &lease.group)?;
    forget_pending(connection, group)?;
    move_position(connection, group, through)
}

/// Lets the group begin again at `start`, and ends the present lease.
pub(super) fn reset(
    connection: &Connection,
    group: &GroupName,
    partition: &Partition,
    start: Start,
) -> Result<()> {
    partition.stream.check_ownable(group, partition.index)?;
    let row = partition::find_or_create(connection, partition)?;
    lease::end(
        connection,
        row.id,
        lease::group_of(&partition.stream, group),
    )?;
    let group = find_or_create(connection, row.id, group)?;
    forget_pending(connection, group)?;
    let position = match start {
        Start::Beginning => EntryId::ZERO,
        Start::End => row.last_id,
        Start::After(id) => id,
        Start::Time(ms) => EntryId::last_before_ms(ms),
    };
    move_position(connection, group, position)
}

fn forget_pending(connection: &Connection, group: GroupRow) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM tidegate_pending WHERE group_id = ?1")?
        .execute([group.id])?;
    Ok(())
}

fn deliver(
    connection: &Connection,
    partition_id: i64,
    group: GroupRow,
    limit: ReadLimit,
) -> Result<Vec<StoredEntry>> {
    let entries = entries_after(connection, partition_id, group.delivered_through, limit)?;
    let Some(last) = entries.last() else {
        return Ok(entries);
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO tidegate_pending (group_id, ms, sequence) VALUES (?1, ?2, ?3)",
    )?;
    for entry in &entries {
        insert.execute(params![
            group.id,
            sql_number(entry.id.ms),
            sql_number(entry.id.sequence)
        ])?;
    }
    move_position(connection, group, last.id)?;
    Ok(entries)
}

fn pending_after(
    connection: &Connection,
    partition_id: i64,
    group: GroupRow,
    after: EntryId,
    limit: ReadLimit,
) -> Result<Vec<StoredEntry>> {
    let mut statement = connection.prepare_cached(
        "SELECT pending.ms, pending.sequence, entry.fields
         FROM tidegate_pending AS pending
         JOIN tidegate_entry AS entry
           ON entry.partition_id = ?2
          AND entry.ms = pending.ms AND entry.sequence = pending.sequence
         WHERE pending.group_id = ?1 AND (pending.ms, pending.sequence) > (?3, ?4)
         ORDER BY pending.ms, pending.sequence LIMIT ?5",
    )?;
    let (ms, sequence) = (sql_number(after.ms), sql_number(after.sequence));
    let rows = statement.query(params![
        group.id,
        partition_id,
        ms,
        sequence,
        rows_max(limit)
    ])?;
    collect(rows, limit)
}

fn find_or_create(
    connection: &Connection,
    partition_id: i64,
    group: &GroupName,
) -> Result<GroupRow> {
    if let Some(found) = find(connection, partition_id, group)? {
        return Ok(found);
    }
    connection
        .prepare_cached(
            "INSERT INTO tidegate_group (partition_id, name, delivered_ms, delivered_sequence)
             VALUES (?1, ?2, 0, 0)",
        )?
        .execute(params![partition_id, group.as_str()])?;
    Ok(GroupRow {
        id: connection.last_insert_rowid(),
        delivered_through: EntryId::ZERO,
    })
}

fn move_position(connection: &Connection, group: GroupRow, to: EntryId) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE tidegate_group SET delivered_ms = ?2, delivered_sequence = ?3 WHERE id = ?1",
        )?
        .execute(params![
            group.id,
            sql_number(to.ms),
            sql_number(to.sequence)
        ])?;
    Ok(())
}
