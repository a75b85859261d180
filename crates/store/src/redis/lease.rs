//! Leases: who may act for a group on a partition.
//!
//! A lease is a key that expires, with the owner's id for its value; the epoch is a counter that
//! doesn't expire. A lease is held by the owner that is named and by the epoch that was handed
//! out last, both. Taking a lease steps the counter in the same script, so no epoch
//! is handed out twice by a server that keeps its memory; a server that has lost it is told by the
//! caller's `floor`. If the process dies here, its leases end by themselves.

use std::time::Duration;

use futures::future::join_all;
use rustis::resp::CommandBuilder;

use super::{RedisStore, Result};
use crate::Error;
use crate::lease::{Epoch, Lease, LeaseHolder, WorkerId};
use crate::stream::{GroupName, Partition};

/// The largest floor: the script counts in doubles, which are exact far beyond this.
const EPOCH_MAX: Epoch = Epoch(999_999_999_999_999);
/// The longest time to live, ten years; the server refuses what it can't add to its clock.
const TTL_MS_MAX: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// See [`Store::try_acquire_lease`](crate::Store::try_acquire_lease).
pub(super) async fn try_acquire(
    store: &RedisStore,
    group: &GroupName,
    partition: &Partition,
    worker: WorkerId,
    ttl: Duration,
    floor: Epoch,
) -> Result<Option<Lease>> {
    if floor > EPOCH_MAX {
        return Err(Error::Invalid(format!(
            "epoch {floor}: at most {EPOCH_MAX} can be counted"
        )));
    }
    partition.stream.check_ownable(group, partition.index)?;
    let (lease, epoch) = (
        store.keys.lease(group, partition),
        store.keys.epoch(group, partition),
    );
    let mut reply = store
        .server
        .run(&store.scripts.acquire, |command| {
            command
                .arg(2)
                .key(lease.as_str())
                .key(epoch.as_str())
                .arg(worker.to_string())
                .arg(ttl_ms(ttl))
                .arg(floor.0)
        })
        .await?;
    let Some(epoch) = reply.optional_text()? else {
        return Ok(None);
    };
    let epoch = parse(&epoch).ok_or_else(|| Error::Corrupt("an epoch is not a number".into()))?;
    let lease = Lease {
        group: group.clone(),
        partition: partition.clone(),
        worker,
        epoch: Epoch(epoch),
    };
    store.holdings.add(&lease);
    Ok(Some(lease))
}

/// See [`Store::renew_leases`](crate::Store::renew_leases).
pub(super) async fn renew(
    store: &RedisStore,
    leases: &[Lease],
    ttl: Duration,
) -> Result<Vec<bool>> {
    let renewals = leases.iter().map(|lease| async move {
        let arguments = |command| held(store, command, lease).arg(ttl_ms(ttl));
        let renewed = store
            .server
            .run(&store.scripts.renew, arguments)
            .await?
            .number()?;
        if renewed == 0 {
            store.holdings.remove(lease);
        }
        Ok(renewed == 1)
    });
    join_all(renewals).await.into_iter().collect()
}

/// See [`Store::release_lease`](crate::Store::release_lease).
pub(super) async fn release(store: &RedisStore, lease: &Lease) -> Result<()> {
    let arguments = |command| held(store, command, lease);
    store.holdings.remove(lease);
    store
        .server
        .run(&store.scripts.release, arguments)
        .await?
        .number()?;
    Ok(())
}

/// The keys and arguments by which a lease is known to be held.
fn held(store: &RedisStore, command: CommandBuilder, lease: &Lease) -> CommandBuilder {
    command
        .arg(2)
        .key(store.keys.lease(&lease.group, &lease.partition))
        .key(store.keys.epoch(&lease.group, &lease.partition))
        .arg(lease.worker.to_string())
        .arg(lease.epoch.0)
}

/// See [`Store::lease_holders`](crate::Store::lease_holders).
pub(super) async fn holders(
    store: &RedisStore,
    group: &GroupName,
    partitions: &[Partition],
) -> Result<Vec<Option<LeaseHolder>>> {
    let questions = partitions
        .iter()
        .map(|partition| holder(store, group, partition));
    join_all(questions).await.into_iter().collect()
}

async fn holder(
    store: &RedisStore,
    group: &GroupName,
    partition: &Partition,
) -> Result<Option<LeaseHolder>> {
    let (lease, epoch) = (
        store.keys.lease(group, partition),
        store.keys.epoch(group, partition),
    );
    let mut reply = store
        .server
        .run(&store.scripts.holder, |command| {
            command.arg(2).key(lease.as_str()).key(epoch.as_str())
        })
        .await?;
    if reply.optional_list()?.is_none() {
        return Ok(None);
    }
    let (worker, epoch) = (reply.text()?, reply.number()?);
    // A lock without an end, which only a stranger can have set, is -1.
    let ends_in_ms = u64::try_from(reply.integer()?).unwrap_or(u64::MAX);
    Ok(Some(holder_from(&worker, Epoch(epoch), ends_in_ms)))
}

/// A value that is no worker's id was written by a program that is not Tidegate, and the epoch
/// is that of an earlier owner.
fn holder_from(value: &[u8], epoch: Epoch, ends_in_ms: u64) -> LeaseHolder {
    let worker = std::str::from_utf8(value)
        .ok()
        .and_then(|value| value.parse().ok());
    LeaseHolder {
        worker,
        epoch: worker.map_or(Epoch::default(), |_| epoch),
        ends_in_ms,
    }
}

/// Whole milliseconds; never none, which the server would refuse.
pub(super) fn ttl_ms(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis())
        .unwrap_or(TTL_MS_MAX)
        .clamp(1, TTL_MS_MAX)
}

fn parse(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ancestors_lock_is_a_holder_without_a_worker() {
        let expected = LeaseHolder {
            worker: None,
            epoch: Epoch(0),
            ends_in_ms: 5,
        };
        for value in ["true", "", "7", "7:", ":"] {
            assert_eq!(
                holder_from(value.as_bytes(), Epoch(7), 5),
                expected,
                "{value:?}"
            );
        }
    }

    #[test]
    fn our_own_value_is_read_back() {
        let worker = WorkerId::random();
        assert_eq!(
            holder_from(worker.to_string().as_bytes(), Epoch(7), 5),
            LeaseHolder {
                worker: Some(worker),
                epoch: Epoch(7),
                ends_in_ms: 5
            }
        );
    }

    #[test]
    fn a_time_to_live_is_at_least_a_millisecond() {
        assert_eq!(ttl_ms(Duration::ZERO), 1);
        assert_eq!(ttl_ms(Duration::from_secs(2)), 2_000);
        assert_eq!(ttl_ms(Duration::MAX), TTL_MS_MAX);
    }
}
