//! Marks: a hash for each group and partition.
//!
//! What an owner writes is fenced; what an operator writes is not. If the process dies here, the
//! mark was written or it was not; each call can be repeated.

use std::collections::BTreeMap;

use bytes::Bytes;
use rustis::resp::{CommandBuilder, cmd};

use super::read::{owned_with, unowned};
use super::server::Raw;
use super::{RedisStore, Result};
use crate::Error;
use crate::lease::Lease;
use crate::mark::{self, MARKS_MAX};
use crate::stream::{GroupName, Partition};

/// See [`Store::put_mark`](crate::Store::put_mark).
pub(super) async fn put(
    store: &RedisStore,
    lease: &Lease,
    name: &str,
    value: Option<Bytes>,
) -> Result<()> {
    mark::check(name, value.as_deref().unwrap_or_default())?;
    let key = store.keys.marks(&lease.group, &lease.partition);
    let arguments = |command| {
        let command = owned_with(store, command, lease, Some(&key));
        named(command, name, value.as_ref())
    };
    let reply = store.server.run(&store.scripts.put_mark, arguments).await;
    reply.map_err(|failure| failure.fenced(lease))?.number()?;
    Ok(())
}

/// See [`Store::set_mark`](crate::Store::set_mark).
pub(super) async fn set(
    store: &RedisStore,
    group: &GroupName,
    partition: &Partition,
    name: &str,
    value: Bytes,
) -> Result<()> {
    mark::check(name, &value)?;
    partition.stream.check_ownable(group, partition.index)?;
    let key = store.keys.marks(group, partition);
    let arguments = |command| {
        let command = unowned(store, command, group, partition, Some(&key));
        named(command, name, Some(&value))
    };
    store
        .server
        .run(&store.scripts.set_mark, arguments)
        .await?
        .number()?;
    Ok(())
}

fn named(command: CommandBuilder, name: &str, value: Option<&Bytes>) -> CommandBuilder {
    let command = command.arg(MARKS_MAX).arg(name);
    match value {
        Some(value) => command.arg(Raw(value)),
        None => command,
    }
}

/// See [`Store::marks`](crate::Store::marks).
pub(super) async fn all(
    store: &RedisStore,
    group: &GroupName,
    partition: &Partition,
) -> Result<BTreeMap<String, Bytes>> {
    let command = cmd("HGETALL").key(store.keys.marks(group, partition));
    let pairs = store.server.call(command).await?.pairs()?;
    let mark = |(name, value): (Bytes, Bytes)| match String::from_utf8(name.to_vec()) {
        Ok(name) => Ok((name, value)),
        Err(source) => Err(Error::Corrupt(format!("the name of a mark: {source}"))),
    };
    pairs.into_iter().map(mark).collect()
}

/// See [`Store::clear_mark`](crate::Store::clear_mark).
pub(super) async fn clear(
    store: &RedisStore,
    group: &GroupName,
    partition: &Partition,
    name: &str,
) -> Result<bool> {
    let command = cmd("HDEL")
        .key(store.keys.marks(group, partition))
        .arg(name);
    Ok(store.server.call(command).await?.number()? > 0)
}
