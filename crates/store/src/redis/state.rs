//! States: a hash for each, and a sorted set of those whose entries may not be settled yet.
//!
//! All keys of a partition's states have the hash tag of its entries, so one script may write both
//! on a Cluster. If the process dies here, a state and its entry were written, or neither; a state
//! that was to end ends a little later, by the next owner.

use std::time::Duration;

use bytes::Bytes;
use rustis::resp::{CommandBuilder, cmd};

use super::durable::Receipt;
use super::server::{Raw, Server};
use super::{RedisStore, Result};
use crate::Error;
use crate::append::{self, AppendOptions, Appended, Bound, Durability};
use crate::entry::{EntryId, NewEntry};
use crate::state::{self, Expected, NewState, Put, State, UnsettledState};
use crate::stream::Partition;

/// The field that has the version of a state.
const ID: &[u8] = b"__id";
/// The field that says of a state that there is nothing any more.
const GONE: &[u8] = b"__gone";
/// The most unsettled states that are read at once.
const UNSETTLED_MAX: usize = 500;

/// See [`Store::put`](crate::Store::put).
pub(super) async fn put(
    store: &RedisStore,
    entry: &NewEntry,
    state: &NewState,
    options: &AppendOptions,
) -> Result<Put> {
    append::check_options(options)?;
    append::check_entry(entry)?;
    state::check(state, options)?;
    if options.durability == Durability::Memory {
        return put_on(store, &store.server, entry, state, options).await;
    }
    let link = store.durable.link(options.durability).await?;
    let receipt = Receipt::begin(&link);
    let put = put_on(store, link.server(), entry, state, options).await?;
    let Put::Done(appended) = put else {
        return Ok(put);
    };
    match receipt.confirm(options.durability).await {
        Ok(()) => Ok(put),
        Err(reason) => Err(Error::NotDurable {
            id: appended.id,
            reason,
        }),
    }
}

async fn put_on(
    store: &RedisStore,
    server: &Server,
    entry: &NewEntry,
    state: &NewState,
    options: &AppendOptions,
) -> Result<Put> {
    let partition = &entry.partition;
    let request = entry.request_id.as_ref().zip(options.idempotence);
    let arguments = |command: CommandBuilder| {
        let command = command
            .arg(if request.is_some() { 4 } else { 3 })
            .key(store.keys.entries(partition))
            .key(store.keys.state(partition, &state.name))
            .key(store.keys.unsettled(partition));
        let command = match request {
            Some((id, _)) => command.key(Raw(&store.keys.sent(partition, id))),
            None => command,
        };
        let window_ms = request.map_or(0, |(_, window)| window.as_millis());
        let command = command
            .arg(state.name.as_str())
            .arg(match state.expected {
                Expected::Anything => String::new(),
                Expected::Nothing => "-".to_owned(),
                Expected::Version(id) => id.to_string(),
            })
            .arg(u64::try_from(window_ms).unwrap_or(u64::MAX))
            .arg(match options.bound {
                Bound::HighWater(most) => most.to_string(),
                _ => String::new(),
            });
        let command = match &state.content {
            Some(content) => command.arg(2 * content.len()),
            None => command.arg("gone"),
        };
        let fields = state.content.iter().flatten().chain(&entry.fields);
        fields.fold(command, |command, (name, value)| {
            command.arg(Raw(name)).arg(Raw(value))
        })
    };
    let reply = server.run(&store.scripts.put, arguments).await;
    let reply = reply
        .map_err(|failure| failure.appending(partition))?
        .texts()?;
    read_answer(&reply, partition, options)
}

fn read_answer(reply: &[Bytes], partition: &Partition, options: &AppendOptions) -> Result<Put> {
    let [what, detail] = reply else {
        return Err(unexpected());
    };
    let done = |duplicate| {
        Ok(Put::Done(Appended {
            id: read_id(detail)?,
            duplicate,
        }))
    };
    match (what.as_ref(), options.bound) {
        (b"put", _) => done(false),
        (b"known", _) => done(true),
        (b"other", _) if detail.is_empty() => Ok(Put::Unexpected(None)),
        (b"other", _) => Ok(Put::Unexpected(Some(read_id(detail)?))),
        (b"full", Bound::HighWater(most)) => {
            let held = std::str::from_utf8(detail)
                .ok()
                .and_then(|held| held.parse().ok());
            Err(append::full(partition, held.ok_or_else(unexpected)?, most))
        }
        _ => Err(unexpected()),
    }
}

/// See [`Store::state`](crate::Store::state).
pub(super) async fn read(
    store: &RedisStore,
    partition: &Partition,
    name: &str,
) -> Result<Option<State>> {
    let command = cmd("HGETALL").key(store.keys.state(partition, name));
    let fields = store.server.call(command).await?.pairs()?;
    if fields.is_empty() {
        return Ok(None);
    }
    let (own, content): (Vec<_>, Vec<_>) = fields
        .into_iter()
        .partition(|(name, _)| name.starts_with(state::RESERVED));
    let find = |name: &[u8]| {
        own.iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value)
    };
    let version = read_id(find(ID).ok_or_else(unexpected)?)?;
    let is_gone = find(GONE).is_some();
    Ok(Some(State {
        version,
        content: (!is_gone).then_some(content),
    }))
}

/// See [`Store::unsettled_states`](crate::Store::unsettled_states).
pub(super) async fn unsettled(
    store: &RedisStore,
    partition: &Partition,
    through: EntryId,
    skip: usize,
) -> Result<Vec<UnsettledState>> {
    let command = cmd("ZRANGEBYSCORE")
        .key(store.keys.unsettled(partition))
        .arg("-inf")
        .arg(through.ms)
        .arg("LIMIT")
        .arg(skip)
        .arg(UNSETTLED_MAX);
    let members = store.server.call(command).await?.texts()?;
    members.iter().map(|member| read_member(member)).collect()
}

fn read_member(member: &[u8]) -> Result<UnsettledState> {
    let member = std::str::from_utf8(member).map_err(|_bytes| unexpected())?;
    let (id, name) = member.split_once(' ').ok_or_else(unexpected)?;
    Ok(UnsettledState {
        name: name.to_owned(),
        version: read_id(id.as_bytes())?,
    })
}

/// See [`Store::settle_states`](crate::Store::settle_states).
pub(super) async fn settle(
    store: &RedisStore,
    partition: &Partition,
    states: &[UnsettledState],
    keep_for: Duration,
) -> Result<u64> {
    let keep_ms = u64::try_from(keep_for.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let mut ended = 0;
    for chunk in states.chunks(UNSETTLED_MAX) {
        let arguments = |command: CommandBuilder| {
            let head = command
                .arg(chunk.len() + 1)
                .key(store.keys.unsettled(partition));
            let keys = chunk.iter().fold(head, |command, state| {
                command.key(store.keys.state(partition, &state.name))
            });
            chunk.iter().fold(keys.arg(keep_ms), |command, state| {
                command
                    .arg(state.version.to_string())
                    .arg(state.name.as_str())
            })
        };
        ended += store
            .server
            .run(&store.scripts.settle, arguments)
            .await?
            .number()?;
    }
    Ok(ended)
}

fn read_id(text: &[u8]) -> Result<EntryId> {
    let text = std::str::from_utf8(text).map_err(|_bytes| unexpected())?;
    text.parse().map_err(|_unread| unexpected())
}

fn unexpected() -> Error {
    Error::Corrupt("a state, or what is known of it, is not what Tidegate writes".into())
}
