//! Appends entries: the beginning of the flow.
//!
//! ```text
//! entries ─► by partition ─► room? (held) ─► chunk ─► MULTI of XADDs, or a script ─┐
//!                                 ▲                                               ├─► durable? ─► results
//!                                 └── next chunk ◄── reply ◄──────────────────────┘
//! ```
//!
//! What a caller appends is sorted by partition. Partitions go their ways at once; within one, the
//! entries go in chunks, each after the reply to the one before, and the server takes a whole
//! chunk or nothing of it. The first chunks of all partitions share one write. So a partition has its entries in order, and where the server falters
//! it has a prefix of them, never a gap: as commands of their own, one entry could be refused
//! while a server is busy or full, and the next be taken. If the process dies here, such a prefix
//! is what remains.

use std::collections::HashMap;

use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;

use super::chunk::{self, Placed};
use super::durable::Receipt;
use super::failure::Failure;
use super::server::Server;
use super::{RedisStore, Result, held};
use crate::Error;
use crate::append::{self, AppendOptions, Appended, Bound, Durability, repeated};
use crate::entry::{EntryId, NewEntry};
use crate::stream::Partition;

/// How many partitions are appended to at once. With the size of a chunk it bounds what is under
/// way.
const PARTITIONS_AT_ONCE: usize = 32;

/// A result, and the place of its entry in what the caller gave.
type Outcome = (usize, Result<Appended>);

/// See [`Store::append_with`](crate::Store::append_with).
pub(super) async fn append_with(
    store: &RedisStore,
    entries: &[NewEntry],
    options: &AppendOptions,
) -> Vec<Result<Appended>> {
    let appended = match append::check_options(options) {
        Ok(()) if options.durability == Durability::Memory => {
            Ok(append(store, &store.server, entries, options).await)
        }
        Ok(()) => append_durably(store, entries, options).await,
        Err(invalid) => Err(invalid),
    };
    appended.unwrap_or_else(|failure| {
        let again = repeated(failure);
        entries.iter().map(|_| Err(again())).collect()
    })
}

/// Appends on the connection that can wait for replicas or the disk, and waits for them once.
async fn append_durably(
    store: &RedisStore,
    entries: &[NewEntry],
    options: &AppendOptions,
) -> Result<Vec<Result<Appended>>> {
    let link = store.durable.link(options.durability).await?;
    let receipt = Receipt::begin(&link);
    let results = append(store, link.server(), entries, options).await;
    if !results.iter().any(Result::is_ok) {
        return Ok(results);
    }
    let Err(reason) = receipt.confirm(options.durability).await else {
        return Ok(results);
    };
    let not_durable = |appended: Appended| Error::NotDurable {
        id: appended.id,
        reason: reason.clone(),
    };
    Ok(results
        .into_iter()
        .map(|result| Err(result.map_or_else(|error| error, not_durable)))
        .collect())
}

async fn append(
    store: &RedisStore,
    server: &Server,
    entries: &[NewEntry],
    options: &AppendOptions,
) -> Vec<Result<Appended>> {
    let mut results: Vec<Option<Result<Appended>>> = Vec::new();
    results.resize_with(entries.len(), || None);
    let mut put = |(place, result): Outcome| {
        if let Some(slot) = results.get_mut(place) {
            *slot = Some(result);
        }
    };

    let mut by_partition: HashMap<&Partition, Vec<Placed<'_>>> = HashMap::new();
    let mut at = 0;
    // Neighbours are often of one partition, and then looked up together.
    for run in entries.chunk_by(|one, next| one.partition == next.partition) {
        let Some(NewEntry { partition, .. }) = run.first() else {
            continue;
        };
        let of_partition = by_partition.entry(partition).or_default();
        of_partition.reserve(run.len());
        for placed @ (place, entry) in (at..).zip(run) {
            match append::check_entry(entry) {
                Ok(()) => of_partition.push(placed),
                Err(invalid) => put((place, Err(invalid))),
            }
        }
        at += run.len();
    }

    let target = |(partition, placed)| Target {
        store,
        server,
        partition,
        key: store.keys.entries(partition),
        options,
        placed,
    };
    let mut waiting = by_partition.into_iter().map(target);
    let mut under_way = FuturesUnordered::new();
    loop {
        let free = PARTITIONS_AT_ONCE - under_way.len();
        let targets: Vec<Target<'_>> = waiting.by_ref().take(free).collect();
        let begun = begin_together(server, &targets, options).await;
        for (target, begun) in targets.into_iter().zip(begun) {
            under_way.push(target.append_in_order(begun));
        }
        let Some(outcomes) = under_way.next().await else {
            break;
        };
        outcomes.into_iter().for_each(&mut put);
    }
    // Each place was put: its entry is invalid, or in exactly one partition.
    results.into_iter().flatten().collect()
}

