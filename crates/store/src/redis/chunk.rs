//! A chunk: the entries of one partition that the server takes at once.
//!
//! Without request ids it is a pipelined `MULTI` of plain `XADD`s, which costs the server least;
//! with them it is a script, which looks for each id and appends in the same step. Either way the
//! server appends the whole chunk or nothing of it.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use rustis::client::Client;
use rustis::resp::{CommandBuilder, cmd};
use serde::de::{Deserialize, Deserializer, Unexpected, Visitor};

use super::Result;
use super::failure::Failure;
use super::keys::Keys;
use super::script::Script;
use super::server::{Raw, Server};
use super::together::send_groups;
use crate::Error;
use crate::append::{AppendOptions, Appended, Bound};
use crate::entry::{EntryId, NewEntry};
use crate::stream::Partition;

/// The most entries of a chunk: the server answers nobody else while it appends one.
pub(super) const ENTRIES_MAX: usize = 500;
/// A chunk ends with the entry that crosses this many bytes.
const BYTES_MAX: usize = 512 << 10;

/// An entry, and its place in what the caller gave.
pub(super) type Placed<'a> = (usize, &'a NewEntry);

/// How many of the first entries make a chunk.
pub(super) fn len(placed: &[Placed<'_>]) -> usize {
    let mut bytes = 0_usize;
    let crossing = placed.iter().take(ENTRIES_MAX).position(|(_, entry)| {
        bytes = bytes.saturating_add(entry.bytes());
        bytes >= BYTES_MAX
    });
    crossing.map_or(placed.len().min(ENTRIES_MAX), |last| last + 1)
}

/// Appends a chunk, and returns the ids.
pub(super) async fn append(
    server: &Server,
    partition: &Partition,
    key: &str,
    chunk: &[Placed<'_>],
    bound: Bound,
) -> Result<Vec<EntryId>> {
    let refused = |failure: Failure| failure.appending(partition);
    if let [(_, entry)] = chunk {
        let added = server.call(add(key, entry, bound)).await;
        return Ok(vec![added.map_err(refused)?.id()?]);
    }
    let commands = chunk.iter().map(|(_, entry)| add(key, entry, bound));
    let ids: Vec<Id> = server.call_together(commands).await.map_err(refused)?;
    if ids.len() != chunk.len() {
        return Err(other_number());
    }
    Ok(ids.into_iter().map(|Id(id)| id).collect())
}

/// Appends a chunk to each of several partitions in one write, and answers for each of them.
///
/// # Errors
/// What concerns all of them.
pub(super) async fn append_several(
    client: &Client,
    chunks: &[(&str, &[Placed<'_>])],
    bound: Bound,
) -> Result<Vec<Result<Vec<EntryId>, Failure>>, Failure> {
    let commands = |(key, chunk): &(&str, &[Placed<'_>])| {
        let commands = chunk.iter().map(|(_, entry)| add(key, entry, bound));
        commands.collect()
    };
    let groups = chunks.iter().map(commands).collect();
    let answers: Vec<Result<Vec<Id>, Failure>> = send_groups(client, groups).await?;
    let ids = |ids: Vec<Id>| ids.into_iter().map(|Id(id)| id).collect();
    Ok(answers.into_iter().map(|answer| answer.map(ids)).collect())
}

/// An id, read where it stands in the reply.
struct Id(EntryId);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of an entry")
    }

    fn visit_bytes<E: serde::de::Error>(self, id: &[u8]) -> Result<Id, E> {
        let unexpected = || E::invalid_value(Unexpected::Bytes(id), &self);
        EntryId::from_text(id).map(Id).ok_or_else(unexpected)
    }
}

/// Appends those of a chunk whose request ids are not known, and returns how many entries the
/// partition holds, and what was appended, with none for an entry for which there was no room.
/// With `is_full` no more entries are taken, and only known ones found.
pub(super) async fn append_once(
    server: &Server,
    script: &Script,
    keys: Keys,
    partition: &Partition,
    chunk: &[Placed<'_>],
    options: &AppendOptions,
    is_full: bool,
) -> Result<(u64, Vec<Option<Appended>>)> {
    let request_ids = distinct_request_ids(chunk);
    let window_ms = options.idempotence.as_ref().map_or(0, Duration::as_millis);
    let (room_for, keep) = match options.bound {
        _ if is_full => ("0".to_owned(), 0),
        Bound::Closed => ("0".to_owned(), 0),
        Bound::None => (String::new(), 0),
        Bound::HighWater(high_water) => (high_water.to_string(), 0),
        Bound::DropOldest(keep) => (String::new(), keep),
    };
    let arguments = |command: CommandBuilder| {
        let mut command = command
            .arg(request_ids.len() + 1)
            .key(keys.entries(partition));
        let mut in_order: Vec<_> = request_ids.iter().collect();
        in_order.sort_unstable_by_key(|(_, number)| **number);
        for (request_id, _) in in_order {
            command = command.key(Raw(&keys.sent(partition, request_id)));
        }
        command = command
            .arg(u64::try_from(window_ms).unwrap_or(u64::MAX))
            .arg(room_for.as_str())
            .arg(keep);
        chunk.iter().fold(command, |command, (_, entry)| {
            let number = entry.request_id.as_ref().and_then(|id| request_ids.get(id));
            let head = command
                .arg(number.copied().unwrap_or(0))
                .arg(entry.fields.len() * 2);
            with_fields(head, entry)
        })
    };
    let answers = server.run(script, arguments).await;
    let answers = answers
        .map_err(|failure| failure.appending(partition))?
        .texts()?;
    let Some((held, answers)) = answers.split_first() else {
        return Err(other_number());
    };
    if answers.len() != chunk.len() {
        return Err(other_number());
    }
    let held = text(held)?
        .parse()
        .map_err(|source| Error::Corrupt(format!("the length of a stream: {source}")))?;
    let appended = answers
        .iter()
        .map(|answer| text(answer).and_then(parse_answer));
    Ok((held, appended.collect::<Result<_>>()?))
}

/// The request ids of a chunk, with the number of each one's key, from 2: one may occur twice.
fn distinct_request_ids<'a>(chunk: &[Placed<'a>]) -> HashMap<&'a Bytes, usize> {
    let mut numbers = HashMap::new();
    for request_id in chunk
        .iter()
        .filter_map(|(_, entry)| entry.request_id.as_ref())
    {
        let next = numbers.len() + 2;
        numbers.entry(request_id).or_insert(next);
    }
    numbers
}

fn add(key: &str, entry: &NewEntry, bound: Bound) -> CommandBuilder {
    let mut head = cmd("XADD").key(key);
    if let Bound::DropOldest(keep) = bound {
        head = head.arg("MAXLEN").arg("~").arg(keep);
    }
    with_fields(head.arg("*"), entry)
}

fn with_fields(command: CommandBuilder, entry: &NewEntry) -> CommandBuilder {
    entry.fields.iter().fold(command, |command, (name, value)| {
        command.arg(Raw(name)).arg(Raw(value))
    })
}

/// The script answers `<id>` for a new entry, `=<id>` for a known one, and nothing where there was
/// no room.
fn parse_answer(answer: &str) -> Result<Option<Appended>> {
    if answer.is_empty() {
        return Ok(None);
    }
    let (id, duplicate) = match answer.strip_prefix('=') {
        Some(known) => (known, true),
        None => (answer, false),
    };
    let id = parse(id)?;
    Ok(Some(Appended { id, duplicate }))
}

fn parse(id: &str) -> Result<EntryId> {
    id.parse()
        .map_err(|source| Error::Corrupt(format!("{source}")))
}

fn text(bytes: &Bytes) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|source| Error::Corrupt(format!("{source}")))
}

