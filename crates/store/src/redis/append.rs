//! Appends entries: the beginning of the flow.
//!
//! What a caller appends is sorted by partition. Partitions go their ways at once; within one, the
//! entries go in chunks, each after the reply to the one before, and the server takes a whole
//! chunk (`MULTI` … `EXEC`) or nothing of it. So a partition has its entries in order, and where
//! the server falters it has a prefix of them, never a gap: as commands of their own, one entry
//! could be refused while a server is busy or full, and the next be taken. If the process dies
//! here, such a prefix is what remains.

use std::collections::HashMap;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rustis::resp::{CommandBuilder, cmd};

use super::server::Raw;
use super::{RedisStore, Result};
use crate::Error;
use crate::entry::{EntryId, NewEntry};
use crate::error::Source;
use crate::stream::Partition;

/// The most entries of a chunk: the server answers nobody else while it appends one.
const CHUNK_ENTRIES_MAX: usize = 500;
/// A chunk ends with the entry that crosses this many bytes.
const CHUNK_BYTES_MAX: usize = 512 << 10;
/// How many partitions are appended to at once. With the size of a chunk it bounds what is under
/// way.
const PARTITIONS_AT_ONCE: usize = 32;

/// Some of the entries were appended before this happened.
#[derive(Debug, thiserror::Error)]
#[error("at least {appended} of {total} entries were appended, then: {source}")]
struct PartlyAppended {
    appended: usize,
    total: usize,
    source: Source,
}

/// An entry, and its place in what the caller gave.
type Placed<'a> = (usize, &'a NewEntry);

/// See [`Store::append`](crate::Store::append).
pub(super) async fn append(store: &RedisStore, entries: Vec<NewEntry>) -> Result<Vec<EntryId>> {
    if let Some(empty) = entries.iter().find(|entry| entry.fields.is_empty()) {
        let partition = &empty.partition;
        return Err(Error::Invalid(format!(
            "an entry for {partition} has no fields"
        )));
    }
    let mut by_partition: HashMap<&Partition, Vec<Placed<'_>>> = HashMap::new();
    for placed @ (_, entry) in entries.iter().enumerate() {
        by_partition
            .entry(&entry.partition)
            .or_default()
            .push(placed);
    }

    let mut waiting = by_partition.into_iter();
    let mut under_way = FuturesUnordered::new();
    let mut ids = vec![EntryId::ZERO; entries.len()];
    let mut appended = 0;
    let mut failure = None;
    loop {
        while under_way.len() < PARTITIONS_AT_ONCE
            && failure.is_none()
            && let Some((partition, placed)) = waiting.next()
        {
            under_way.push(append_in_order(store, partition, placed));
        }
        let Some((done, result)) = under_way.next().await else {
            break;
        };
        appended += done.len();
        for (place, id) in done {
            if let Some(slot) = ids.get_mut(place) {
                *slot = id;
            }
        }
        failure = failure.or(result.err());
    }
    match failure {
        Some(failure) => Err(partly(failure, appended, entries.len())),
        None => Ok(ids),
    }
}

/// Appends the entries of one partition, chunk after chunk. Returns what was appended, and why it
/// is not all.
async fn append_in_order(
    store: &RedisStore,
    partition: &Partition,
    placed: Vec<Placed<'_>>,
) -> (Vec<(usize, EntryId)>, Result<()>) {
    let key = store.keys.entries(partition);
    let mut done = Vec::with_capacity(placed.len());
    let mut rest = placed.as_slice();
    while let Some((chunk, later)) = rest.split_at_checked(chunk_len(rest))
        && !chunk.is_empty()
    {
        match append_chunk(store, &key, chunk).await {
            Ok(ids) => done.extend(chunk.iter().map(|(place, _)| *place).zip(ids)),
            Err(failure) => return (done, Err(failure)),
        }
        rest = later;
    }
    (done, Ok(()))
}

/// How many of the first entries make a chunk.
fn chunk_len(placed: &[Placed<'_>]) -> usize {
    let mut bytes = 0_usize;
    let crossing = placed
        .iter()
        .take(CHUNK_ENTRIES_MAX)
        .position(|(_, entry)| {
            bytes = bytes.saturating_add(bytes_of(entry));
            bytes >= CHUNK_BYTES_MAX
        });
    crossing.map_or(placed.len().min(CHUNK_ENTRIES_MAX), |last| last + 1)
}

fn bytes_of(entry: &NewEntry) -> usize {
    entry
        .fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

async fn append_chunk(store: &RedisStore, key: &str, chunk: &[Placed<'_>]) -> Result<Vec<EntryId>> {
    if let [(_, entry)] = chunk {
        return Ok(vec![store.server.call(command(key, entry)).await?.id()?]);
    }
    let commands = chunk.iter().map(|(_, entry)| command(key, entry));
    let ids = store.server.call_together(commands).await?;
    if ids.len() != chunk.len() {
        return Err(Error::Corrupt(
            "the server appended another number of entries".into(),
        ));
    }
    let parse = |id: String| {
        id.parse()
            .map_err(|source| Error::Corrupt(format!("{source}")))
    };
    ids.into_iter().map(parse).collect()
}

fn command(key: &str, entry: &NewEntry) -> CommandBuilder {
    let head = cmd("XADD").key(key).arg("*");
    entry.fields.iter().fold(head, |command, (name, value)| {
        command.arg(Raw(name)).arg(Raw(value))
    })
}

fn partly(failure: Error, appended: usize, total: usize) -> Error {
    let partly = |source| {
        Box::new(PartlyAppended {
            appended,
            total,
            source,
        })
    };
    match failure {
        Error::Unavailable(source) => Error::Unavailable(partly(source)),
        Error::Refused(source) => Error::Refused(partly(source)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::stream::StreamName;

    fn entry(bytes: usize) -> NewEntry {
        NewEntry {
            partition: StreamName::new("s").unwrap().partition(0),
            fields: vec![(Bytes::new(), Bytes::from(vec![0; bytes]))],
        }
    }

    fn chunk_len_of(entries: &[NewEntry]) -> usize {
        chunk_len(&entries.iter().enumerate().collect::<Vec<_>>())
    }

    #[test]
    fn a_chunk_ends_with_the_entry_that_crosses_the_bytes() {
        let entries = [entry(1), entry(CHUNK_BYTES_MAX), entry(1)];
        assert_eq!(chunk_len_of(&entries), 2);
        assert_eq!(chunk_len_of(&entries[2..]), 1);
        assert_eq!(chunk_len_of(&[]), 0);
    }

    #[test]
    fn a_chunk_has_a_bounded_number_of_entries() {
        let entries = vec![entry(1); CHUNK_ENTRIES_MAX + 1];
        assert_eq!(chunk_len_of(&entries), CHUNK_ENTRIES_MAX);
    }

    #[test]
    fn a_failure_says_how_far_it_got_and_keeps_its_kind() {
        let failure = partly(Error::Unavailable("full".into()), 3, 5);
        assert!(failure.is_transient());
        assert!(
            failure
                .to_string()
                .ends_with("at least 3 of 5 entries were appended, then: full")
        );
    }
}