/// What has become of the first entries of a partition.
type Begun = Option<Result<Vec<Result<Appended>>>>;

/// Appends the first chunk of each partition, all in one write, where there are several and what
/// answers for them is one server. Nothing has begun for the others, nor where there is no room.
async fn begin_together(
    server: &Server,
    targets: &[Target<'_>],
    options: &AppendOptions,
) -> Vec<Begun> {
    let mut begun: Vec<Begun> = targets.iter().map(|_| None).collect();
    let (Some(client), None) = (server.single(), options.idempotence) else {
        return begun;
    };
    // A single entry is a command of its own, and needs no transaction.
    let several = targets.iter().zip(&mut begun);
    let several: Vec<_> = several.filter(|(it, _)| it.placed.len() > 1).collect();
    let rooms = join_all(several.iter().map(|(target, _)| target.first_chunk())).await;
    let (mut chunks, mut places) = (Vec::new(), Vec::new());
    for ((target, begun), room) in several.into_iter().zip(rooms) {
        match room {
            Ok(chunk) => {
                chunks.push((target.key.as_str(), chunk));
                places.push((target, chunk.len(), begun));
            }
            Err(full) => *begun = Some(Err(full)),
        }
    }
    match chunk::append_several(client, &chunks, options.bound).await {
        Ok(answers) => {
            for ((target, len, begun), answer) in places.into_iter().zip(answers) {
                *begun = Some(target.appended(len, answer).await);
            }
        }
        Err(failure) => {
            let again = repeated(failure.into());
            for (_, _, begun) in places {
                *begun = Some(Err(again()));
            }
        }
    }
    begun
}

/// One partition, and what is wanted of it.
struct Target<'a> {
    store: &'a RedisStore,
    server: &'a Server,
    partition: &'a Partition,
    key: String,
    options: &'a AppendOptions,
    placed: Vec<Placed<'a>>,
}

impl<'a> Target<'a> {
    /// Appends the entries of the partition, chunk after chunk, the first of which may be done.
    async fn append_in_order(self, mut begun: Begun) -> Vec<Outcome> {
        let mut done = Vec::with_capacity(self.placed.len());
        let mut rest = self.placed.as_slice();
        let mut is_full = false;
        let failure = loop {
            let wanted = chunk::len(rest);
            if wanted == 0 {
                return done;
            }
            let appended = match (begun.take(), self.options.idempotence) {
                (Some(begun), _) => begun,
                (None, Some(_)) => self.append_once(rest, wanted, is_full).await,
                (None, None) => self.append_chunk(rest, wanted).await,
            };
            let results = match appended {
                Ok(results) => results,
                Err(failure) => break failure,
            };
            let (chunk, later) = rest.split_at_checked(results.len()).unwrap_or((rest, &[]));
            is_full |= results.iter().any(Result::is_err);
            let places = chunk.iter().map(|(place, _)| *place);
            done.extend(places.zip(results));
            rest = later;
        };
        let again = repeated(failure);
        done.extend(rest.iter().map(|(place, _)| (*place, Err(again()))));
        done
    }