pub(super) fn other_number() -> Error {
    Error::Corrupt("the server appended another number of entries".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::StreamName;

    fn entry(bytes: usize) -> NewEntry {
        let fields = vec![(Bytes::new(), Bytes::from(vec![0; bytes]))];
        NewEntry::new(StreamName::new("s").unwrap().partition(0), fields)
    }

    fn len_of(entries: &[NewEntry]) -> usize {
        len(&entries.iter().enumerate().collect::<Vec<_>>())
    }

    #[test]
    fn a_chunk_ends_with_the_entry_that_crosses_the_bytes() {
        let entries = [entry(1), entry(BYTES_MAX), entry(1)];
        assert_eq!(len_of(&entries), 2);
        assert_eq!(len_of(&entries[2..]), 1);
        assert_eq!(len_of(&[]), 0);
    }

    #[test]
    fn a_chunk_has_a_bounded_number_of_entries() {
        let entries = vec![entry(1); ENTRIES_MAX + 1];
        assert_eq!(len_of(&entries), ENTRIES_MAX);
    }

    #[test]
    fn the_scripts_answers_are_told_apart() {
        let id = EntryId::new(5, 1);
        let appended = |duplicate| Some(Appended { id, duplicate });
        assert_eq!(parse_answer("5-1").unwrap(), appended(false));
        assert_eq!(parse_answer("=5-1").unwrap(), appended(true));
        assert_eq!(parse_answer("").unwrap(), None);
        assert!(parse_answer("=").is_err());
    }
}
