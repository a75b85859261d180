//! Parks entries: from pending in a partition to the group's parked stream, and out of that.
//!
//! Both are fenced scripts. If the process dies here, an entry is either pending or parked, never
//! both and never neither; a repeated call parks only what is still pending.

use rustis::resp::CommandBuilder;

use super::read::owned_with;
use super::server::Raw;
use super::{RedisStore, Result};
use crate::Error;
use crate::entry::EntryId;
use crate::lease::Lease;
use crate::parked::ParkedEntry;

/// How many entries one script parks: the server answers nobody else meanwhile.
const ENTRIES_AT_ONCE_MAX: usize = 500;
/// The most fields of a parked entry: Lua's stack has room for about 8,000 names and values.
const FIELDS_MAX: usize = 3_900;

/// See [`Store::park`](crate::Store::park).
pub(super) async fn park(
    store: &RedisStore,
    lease: &Lease,
    entries: Vec<ParkedEntry>,
) -> Result<()> {
    let key = parked_key(store, lease)?;
    if let Some(large) = entries.iter().find(|entry| entry.fields.len() > FIELDS_MAX) {
        let (id, fields) = (large.id, large.fields.len());
        return Err(Error::Invalid(format!(
            "entry {id} has {fields} fields; at most {FIELDS_MAX} can be parked"
        )));
    }
    for chunk in entries.chunks(ENTRIES_AT_ONCE_MAX) {
        let arguments = |command| {
            let command = owned_with(store, command, lease, Some(&key));
            chunk.iter().fold(command, add)
        };
        let reply = store.server.run(&store.scripts.park, arguments).await;
        reply.map_err(|failure| failure.fenced(lease))?.number()?;
    }
    Ok(())
}

/// See [`Store::unpark`](crate::Store::unpark).
pub(super) async fn unpark(store: &RedisStore, lease: &Lease, ids: &[EntryId]) -> Result<u64> {
    let key = parked_key(store, lease)?;
    let arguments = |command| {
        let command = owned_with(store, command, lease, Some(&key));
        ids.iter()
            .fold(command, |command, id| command.arg(id.to_string()))
    };
    let reply = store.server.run(&store.scripts.unpark, arguments).await;
    reply.map_err(|failure| failure.fenced(lease))?.number()
}

fn parked_key(store: &RedisStore, lease: &Lease) -> Result<String> {
    let parked = lease.partition.stream.try_parked(&lease.group)?;
    Ok(store.keys.entries(&parked.partition(lease.partition.index)))
}

fn add(command: CommandBuilder, entry: &ParkedEntry) -> CommandBuilder {
    let command = command
        .arg(entry.id.to_string())
        .arg(Raw(&entry.key))
        .arg(entry.reason.as_str())
        .arg(2 * entry.fields.len());
    entry.fields.iter().fold(command, |command, (name, value)| {
        command.arg(Raw(name)).arg(Raw(value))
    })
}
