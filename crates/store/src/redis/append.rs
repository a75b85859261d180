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
//! chunk or nothing of it. So a partition has its entries in order, and where the server falters
//! it has a prefix of them, never a gap: as commands of their own, one entry could be refused
//! while a server is busy or full, and the next be taken. If the process dies here, such a prefix
//! is what remains.

use std::collections::HashMap;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::chunk::{self, Placed};
use super::durable::Receipt;
use super::server::Server;
use super::{RedisStore, Result, held};
use crate::Error;
use crate::append::{self, AppendOptions, Appended, Bound, Durability, repeated};
use crate::entry::NewEntry;
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

    let mut waiting = by_partition.into_iter();
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < PARTITIONS_AT_ONCE
            && let Some((partition, placed)) = waiting.next()
        {
            let target = Target {
                store,
                server,
                partition,
                key: store.keys.entries(partition),
                options,
            };
            under_way.push(target.append_in_order(placed));
        }
        let Some(outcomes) = under_way.next().await else {
            break;
        };
        outcomes.into_iter().for_each(&mut put);
    }
    // Each place was put: its entry is invalid, or in exactly one partition.
    results.into_iter().flatten().collect()
}

/// One partition, and what is wanted of it.
struct Target<'a> {
    store: &'a RedisStore,
    server: &'a Server,
    partition: &'a Partition,
    key: String,
    options: &'a AppendOptions,
}

impl Target<'_> {
    /// Appends the entries of the partition, chunk after chunk.
    async fn append_in_order(self, placed: Vec<Placed<'_>>) -> Vec<Outcome> {
        let mut done = Vec::with_capacity(placed.len());
        let mut rest = placed.as_slice();
        let mut is_full = false;
        let failure = loop {
            let wanted = chunk::len(rest);
            if wanted == 0 {
                return done;
            }
            let appended = match self.options.idempotence {
                Some(_) => self.append_once(rest, wanted, is_full).await,
                None => self.append_chunk(rest, wanted).await,
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
        let room = match self.options.bound {
            Bound::HighWater(high_water) => self.room(wanted, high_water).await?,
            Bound::None | Bound::DropOldest(_) => wanted,
            Bound::Closed => return Err(append::sealed(self.partition)),
        };
        let chunk = rest.get(..room).unwrap_or(rest);
        let (server, bound) = (self.server, self.options.bound);
        let ids = chunk::append(server, self.partition, &self.key, chunk, bound).await?;
        self.look_after_drops(chunk.len()).await;
        let first = |id| {
            Ok(Appended {
                id,
                duplicate: false,
            })
        };
        Ok(ids.into_iter().map(first).collect())
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