    /// Appends as many of the first `wanted` entries as there is room for, at least one.
    ///
    /// # Errors
    /// [`Error::Full`] where there is room for none.
    async fn append_chunk(
        &self,
        rest: &[Placed<'_>],
        wanted: usize,
    ) -> Result<Vec<Result<Appended>>> {
        let chunk = self.fitting(rest, wanted).await?;
        let (server, bound) = (self.server, self.options.bound);
        let ids = chunk::append(server, self.partition, &self.key, chunk, bound).await?;
        Ok(self.count(ids).await)
    }

    /// The first entries that make a chunk and have room.
    async fn first_chunk(&self) -> Result<&[Placed<'a>]> {
        self.fitting(&self.placed, chunk::len(&self.placed)).await
    }

    /// As many of the first `wanted` entries as there is room for, at least one.
    async fn fitting<'p>(&self, rest: &'p [Placed<'a>], wanted: usize) -> Result<&'p [Placed<'a>]> {
        let room = match self.options.bound {
            Bound::HighWater(high_water) => self.room(wanted, high_water).await?,
            Bound::None | Bound::DropOldest(_) => wanted,
            Bound::Closed => return Err(append::sealed(self.partition)),
        };
        Ok(rest.get(..room).unwrap_or(rest))
    }

    /// What the server has answered to a chunk of so many entries.
    async fn appended(
        &self,
        len: usize,
        answer: Result<Vec<EntryId>, Failure>,
    ) -> Result<Vec<Result<Appended>>> {
        let ids = answer.map_err(|failure| failure.appending(self.partition))?;
        match ids.len() == len {
            true => Ok(self.count(ids).await),
            false => Err(chunk::other_number()),
        }
    }

    /// Answers for entries that were appended as new ones.
    async fn count(&self, ids: Vec<EntryId>) -> Vec<Result<Appended>> {
        self.look_after_drops(ids.len()).await;
        let first = |id| {
            Ok(Appended {
                id,
                duplicate: false,
            })
        };
        ids.into_iter().map(first).collect()
    }

    /// Appends those of the first `wanted` entries that were not appended before.
    async fn append_once(
        &self,
        rest: &[Placed<'_>],
        wanted: usize,
        is_full: bool,
    ) -> Result<Vec<Result<Appended>>> {
        let chunk = rest.get(..wanted).unwrap_or(rest);
        let (held, appended) = chunk::append_once(
            self.server,
            &self.store.scripts.append_once,
            self.store.keys,
            self.partition,
            chunk,
            self.options,
            is_full,
        )
        .await?;
        self.look_after_drops(chunk.len()).await;
        let refusal = || match self.options.bound {
            Bound::Closed => append::sealed(self.partition),
            Bound::HighWater(high_water) => append::full(self.partition, held, high_water),
            Bound::None | Bound::DropOldest(_) => append::full(self.partition, held, 0),
        };
        Ok(appended
            .into_iter()
            .map(|appended| appended.ok_or_else(refusal))
            .collect())
    }

    async fn room(&self, wanted: usize, high_water: u64) -> Result<usize> {
        let counts = &self.store.held;
        if let Some(room) = counts.take_room(self.partition, wanted, high_water) {
            return Ok(room);
        }
        let held = held::count(self.server, &self.key).await?;
        counts.learn(self.partition, held);
        counts
            .take_room(self.partition, wanted, high_water)
            .ok_or_else(|| append::full(self.partition, held, high_water))
    }

    /// Now and then, says how much of what a bound has dropped nobody had read.
    async fn look_after_drops(&self, appended: usize) {
        if matches!(self.options.bound, Bound::DropOldest(_))
            && self.store.held.is_look_due(self.partition, appended)
        {
            held::report_dropped_unread(self.server, self.partition, &self.key).await;
        }
    }
}
