//! Audit: do the rows say what the entries said?
//!
//! [`status`](crate::status) counts entries; this looks at rows. It takes the newest entries of a shard that are
//! still in the stream and settled, and holds the last operation on each row against the row
//! itself. While a shard is looked at, its ledger is locked, so that the rows are those of one
//! position; nothing is written.
//!
//! What can't be told is counted and not guessed: rows without a key, tables whose triggers may
//! write what they like, rows that were moved to another key.

use std::collections::{HashMap, HashSet, VecDeque};

use tidegate_store::{Entry, EntryId, Store};

use crate::catalog::Catalog;
use crate::change::{Change, RowKey, as_new_row};
use crate::dead_letter::DeadLetterFilter;
use crate::envelope::Envelope;
use crate::error::Result;
use crate::held::HeldState;
use crate::operation::Verb;
use crate::options::Options;
use crate::policy::{OnConflict, OnMissing};
use crate::settle::decode;
use crate::sink::{Found, Sink};

/// How many entries of a shard are looked at unless somebody says otherwise.
pub const SAMPLE_DEFAULT: usize = 1_000;
/// The most discarded entries that are known as such.
const DISCARDED_MAX: u32 = 100_000;

/// What was found in one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// The shard.
    pub shard: u32,
    /// Entries that were looked at.
    pub entries: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Rows of which nothing can be told.
    pub untold: u64,
    /// Rows that differ.
    pub differences: Vec<Difference>,
}

/// A row that is not as its last operation left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The last entry on the row.
    pub entry: EntryId,
    /// The table.
    pub table: String,
    /// What is different, without the row's values.
    pub reason: &'static str,
}

/// Looks at the newest `sample` settled entries of each shard.
///
/// # Errors
/// Those of the store and the sink.
pub async fn audit(
    store: &dyn Store,
    sink: &dyn Sink,
    options: &Options,
    sample: usize,
) -> Result<Vec<Audit>> {
    let catalog = options.catalog(sink).await?;
    let filter = DeadLetterFilter {
        stream: options.stream.clone(),
        states: vec![HeldState::Discarded],
        id: None,
        count_max: DISCARDED_MAX,
    };
    let discarded = sink.dead_letters(&filter).await?.into_iter();
    let discarded: HashSet<_> = discarded.map(|it| (it.id.shard, it.id.entry)).collect();
    let mut audits = Vec::new();
    for row in sink.ledger(&options.stream).await? {
        let is_discarded = |id: EntryId| discarded.contains(&(row.shard, id));
        audits.push(
            of_shard(
                store,
                sink,
                options,
                &catalog,
                (row.shard, sample),
                &is_discarded,
            )
            .await?,
        );
    }
    Ok(audits)
}

async fn of_shard(
    store: &dyn Store,
    sink: &dyn Sink,
    options: &Options,
    catalog: &Catalog,
    (index, sample): (u32, usize),
    is_discarded: &(dyn Fn(EntryId) -> bool + Sync),
) -> Result<Audit> {
    let shard = options.stream.partition(index);
    let mut audit = Audit {
        shard: index,
        ..Audit::default()
    };
    let mut transaction = sink.begin().await?;
    let Some(held) = transaction.lock_ledger(&shard).await? else {
        return Ok(audit);
    };
    let ledger = sink.ledger(&options.stream).await?;
    let row = ledger.iter().find(|row| row.shard == index);
    let position = row.map_or(EntryId::ZERO, |row| row.position);
    let entries = newest(store, options, index, position, sample).await?;
    audit.entries = entries.len() as u64;
    let applied = entries
        .into_iter()
        .filter(|entry| held.get(entry.id).is_none() && !is_discarded(entry.id));
    let mut expected = Expected::default();
    for entry in applied {
        expected.add(catalog, options, entry);
    }
    audit.untold = expected.untold.len() as u64 + expected.without_key;
    let looked_up: Vec<(EntryId, Verb, Change)> = expected.last.into_values().collect();
    let changes: Vec<&Change> = looked_up.iter().map(|(.., change)| change).collect();
    audit.rows = changes.len() as u64;
    let found = transaction.compare(&changes).await?;
    for ((entry, verb, change), found) in looked_up.iter().zip(found) {
        if let Some(reason) = difference(*verb, change, found) {
            audit.differences.push(Difference {
                entry: *entry,
                table: change.table.name.clone(),
                reason,
            });
        }
    }
    audit.differences.sort_by_key(|difference| difference.entry);
    Ok(audit)
}

/// The newest entries that are not after the position.
async fn newest(
    store: &dyn Store,
    options: &Options,
    index: u32,
    position: EntryId,
    sample: usize,
) -> Result<VecDeque<Entry>> {
    let shard = options.stream.partition(index);
    let (mut after, mut newest) = (EntryId::ZERO, VecDeque::new());
    while after < position {
        let entries = store
            .read_after(&shard, after, options.read_limit())
            .await?;
        let Some(last) = entries.last() else { break };
        after = last.id;
        newest.extend(entries.into_iter().filter(|entry| entry.id <= position));
        let surplus = newest.len().saturating_sub(sample);
        newest.drain(..surplus);
    }
    Ok(newest)
}

/// The last operation on each row, as a new row to be compared.
#[derive(Default)]
struct Expected {
    last: HashMap<RowKey, (EntryId, Verb, Change)>,
    untold: HashSet<RowKey>,
    without_key: u64,
}

impl Expected {
    fn add(&mut self, catalog: &Catalog, options: &Options, entry: Entry) {
        let id = entry.id;
        let Ok((changes, _)) = decode(&Envelope::new(entry), catalog, &options.rules()) else {
            // The table has changed since it was applied.
            self.without_key += 1;
            return;
        };
        for change in changes {
            let Some(row) = change.row.clone() else {
                self.without_key += 1;
                continue;
            };
            self.last.remove(&row);
            let moved_to = change.moved_to.clone();
            match as_new_row(&change).filter(|_| moved_to.is_none() && !change.table.has_triggers) {
                Some(new_row) => {
                    self.untold.remove(&row);
                    self.last.insert(row, (id, change.verb, new_row));
                }
                None => self.untold.extend([row].into_iter().chain(moved_to)),
            }
        }
    }
}

fn difference(verb: Verb, change: &Change, found: Found) -> Option<&'static str> {
    let policy = change.table.policy;
    match (verb, found) {
        (Verb::Delete, Found::Nothing) => None,
        (Verb::Delete, _) => Some("the row was deleted, and is there"),
        (_, Found::Same | Found::Newer) => None,
        (Verb::Update, Found::Nothing) if policy.on_missing_update == OnMissing::Skip => None,
        (Verb::Insert, _) if policy.on_conflict == OnConflict::Skip => None,
        (_, Found::Nothing) => Some("the row was written, and is not there"),
        (_, Found::Different) => Some("the row has other values than were written"),
    }
}
