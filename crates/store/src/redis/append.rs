//! Appends entries: the beginning of the flow.
//!
//! What a caller appends is cut into chunks, one after the other; within a chunk each partition
//! gets one command, and these are under way together. So the order of each partition holds, and
//! a server that falters in the middle leaves a prefix of each partition, never a gap. If the
//! process dies here, such a prefix is what remains.

use std::collections::HashMap;

use futures::future::join_all;
use rustis::resp::{CommandBuilder, cmd};

use super::failure::Failure;
use super::keys;
use super::reply::Reply;
use super::server::Raw;
use super::{RedisStore, Result};
use crate::Error;
use crate::entry::{EntryId, NewEntry};
use crate::error::Source;
use crate::stream::Partition;

/// The most entries of a chunk: the server answers nobody else while it runs one script.
const CHUNK_ENTRIES_MAX: usize = 1_000;
/// A chunk ends with the entry that crosses this many bytes.
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// The most fields of an entry: a script passes them on over Lua's stack.
const FIELDS_MAX: usize = 1_000;

/// Some of the entries were appended, or may have been, before this happened.
#[derive(Debug, thiserror::Error)]
#[error("at least {appended} of {total} entries were appended, then: {source}")]
struct PartlyAppended {
    appended: usize,
    total: usize,
    source: Source,
}

/// An entry with its place in what the caller gave.
type Placed<'a> = (usize, &'a NewEntry);

/// See [`Store::append`](crate::Store::append).
pub(super) async fn append(store: &RedisStore, entries: Vec<NewEntry>) -> Result<Vec<EntryId>> {
    check(&entries)?;
    let mut ids = Vec::with_capacity(entries.len());
    let mut rest = entries.as_slice();
    while let Some((chunk, later)) = rest.split_at_checked(chunk_len(rest))
        && !chunk.is_empty()
    {
        match append_chunk(store, chunk).await {
            Ok(chunk_ids) => ids.extend(chunk_ids),
            Err(failure) => return Err(partly(failure, ids.len(), entries.len())),
        }
        rest = later;
    }
    Ok(ids)
}

fn check(entries: &[NewEntry]) -> Result<()> {
    match entries
        .iter()
        .find(|entry| entry.fields.is_empty() || entry.fields.len() > FIELDS_MAX)
    {
        Some(entry) => Err(Error::Invalid(format!(
            "an entry for {} has {} fields; 1 to {FIELDS_MAX} are allowed",
            entry.partition,
            entry.fields.len()
        ))),
        None => Ok(()),
    }
}

/// How many of the first entries make a chunk.
fn chunk_len(entries: &[NewEntry]) -> usize {
    let mut bytes = 0_usize;
    let crossing = entries.iter().take(CHUNK_ENTRIES_MAX).position(|entry| {
        bytes = bytes.saturating_add(bytes_of(entry));
        bytes >= CHUNK_BYTES_MAX
    });
    crossing.map_or(entries.len().min(CHUNK_ENTRIES_MAX), |last| last + 1)
}

fn bytes_of(entry: &NewEntry) -> usize {
    entry
        .fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

async fn append_chunk(store: &RedisStore, chunk: &[NewEntry]) -> Result<Vec<EntryId>> {
    let mut by_partition: HashMap<&Partition, Vec<Placed<'_>>> = HashMap::new();
    for (place, entry) in chunk.iter().enumerate() {
        by_partition
            .entry(&entry.partition)
            .or_default()
            .push((place, entry));
    }
    let batches = by_partition
        .into_iter()
        .map(|(partition, batch)| async move { append_batch(store, partition, &batch).await });

    let mut ids = vec![EntryId::ZERO; chunk.len()];
    for batch in join_all(batches).await {
        for (place, id) in batch? {
            if let Some(slot) = ids.get_mut(place) {
                *slot = id;
            }
        }
    }
    Ok(ids)
}

/// Appends the entries of one partition, all or none of them.
async fn append_batch(
    store: &RedisStore,
    partition: &Partition,
    batch: &[Placed<'_>],
) -> Result<Vec<(usize, EntryId)>> {
    let key = keys::entries(partition);
    let mut reply = if let [(place, entry)] = batch {
        let command = with_fields(cmd("XADD").key(key.as_str()).arg("*"), entry);
        let id = store.server.call(command).await?.id()?;
        return Ok(vec![(*place, id)]);
    } else {
        append_script(store, &key, batch).await?
    };
    if reply.list()? != batch.len() {
        return Err(Error::Corrupt(
            "the server appended another number of entries".into(),
        ));
    }
    batch
        .iter()
        .map(|(place, _)| Ok((*place, reply.id()?)))
        .collect()
}

async fn append_script(
    store: &RedisStore,
    key: &str,
    batch: &[Placed<'_>],
) -> Result<Reply, Failure> {
    let arguments = |command: CommandBuilder| {
        batch
            .iter()
            .fold(command.arg(1).key(key), |command, (_, entry)| {
                with_fields(command.arg(entry.fields.len() * 2), entry)
            })
    };
    store.server.run(&store.scripts.append, arguments).await
}

fn with_fields(command: CommandBuilder, entry: &NewEntry) -> CommandBuilder {
    entry.fields.iter().fold(command, |command, (name, value)| {
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

    #[test]
    fn a_chunk_ends_with_the_entry_that_crosses_the_bytes() {
        let entries = [entry(1), entry(CHUNK_BYTES_MAX), entry(1)];
        assert_eq!(chunk_len(&entries), 2);
        assert_eq!(chunk_len(&entries[2..]), 1);
        assert_eq!(chunk_len(&[]), 0);
    }

    #[test]
    fn a_chunk_has_a_bounded_number_of_entries() {
        let entries = vec![entry(1); CHUNK_ENTRIES_MAX + 1];
        assert_eq!(chunk_len(&entries), CHUNK_ENTRIES_MAX);
    }

    #[test]
    fn an_entry_without_fields_is_invalid() {
        let mut empty = entry(0);
        empty.fields.clear();
        assert!(matches!(check(&[empty]), Err(Error::Invalid(_))));
    }
}
