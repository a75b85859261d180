//! Fetches entries for a group's owner, at the speed of a bare `XREADGROUP`.
//!
//! ```text
//! MULTI ─► fetch_begin.lua ─► XREADGROUP ─► fetch_end.lua ─► EXEC ─► entries, or the lease is lost
//!                                 └─ no such group yet ─► fetch.lua, which creates it
//! ```
//!
//! A script that checks the lease and reads for itself costs the server several times the read,
//! because every entry passes through Lua. So the check stands before the read, in one
//! transaction: for a stale owner it moves the group's position out of the way, the read brings
//! nothing, and the position is put back. If the process dies between the server's answer and the
//! caller, what was fetched is pending, and the next owner reads it first.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use rustis::resp::cmd;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::read::{cut, owned, owned_with};
use super::{RedisStore, Result};
use crate::Error;
use crate::entry::{Entry, EntryId};
use crate::lease::Lease;
use crate::port::{Fetch, ReadLimit};

/// The largest number of entries that the server takes for a limit.
const COUNT_MAX: usize = 1 << 62;
/// With how many bytes of room the texts of a reply are begun.
const BUFFER_BYTES: usize = 32 << 10;
/// Before the read; see there.
const BEGIN: &str = include_str!("scripts/fetch_begin.lua");
/// After the read; see there.
const END: &str = include_str!("scripts/fetch_end.lua");

/// See [`Store::fetch`](crate::Store::fetch).
pub(super) async fn fetch(
    store: &RedisStore,
    lease: &Lease,
    fetch: Fetch,
    limit: ReadLimit,
) -> Result<Vec<Entry>> {
    let after = match fetch {
        Fetch::New => ">".to_owned(),
        Fetch::Pending(after) => after.to_string(),
    };
    let count = store.entry_size.entries_within(limit).min(COUNT_MAX);
    let mut entries = match read(store, lease, &after, count).await? {
        Some(entries) => entries,
        None => read_or_create(store, lease, &after, count).await?,
    };
    store.entry_size.learn(&entries);
    // New entries have become pending: the caller must see each of them.
    if let Fetch::Pending(after) = fetch {
        // After the largest id the server begins again with the first.
        entries.retain(|entry| entry.id > after);
        cut(&mut entries, limit);
    }
    Ok(entries)
}

/// Reads where the group is there; none where it isn't, or the server refuses one of the parts.
async fn read(
    store: &RedisStore,
    lease: &Lease,
    after: &str,
    count: usize,
) -> Result<Option<Vec<Entry>>> {
    let kept = store.keys.kept(&lease.group, &lease.partition);
    // The texts are sent whole: a server that had forgotten their hashes would read unfenced.
    let script = |text| owned_with(store, cmd("EVAL").arg(text), lease, Some(&kept));
    let read = || {
        cmd("XREADGROUP")
            .arg("GROUP")
            .arg(lease.group.as_str())
            .arg("1")
            .arg("COUNT")
            .arg(count)
            .arg("STREAMS")
            .key(store.keys.entries(&lease.partition))
            .arg(after)
    };
    let commands = (0..3).map(|place| match place {
        0 => script(BEGIN),
        1 => read(),
        _ => script(END),
    });
    let together = store.server.call_together(commands).await;
    let (is_owner, Fetched(entries), was_owner): (u8, Fetched, u8) = match together {
        Ok(replies) => replies,
        Err(failure) if failure.is_refusal() => return Ok(None),
        Err(failure) => return Err(failure.into()),
    };
    if (is_owner, was_owner) == (1, 1) {
        return Ok(Some(entries));
    }
    let Lease {
        partition, epoch, ..
    } = lease.clone();
    Err(Error::LeaseLost { partition, epoch })
}

