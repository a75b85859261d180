//! Reads entries after a position, without a group, and what reads and fenced calls have in common.
//!
//! Reading after a position changes nothing on the server. If the process dies here, nothing is
//! lost.

use rustis::resp::{CommandBuilder, cmd};

use super::{RedisStore, Result};
use crate::entry::{Entry, EntryId};
use crate::lease::Lease;
use crate::port::ReadLimit;
use crate::stream::{GroupName, Partition};

/// The largest number of entries that the server takes for a limit.
const COUNT_MAX: usize = 1 << 62;
/// The largest id there is.
const LAST_ID: EntryId = EntryId::new(u64::MAX, u64::MAX);

/// See [`Store::read_after`](crate::Store::read_after).
pub(super) async fn read_after(
    store: &RedisStore,
    partition: &Partition,
    after: EntryId,
    limit: ReadLimit,
) -> Result<Vec<Entry>> {
    // After the largest id there is nothing, and the server calls the question an error.
    if after == LAST_ID {
        return Ok(Vec::new());
    }
    let command = cmd("XRANGE")
        .key(store.keys.entries(partition))
        .arg(format!("({after}"))
        .arg("+")
        .arg("COUNT")
        .arg(store.entry_size.entries_within(limit).min(COUNT_MAX));
    let mut entries = store.server.call(command).await?.entries()?;
    store.entry_size.learn(&entries);
    cut(&mut entries, limit);
    Ok(entries)
}

/// The keys and arguments with which every fenced script begins.
pub(super) fn owned(store: &RedisStore, command: CommandBuilder, lease: &Lease) -> CommandBuilder {
    owned_with(store, command, lease, None)
}

/// The same, with one more key of the partition's slot.
pub(super) fn owned_with(
    store: &RedisStore,
    command: CommandBuilder,
    lease: &Lease,
    fourth: Option<&str>,
) -> CommandBuilder {
    keys_of(store, command, &lease.group, &lease.partition, fourth)
        .arg(lease.worker.to_string())
        .arg(lease.epoch.0)
        .arg(lease.group.as_str())
}

/// As many keys and arguments, for a script that is run without the fence.
pub(super) fn unowned(
    store: &RedisStore,
    command: CommandBuilder,
    group: &GroupName,
    partition: &Partition,
    fourth: Option<&str>,
) -> CommandBuilder {
    keys_of(store, command, group, partition, fourth)
        .arg("")
        .arg("")
        .arg(group.as_str())
}

fn keys_of(
    store: &RedisStore,
    command: CommandBuilder,
    group: &GroupName,
    partition: &Partition,
    fourth: Option<&str>,
) -> CommandBuilder {
    let command = command
        .arg(3 + u32::from(fourth.is_some()))
        .key(store.keys.entries(partition))
        .key(store.keys.lease(group, partition))
        .key(store.keys.epoch(group, partition));
    match fourth {
        Some(key) => command.key(key),
        None => command,
    }
}

/// Drops what lies behind the entry that crosses the limit of bytes, which the average let in.
pub(super) fn cut(entries: &mut Vec<Entry>, limit: ReadLimit) {
    let mut bytes = 0_usize;
    let crossing = entries.iter().position(|entry| {
        bytes = bytes.saturating_add(entry.bytes());
        bytes >= limit.bytes
    });
    if let Some(last) = crossing {
        entries.truncate(last + 1);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn the_entry_that_crosses_the_limit_is_the_last_one() {
        let field = (Bytes::new(), Bytes::from_static(&[0; 10]));
        let entry = Entry {
            id: EntryId::ZERO,
            fields: vec![field],
        };
        let cut_to = |bytes| {
            let mut entries = vec![entry.clone(); 5];
            cut(&mut entries, ReadLimit { entries: 5, bytes });
            entries.len()
        };
        assert_eq!(cut_to(0), 1);
        assert_eq!(cut_to(15), 2);
        assert_eq!(cut_to(20), 2);
        assert_eq!(cut_to(1_000), 5);
    }
}
