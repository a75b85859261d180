//! A group's progress in a partition: acknowledge, trim, and how far it is.
//!
//! What an owner writes here is fenced: the script looks at the lease and acts in one step. If the
//! process dies here, the write was done or it was not; each can be repeated.

use bytes::Bytes;
use futures::future::join_all;
use rustis::resp::CommandBuilder;

use super::read::{owned, unowned};
use super::{RedisStore, Result};
use crate::Error;
use crate::entry::EntryId;
use crate::lease::Lease;
use crate::port::{Lag, Start};
use crate::stream::{GroupName, Partition};

/// How many entries a question for the lag may count one by one, where the server has lost count.
const COUNTED_MAX: usize = 10_000;
/// The largest number of entries to keep: the script counts in doubles.
const KEEP_MAX: u64 = 1 << 53;
/// How many numbers and ids the script for the lag answers.
const LAG_PARTS: usize = 7;

/// See [`Store::acknowledge`](crate::Store::acknowledge).
pub(super) async fn acknowledge(store: &RedisStore, lease: &Lease, ids: &[EntryId]) -> Result<u64> {
    let arguments = |command| {
        ids.iter()
            .fold(owned(store, command, lease), |command, id| {
                command.arg(id.to_string())
            })
    };
    let reply = store
        .server
        .run(&store.scripts.acknowledge, arguments)
        .await;
    reply.map_err(|failure| failure.fenced(lease))?.number()
}

/// See [`Store::acknowledge_through`](crate::Store::acknowledge_through).
pub(super) async fn acknowledge_through(
    store: &RedisStore,
    lease: &Lease,
    through: EntryId,
) -> Result<()> {
    let arguments = |command| owned(store, command, lease).arg(through.to_string());
    let reply = store
        .server
        .run(&store.scripts.acknowledge_through, arguments)
        .await;
    reply.map_err(|failure| failure.fenced(lease))?.text()?;
    Ok(())
}

/// See [`Store::trim`](crate::Store::trim).
pub(super) async fn trim(store: &RedisStore, lease: &Lease, keep: u64) -> Result<u64> {
    let keep = keep.min(KEEP_MAX);
    let arguments = |command| owned(store, command, lease).arg(keep);
    let reply = store.server.run(&store.scripts.trim, arguments).await;
    reply.map_err(|failure| failure.fenced(lease))?.number()
}

/// See [`Store::reset_group`](crate::Store::reset_group).
pub(super) async fn reset(
    store: &RedisStore,
    group: &GroupName,
    partition: &Partition,
    start: Start,
) -> Result<()> {
    partition.stream.check_ownable(group, partition.index)?;
    let position = match start {
        Start::End => "$".to_owned(),
        Start::Beginning => EntryId::ZERO.to_string(),
        Start::After(id) => id.to_string(),
        Start::Time(ms) => EntryId::last_before_ms(ms).to_string(),
    };
    let arguments =
        |command| unowned(store, command, group, partition, None).arg(position.as_str());
    store
        .server
        .run(&store.scripts.reset, arguments)
        .await?
        .text()?;
    Ok(())
}

/// See [`Store::lag`](crate::Store::lag). Where the server has lost count of what was delivered,
/// because a position was moved and the entries before it are not trimmed, the first
/// [`COUNTED_MAX`] are counted, and beyond that `undelivered` is too large rather than too small.
pub(super) async fn lag(
    store: &RedisStore,
    group: &GroupName,
    partitions: &[Partition],
) -> Result<Vec<Lag>> {
    let questions = partitions
        .iter()
        .map(|partition| lag_of(store, group, partition));
    join_all(questions).await.into_iter().collect()
}

async fn lag_of(store: &RedisStore, group: &GroupName, partition: &Partition) -> Result<Lag> {
    let key = store.keys.entries(partition);
    let mut reply = store
        .server
        .run(&store.scripts.lag, |command| {
            command
                .arg(1)
                .key(key.as_str())
                .arg(group.as_str())
                .arg(COUNTED_MAX)
        })
        .await?;
    if reply.list()? != LAG_PARTS {
        return Err(Error::Corrupt(
            "the server's reply lacks a part of the lag".into(),
        ));
    }
    Ok(Lag {
        appended: reply.number()?,
        held: reply.number()?,
        last_id: reply.id()?,
        delivered_through: reply.id()?,
        pending: reply.number()?,
        undelivered: reply.number()?,
        is_sealed: reply.number()? == 1,
    })
}

/// See [`Store::seal`](crate::Store::seal).
pub(super) async fn seal(store: &RedisStore, partition: &Partition) -> Result<()> {
    partition.stream.check_sealable()?;
    let key = store.keys.entries(partition);
    let arguments = |command: CommandBuilder| command.arg(1).key(key.as_str());
    store
        .server
        .run(&store.scripts.seal, arguments)
        .await?
        .text()?;
    Ok(())
}

/// See [`Store::groups`](crate::Store::groups).
pub(super) async fn groups(store: &RedisStore, partition: &Partition) -> Result<Vec<GroupName>> {
    let key = store.keys.entries(partition);
    let arguments = |command: CommandBuilder| command.arg(1).key(key.as_str());
    let names = store.server.run(&store.scripts.groups, arguments).await?;
    let group = |name: Bytes| GroupName::new(&String::from_utf8_lossy(&name));
    let mut groups = { names }
        .texts()?
        .into_iter()
        .map(group)
        .collect::<Result<Vec<_>>>()?;
    groups.sort_unstable();
    Ok(groups)
}
