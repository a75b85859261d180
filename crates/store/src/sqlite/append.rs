//! Append: the way in.
//!
//! The fields are encoded by the caller, so that the writer thread only writes. One call is one
//! command of the writer: if the process dies here, all of its entries are there, or none. What a
//! call promises is kept in the same transaction: a bound is exact, and a request id is known from
//! the moment on in which its entry is there.

use std::collections::HashMap;

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::column::sql_number;
use super::partition::{self, PartitionRow};
use super::{codec, drop_oldest, sent};
use crate::append::{self, AppendOptions, Appended, Bound, Durability};
use crate::entry::{EntryId, NewEntry};
use crate::stream::Partition;
use crate::{Error, Result};

/// The entries of one call, encoded and sorted by partition: a run of one partition lies together
/// in the file.
#[derive(Debug)]
pub(super) struct Batch {
    options: AppendOptions,
    runs: Vec<Run>,
    /// Entries that can't be appended, by their place in the caller's list.
    invalid: Vec<(usize, Error)>,
    entries: usize,
}

#[derive(Debug)]
struct Run {
    partition: Partition,
    entries: Vec<Encoded>,
}

#[derive(Debug)]
struct Encoded {
    /// The place in the caller's list.
    place: usize,
    fields: Vec<u8>,
    request_id: Option<Bytes>,
}

/// What a caller gets for each of its entries.
type Results = Vec<Result<Appended>>;

impl Batch {
    /// Encodes entries.
    pub(super) fn encode(entries: Vec<NewEntry>, options: AppendOptions) -> Self {
        let count = entries.len();
        let mut runs: HashMap<Partition, Vec<Encoded>> = HashMap::new();
        let mut invalid = Vec::new();
        for (place, entry) in entries.into_iter().enumerate() {
            if let Err(error) = append::check_entry(&entry) {
                invalid.push((place, error));
                continue;
            }
            runs.entry(entry.partition).or_default().push(Encoded {
                place,
                fields: codec::encode(&entry.fields),
                request_id: entry.request_id,
            });
        }
        let runs = runs
            .into_iter()
            .map(|(partition, entries)| Run { partition, entries });
        Self {
            options,
            runs: runs.collect(),
            invalid,
            entries: count,
        }
    }

    /// How many entries the caller gave.
    pub(super) fn len(&self) -> usize {
        self.entries
    }

    /// Why none of them may be appended. A commit is on the disk, so the only promise that can't
    /// be kept is one of replicas.
    pub(super) fn refusal(&self) -> Option<Error> {
        if let Err(invalid) = append::check_options(&self.options) {
            return Some(invalid);
        }
        matches!(self.options.durability, Durability::Replicated { .. })
            .then(|| Error::Refused("the embedded store has no replicas".into()))
    }
}

/// Writes a batch and returns a result for each entry, in the order of the caller's list.
pub(super) fn append(connection: &Connection, batch: Batch, now_ms: u64) -> Result<Results> {
    let mut placed: Vec<Option<Result<Appended>>> = Vec::new();
    placed.resize_with(batch.entries, || None);
    let mut put = |place: usize, result| {
        if let Some(slot) = placed.get_mut(place) {
            *slot = Some(result);
        }
    };
    for (place, error) in batch.invalid {
        put(place, Err(error));
    }
    if batch.options.idempotence.is_some() {
        sent::forget_ended(connection, batch.entries, now_ms)?;
    }
    for run in &batch.runs {
        append_run(connection, run, &batch.options, now_ms, &mut put)?;
    }
    // Each place was put: it is invalid, or in exactly one run.
    Ok(placed.into_iter().flatten().collect())
}

fn append_run(
    connection: &Connection,
    run: &Run,
    options: &AppendOptions,
    now_ms: u64,
    put: &mut impl FnMut(usize, Result<Appended>),
) -> Result<()> {
    let mut row = partition::find_or_create(connection, &run.partition)?;
    let mut room = Room::of(connection, &row, options.bound)?;
    for entry in &run.entries {
        let known = match (options.idempotence, &entry.request_id) {
            (Some(window), Some(request_id)) => Some((window, request_id)),
            _ => None,
        };
        if let Some((_, request_id)) = known
            && let Some(id) = sent::find(connection, row.id, request_id, now_ms)?
        {
            let duplicate = true;
            put(entry.place, Ok(Appended { id, duplicate }));
            continue;
        }
        if room.bound == Bound::Closed || row.is_sealed {
            put(entry.place, Err(append::sealed(&run.partition)));
            continue;
        }
        if let Some((held, high_water)) = room.refusal() {
            let full = append::full(&run.partition, held, high_water);
            put(entry.place, Err(full));
            continue;
        }
        insert(connection, &mut row, &entry.fields, now_ms)?;
        room.held = room.held.saturating_add(1);
        if let Some((window, request_id)) = known {
            sent::remember(connection, &row, request_id, window, now_ms)?;
        }
        let id = row.last_id;
        put(
            entry.place,
            Ok(Appended {
                id,
                duplicate: false,
            }),
        );
    }
    partition::update(connection, &row)?;
    if let Bound::DropOldest(keep) = options.bound
        && !row.is_sealed
    {
        drop_oldest::drop_oldest(connection, &run.partition, row.id, room.held, keep)?;
    }
    Ok(())
}

/// How many entries a partition holds, where that matters.
#[derive(Debug)]
struct Room {
    held: u64,
    bound: Bound,
}

impl Room {
    fn of(connection: &Connection, row: &PartitionRow, bound: Bound) -> Result<Self> {
        let held = match bound {
            Bound::None | Bound::Closed => 0,
            Bound::HighWater(_) | Bound::DropOldest(_) => partition::count(connection, row)?,
        };
        Ok(Self { held, bound })
    }

    /// How many are held and how many allowed, where there is no room for another.
    fn refusal(&self) -> Option<(u64, u64)> {
        match self.bound {
            Bound::HighWater(high_water) if self.held >= high_water => {
                Some((self.held, high_water))
            }
            _ => None,
        }
    }
}

/// Writes an entry under the next id, which `row` knows from then on; the caller
/// [updates](super::partition::update) the partition itself.
pub(super) fn insert(
    connection: &Connection,
    row: &mut PartitionRow,
    fields: &[u8],
    now_ms: u64,
) -> Result<()> {
    row.last_id = id_after(row.last_id, now_ms);
    row.appended += 1;
    connection
        .prepare_cached(
            "INSERT INTO tidegate_entry (partition_id, ms, sequence, ordinal, fields)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            row.id,
            sql_number(row.last_id.ms),
            sql_number(row.last_id.sequence),
            sql_number(row.appended),
            fields,
        ])?;
    Ok(())
}

/// The id of the next entry, as Redis has it: the clock's millisecond, unless the newest entry is
/// of a later one; then the next sequence number of that.
fn id_after(last: EntryId, now_ms: u64) -> EntryId {
    if now_ms > last.ms {
        EntryId::new(now_ms, 0)
    } else {
        last.next()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_grow_whatever_the_clock_does(clock in proptest::collection::vec(0_u64..5, 1..50)) {
            let mut last = EntryId::ZERO;
            for now_ms in clock {
                let id = id_after(last, now_ms);
                prop_assert!(id > last);
                prop_assert!(id.ms >= now_ms);
                last = id;
            }
        }
    }
}
