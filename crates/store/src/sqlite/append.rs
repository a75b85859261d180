//! Append: the way in.
//!
//! The fields are encoded by the caller, so that the writer thread only writes. One call is one
//! command of the writer: if the process dies here, all of its entries are there, or none.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::column::sql_number;
use super::{codec, partition};
use crate::entry::{EntryId, NewEntry};
use crate::stream::Partition;
use crate::{Error, Result};

/// The entries of one call, encoded and sorted by partition: a run of one partition lies together
/// in the file.
#[derive(Debug)]
pub(super) struct Batch {
    runs: Vec<Run>,
    entries: usize,
}

#[derive(Debug)]
struct Run {
    partition: Partition,
    /// The place in the caller's list, and the fields.
    entries: Vec<(usize, Vec<u8>)>,
}

impl Batch {
    /// Encodes entries.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an entry without fields.
    pub(super) fn encode(entries: Vec<NewEntry>) -> Result<Self> {
        let count = entries.len();
        let mut runs: HashMap<Partition, Vec<(usize, Vec<u8>)>> = HashMap::new();
        for (place, entry) in entries.into_iter().enumerate() {
            if entry.fields.is_empty() {
                return Err(Error::Invalid(format!(
                    "an entry for {} has no field; it needs at least one",
                    entry.partition
                )));
            }
            runs.entry(entry.partition)
                .or_default()
                .push((place, codec::encode(&entry.fields)));
        }
        let runs = runs
            .into_iter()
            .map(|(partition, entries)| Run { partition, entries });
        Ok(Self {
            runs: runs.collect(),
            entries: count,
        })
    }
}

/// Writes a batch and returns the ids in the order of the caller's list.
pub(super) fn append(connection: &Connection, batch: &Batch, now_ms: u64) -> Result<Vec<EntryId>> {
    let mut ids = vec![EntryId::ZERO; batch.entries];
    let mut insert = connection.prepare_cached(
        "INSERT INTO tidegate_entry (partition_id, ms, sequence, ordinal, fields)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for run in &batch.runs {
        let mut row = partition::find_or_create(connection, &run.partition)?;
        for (place, fields) in &run.entries {
            row.last_id = id_after(row.last_id, now_ms);
            row.appended += 1;
            insert.execute(params![
                row.id,
                sql_number(row.last_id.ms),
                sql_number(row.last_id.sequence),
                sql_number(row.appended),
                fields,
            ])?;
            if let Some(id) = ids.get_mut(*place) {
                *id = row.last_id;
            }
        }
        partition::update(connection, &row)?;
    }
    Ok(ids)
}

/// The id of the next entry, as Redis has it: the clock's millisecond, unless the newest entry is
/// of a later one; then the next sequence number of that.
pub(super) fn id_after(last: EntryId, now_ms: u64) -> EntryId {
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
