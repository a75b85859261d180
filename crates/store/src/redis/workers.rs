//! Workers: who of a group is alive, by the server's clock.
//!
//! A drain's workers are in a sorted set, each with the time at which it is taken for dead; an
//! app's are [members](super::members) as runnel has them. A worker that dies stops beating; its last beat runs out, and the next beat of any other
//! removes it. Nothing here touches leases.

use std::time::Duration;

use bytes::Bytes;
use rustis::resp::cmd;

use super::lease::ttl_ms;
use super::members::Group;
use super::{RedisStore, Result};
use crate::Error;
use crate::lease::WorkerId;
use crate::stream::{GroupName, StreamName};

/// See [`Store::beat`](crate::Store::beat).
pub(super) async fn beat(
    store: &RedisStore,
    stream: &StreamName,
    group: &GroupName,
    worker: WorkerId,
    ttl: Duration,
) -> Result<Vec<WorkerId>> {
    if let Some(group) = members(store, stream, group) {
        return sorted(&group.beat(store, worker, ttl).await?.texts()?);
    }
    let key = store.keys.members(stream, group);
    let worker = worker.to_string();
    let mut reply = store
        .server
        .run(&store.scripts.beat, |command| {
            command
                .arg(1)
                .key(key.as_str())
                .arg(worker.as_str())
                .arg(ttl_ms(ttl))
        })
        .await?;
    sorted(&reply.texts()?)
}

/// See [`Store::leave`](crate::Store::leave).
pub(super) async fn leave(
    store: &RedisStore,
    stream: &StreamName,
    group: &GroupName,
    worker: WorkerId,
) -> Result<()> {
    if let Some(group) = members(store, stream, group) {
        return group.leave(store, worker).await;
    }
    let command = cmd("ZREM")
        .key(store.keys.members(stream, group))
        .arg(worker.to_string());
    store.server.call(command).await?.number()?;
    Ok(())
}

/// See [`Store::workers`](crate::Store::workers).
pub(super) async fn workers(
    store: &RedisStore,
    stream: &StreamName,
    group: &GroupName,
) -> Result<Vec<WorkerId>> {
    if let Some(group) = members(store, stream, group) {
        return sorted(&group.list(store).await?.texts()?);
    }
    let key = store.keys.members(stream, group);
    let mut reply = store
        .server
        .run(&store.scripts.workers, |command| {
            command.arg(1).key(key.as_str())
        })
        .await?;
    sorted(&reply.texts()?)
}

/// The group, where its members are written as runnel writes them.
fn members<'a>(
    store: &RedisStore,
    stream: &'a StreamName,
    group: &'a GroupName,
) -> Option<Group<'a>> {
    let beats = store.keys.beats(stream, group)?;
    Some(Group {
        stream,
        group,
        beats,
    })
}

/// The server lists them by the time of their end; callers want an order that doesn't change.
fn sorted(members: &[Bytes]) -> Result<Vec<WorkerId>> {
    let mut workers = members
        .iter()
        .map(worker_from)
        .collect::<Result<Vec<_>>>()?;
    workers.sort_unstable();
    Ok(workers)
}

fn worker_from(member: &Bytes) -> Result<WorkerId> {
    let text = std::str::from_utf8(member)
        .ok()
        .and_then(|text| text.parse().ok());
    text.ok_or_else(|| Error::Corrupt("a worker's id is not a UUID".into()))
}