/// Reads by a script, which creates the group where it is missing.
async fn read_or_create(
    store: &RedisStore,
    lease: &Lease,
    after: &str,
    count: usize,
) -> Result<Vec<Entry>> {
    let arguments = |command| owned(store, command, lease).arg(count).arg(after);
    let reply = store.server.run(&store.scripts.fetch, arguments).await;
    reply.map_err(|failure| failure.fenced(lease))?.entries()
}

/// What `XREADGROUP` answers for one stream. Names and values of the entries are slices of one
/// buffer.
#[derive(Debug, Default)]
struct Fetched(Vec<Entry>);

impl<'de> serde::Deserialize<'de> for Fetched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut parts = Parts::default();
        At(Level::Streams, &mut parts).deserialize(deserializer)?;
        Ok(Self(parts.into_entries()))
    }
}

/// The entries while they are read: their texts in one buffer, and where each is.
#[derive(Default)]
struct Parts {
    buffer: Vec<u8>,
    texts: Vec<Range<usize>>,
    /// Each entry's id, and how many texts were before it.
    entries: Vec<(EntryId, usize)>,
}

impl Parts {
    fn into_entries(self) -> Vec<Entry> {
        // The entries may be kept for long, so what the buffer has grown too large by is not.
        let buffer = Bytes::copy_from_slice(&self.buffer);
        let ends = self.entries.iter().skip(1).map(|(_, first)| *first);
        let ends = ends.chain([self.texts.len()]);
        let entry = |((id, first), end): (&(EntryId, usize), usize)| {
            let texts = self.texts.get(*first..end).unwrap_or_default();
            let (pairs, _) = texts.as_chunks::<2>();
            let slice = |at: &Range<usize>| buffer.slice(at.clone());
            let fields = pairs
                .iter()
                .map(|[name, value]| (slice(name), slice(value)));
            Entry {
                id: *id,
                fields: fields.collect(),
            }
        };
        self.entries.iter().zip(ends).map(entry).collect()
    }
}

/// Where in the reply a value is.
#[derive(Clone, Copy)]
enum Level {
    /// A map from a stream's key to its entries, or a list of such pairs; nil for no entries.
    Streams,
    /// A stream's key and its entries.
    Stream,
    Key,
    Entries,
    /// An entry's id and its fields.
    Entry,
    Id,
    /// Nil for an entry that was deleted while it was pending.
    Fields,
    /// A field's name, or its value.
    Text,
}

/// Reads the value at a level.
struct At<'a>(Level, &'a mut Parts);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what XREADGROUP answers")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(_, parts) = self;
        while map.next_key_seed(At(Level::Key, parts))?.is_some() {
            map.next_value_seed(At(Level::Entries, parts))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self(level, parts) = self;
        let (first, then) = match level {
            Level::Streams => (Level::Stream, Level::Stream),
            Level::Stream => (Level::Key, Level::Entries),
            Level::Entries => (Level::Entry, Level::Entry),
            Level::Entry => (Level::Id, Level::Fields),
            Level::Fields => (Level::Text, Level::Text),
            Level::Key | Level::Id | Level::Text => {
                return Err(A::Error::custom("a list where a text belongs"));
            }
        };
        let mut next = first;
        while seq.next_element_seed(At(next, parts))?.is_some() {
            next = then;
        }
        Ok(())
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<(), E> {
        let Self(level, parts) = self;
        match level {
            Level::Key => {}
            Level::Id => {
                let id = std::str::from_utf8(bytes)
                    .ok()
                    .and_then(|id| id.parse().ok());
                let id = id.ok_or_else(|| E::custom("an entry's id can't be read"))?;
                parts.entries.push((id, parts.texts.len()));
            }
            Level::Text => {
                let start = parts.buffer.len();
                if start == 0 {
                    parts.buffer.reserve(BUFFER_BYTES);
                }
                parts.buffer.extend_from_slice(bytes);
                parts.texts.push(start..parts.buffer.len());
            }
            _ => return Err(E::custom("a text where a list belongs")),
        }
        Ok(())
    }
}
