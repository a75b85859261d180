//! Leases in the file: who owns a partition, since which epoch, until when.
//!
//! The row of a lease is never deleted: it keeps the epoch when the owner has gone. A lease that
//! has reached its end is nobody's, even where no one has taken it yet: its owner is told
//! `LeaseLost`, as if another had.
//!
//! If the process dies while it owns, the lease ends by itself and the next owner gets a larger
//! epoch.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::clock::whole_ms;
use super::column::{number, sql_number};
use super::partition;
use crate::lease::{Epoch, Lease, LeaseHolder, WorkerId};
use crate::stream::{GroupName, Kind, Partition, StreamName};
use crate::{Error, Result};

struct LeaseRow {
    epoch: Epoch,
    worker: Option<WorkerId>,
    ends_at_ms: u64,
}

impl LeaseRow {
    fn holder(&self, now_ms: u64) -> Option<WorkerId> {
        self.worker.filter(|_| self.ends_at_ms > now_ms)
    }
}

/// The partition's row id, if the lease is good now.
///
/// # Errors
/// [`Error::LeaseLost`] otherwise. The write that follows is in the same transaction, so nothing
/// comes between.
pub(super) fn fence(connection: &Connection, lease: &Lease, now_ms: u64) -> Result<i64> {
    let lost = || Error::LeaseLost {
        partition: lease.partition.clone(),
        epoch: lease.epoch,
    };
    connection
        .prepare_cached(
            "SELECT partition_id
             FROM tidegate_partition JOIN tidegate_lease ON partition_id = id
             WHERE stream = ?1 AND number = ?2 AND group_name = ?3
               AND worker = ?4 AND epoch = ?5 AND ends_at_ms > ?6",
        )?
        .query_row(
            params![
                lease.partition.stream.identity(),
                lease.partition.index,
                lease_group(lease),
                lease.worker.to_string(),
                sql_number(lease.epoch.0),
                sql_number(now_ms),
            ],
            |row| row.get(0),
        )
        .optional()?
        .ok_or_else(lost)
}

/// Takes a lease that nobody holds.
pub(super) fn try_acquire(
    connection: &Connection,
    wanted: Lease,
    ttl: Duration,
    now_ms: u64,
) -> Result<Option<Lease>> {
    let Partition { stream, index } = &wanted.partition;
    stream.check_ownable(&wanted.group, *index)?;
    let partition_id = partition::find_or_create(connection, &wanted.partition)?.id;
    let group = group_of(stream, &wanted.group);
    let last = find(connection, partition_id, group)?;
    if let Some(last) = &last
        && let Some(holder) = last.holder(now_ms)
    {
        // A call that was sent long ago and arrives only now has an older floor, and takes
        // nothing away from the owner that the same worker has since then.
        if holder != wanted.worker || wanted.epoch < last.epoch {
            return Ok(None);
        }
    }
    // `wanted` carries the floor as its epoch.
    let last_epoch = last.map_or(Epoch(0), |row| row.epoch).max(wanted.epoch);
    let epoch = match last_epoch.0.checked_add(1) {
        Some(epoch) if i64::try_from(epoch).is_ok() => Epoch(epoch),
        _ => {
            return Err(Error::Invalid(format!(
                "no epoch is left above {last_epoch}"
            )));
        }
    };
    connection
        .prepare_cached(
            "INSERT INTO tidegate_lease (partition_id, group_name, epoch, worker, ends_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET epoch = excluded.epoch, worker = excluded.worker,
                                       ends_at_ms = excluded.ends_at_ms",
        )?
        .execute(params![
            partition_id,
            group,
            sql_number(epoch.0),
            wanted.worker.to_string(),
            sql_number(now_ms.saturating_add(whole_ms(ttl))),
        ])?;
    Ok(Some(Lease { epoch, ..wanted }))
}

/// Ends the present lease, whoever holds it, and its epoch.
pub(super) fn end(connection: &Connection, partition_id: i64, group: &str) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO tidegate_lease (partition_id, group_name, epoch, worker, ends_at_ms)
             VALUES (?1, ?2, 1, NULL, 0)
             ON CONFLICT DO UPDATE SET epoch = epoch + 1, worker = NULL, ends_at_ms = 0",
        )?
        .execute(params![partition_id, group])?;
    Ok(())
}

/// Renews those of the leases that are still held, and says which.
pub(super) fn renew(
    connection: &Connection,
    leases: &[Lease],
    ttl: Duration,
    now_ms: u64,
) -> Result<Vec<bool>> {
    let ends_at_ms = sql_number(now_ms.saturating_add(whole_ms(ttl)));
    let mut extend = connection.prepare_cached(
        "UPDATE tidegate_lease SET ends_at_ms = ?3 WHERE partition_id = ?1 AND group_name = ?2",
    )?;
    leases
        .iter()
        .map(|lease| match fence(connection, lease, now_ms) {
            Ok(partition_id) => {
                extend.execute(params![partition_id, lease_group(lease), ends_at_ms])?;
                Ok(true)
            }
            Err(Error::LeaseLost { .. }) => Ok(false),
            Err(error) => Err(error),
        })
        .collect()
}

/// Gives a lease back, unless it is lost already.
pub(super) fn release(connection: &Connection, lease: &Lease, now_ms: u64) -> Result<()> {
    let partition_id = match fence(connection, lease, now_ms) {
        Ok(partition_id) => partition_id,
        Err(Error::LeaseLost { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    connection
        .prepare_cached(
            "UPDATE tidegate_lease SET worker = NULL, ends_at_ms = 0
             WHERE partition_id = ?1 AND group_name = ?2",
        )?
        .execute(params![partition_id, lease_group(lease)])?;
    Ok(())
}

/// Who holds these leases now.
pub(super) fn holders(
    connection: &Connection,
    group: &GroupName,
    partitions: &[Partition],
    now_ms: u64,
) -> Result<Vec<Option<LeaseHolder>>> {
    let holder = |partition: &Partition| {
        let group = group_of(&partition.stream, group);
        let Some(partition) = partition::find(connection, partition)? else {
            return Ok(None);
        };
        let Some(row) = find(connection, partition.id, group)? else {
            return Ok(None);
        };
        Ok(row.holder(now_ms).map(|worker| LeaseHolder {
            worker: Some(worker),
            epoch: row.epoch,
            ends_in_ms: row.ends_at_ms.saturating_sub(now_ms),
        }))
    };
    partitions.iter().map(holder).collect()
}

fn find(connection: &Connection, partition_id: i64, group: &str) -> Result<Option<LeaseRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT epoch, worker, ends_at_ms FROM tidegate_lease
         WHERE partition_id = ?1 AND group_name = ?2",
    )?;
    let mut rows = statement.query(params![partition_id, group])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let worker: Option<String> = row.get(1)?;
    Ok(Some(LeaseRow {
        epoch: Epoch(number(row, 0)?),
        worker: worker.as_deref().map(stored_worker).transpose()?,
        ends_at_ms: number(row, 2)?,
    }))
}

/// For which group a lease counts. A leadership is the app's, whatever the group.
pub(super) fn group_of<'a>(stream: &StreamName, group: &'a GroupName) -> &'a str {
    match stream.kind() {
        Kind::Leadership { .. } => "",
        _ => group.as_str(),
    }
}

fn lease_group(lease: &Lease) -> &str {
    group_of(&lease.partition.stream, &lease.group)
}

/// A worker id from a column.
pub(super) fn stored_worker(text: &str) -> Result<WorkerId> {
    text.parse()
        .map_err(|source: Error| Error::Corrupt(source.to_string()))
}
