//! What operations would change: the rows as they are, and as they would become.
//!
//! Beside the flow, for people who look before they leap. The operations on a row are laid over each
//! other here; the database is asked for the rows as they are, in a transaction that only reads, and
//! to write the new values as it writes its own. Triggers, versions, defaults and constraints are
//! not tried: [`RowDiff::may_differ`] says where they could make another row of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tidegate_store::EntryId;

use crate::catalog::{Column, Table};
use crate::cells::Cells;
use crate::change::{Change, RowKey, as_new_row};
use crate::error::{Error, Result};
use crate::operation::Verb;
use crate::policy::{OnConflict, OnMissing, Policy};
use crate::sink::{Sink, Unit};

/// The most rows that are looked at, all of which are in memory.
pub const ROWS_MAX: usize = 100_000;
/// The most rows that the database is asked for at once.
const ROWS_AT_ONCE: usize = 1_000;

/// What a sink says of one row, column by column in the table's order.
#[derive(Clone, Debug, Default)]
pub struct Peek {
    /// Whether there is a row with this key.
    pub is_there: bool,
    /// The columns.
    pub columns: Vec<Glance>,
}

/// A column of a row, as texts of the database's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// The present value; none for NULL, and where there is no row.
    pub old: Option<String>,
    /// The value that the change gives; the outer none where it gives none.
    pub new: Option<Option<String>>,
    /// Whether the two are equal to the database.
    pub is_same: bool,
}

/// What would become of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It would be new.
    Insert,
    /// It would change.
    Update,
    /// It would be gone.
    Delete,
    /// It would stay as it is.
    Unchanged,
    /// Another row is there, so the operation would be a dead letter.
    Conflict,
    /// No row is there, so the operation would be a dead letter.
    Missing,
    /// It would get another key.
    Move,
}

impl Effect {
    /// The name under which it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Unchanged => "unchanged",
            Self::Conflict => "conflict",
            Self::Missing => "missing",
            Self::Move => "move",
        }
    }
}

/// What operations would do to one row.
#[derive(Clone, Debug)]
pub struct RowDiff {
    /// The first of them.
    pub first: EntryId,
    /// The row's table.
    pub table: Arc<Table>,
    /// What would become of it.
    pub effect: Effect,
    /// Whether triggers or a version may make something else of it.
    pub may_differ: bool,
    /// The columns in the table's order.
    pub columns: Vec<Glance>,
    is_there: bool,
}

impl RowDiff {
    /// Whether there is a row now.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.is_there
    }

    /// The columns of the row's key with their values.
    pub fn key(&self) -> impl Iterator<Item = (&Column, Option<&str>)> {
        self.table.primary_key.iter().filter_map(|index| {
            let glance = self.columns.get(*index)?;
            let given = glance.new.as_ref().unwrap_or(&glance.old);
            Some((self.table.columns.get(*index)?, given.as_deref()))
        })
    }
}

/// Operations laid over each other, by row.
#[derive(Debug, Default)]
pub struct Overlay {
    rows: Vec<Laid>,
    by_key: HashMap<RowKey, usize>,
}

/// What the operations on one row come to.
#[derive(Debug)]
struct Laid {
    first: EntryId,
    verb: Verb,
    /// The first change as a row, where it is a new row that may meet another one.
    first_row: Option<Change>,
    last: Change,
    values: BTreeMap<usize, Vec<u8>>,
    is_deleted: bool,
    is_moved: bool,
    /// How many changes there are.
    count: usize,
}

impl Overlay {
    /// Lays the changes of an entry over those before it.
    ///
    /// # Errors
    /// [`Error::Invalid`] beyond [`ROWS_MAX`] rows.
    pub fn add(&mut self, unit: &Unit) -> Result<()> {
        for change in &unit.changes {
            let known = change.row.as_ref().and_then(|row| self.by_key.get(row));
            let at = known.copied().unwrap_or(self.rows.len());
            if at == ROWS_MAX {
                return Err(Error::Invalid(format!(
                    "the operations are on more than {ROWS_MAX} rows; take fewer at once"
                )));
            }
            if let Some(row) = change.row.clone() {
                self.by_key.insert(row, at);
            }
            match self.rows.get_mut(at) {
                Some(laid) => laid.add(change),
                None => self.rows.push(Laid::new(unit.envelope.id, change)),
            }
        }
        Ok(())
    }

    /// Asks for the rows, and says what would become of each, in the order of the operations.
    ///
    /// # Errors
    /// The sink's.
    pub async fn diff(self, sink: &dyn Sink) -> Result<Vec<RowDiff>> {
        let mut diffs = Vec::with_capacity(self.rows.len());
        for rows in self.rows.chunks(ROWS_AT_ONCE) {
            let last: Vec<Change> = rows.iter().map(Laid::as_row).collect();
            let first: Vec<Change> = rows
                .iter()
                .filter_map(|row| row.first_row.clone())
                .collect();
            let last = sink.peek(&last).await?;
            let mut first = sink.peek(&first).await?.into_iter();
            for (row, peek) in rows.iter().zip(last) {
                let first = row.first_row.as_ref().and_then(|_| first.next());
                diffs.push(RowDiff {
                    first: row.first,
                    table: row.last.table.clone(),
                    effect: row.effect(&peek, first.as_ref()),
                    may_differ: row.last.table.has_triggers
                        || row.last.table.policy.version.is_some(),
                    is_there: peek.is_there,
                    columns: peek.columns,
                });
            }
        }
        Ok(diffs)
    }
}

impl Laid {
    fn new(first: EntryId, change: &Change) -> Self {
        let mut laid = Self {
            first,
            verb: change.verb,
            first_row: (change.verb == Verb::Insert && change.row.is_some())
                .then(|| change.clone()),
            last: change.clone(),
            values: BTreeMap::new(),
            is_deleted: false,
            is_moved: false,
            count: 0,
        };
        laid.add(change);
        laid
    }

    fn add(&mut self, change: &Change) {
        self.count += 1;
        self.is_moved |= change.moved_to.is_some();
        self.is_deleted = change.verb == Verb::Delete;
        if self.is_deleted {
            self.values.clear();
        }
        if let Some(row) = as_new_row(change) {
            let mut cells = row.cells.iter();
            for index in &row.columns {
                if let Some(cell) = cells.next_framed() {
                    self.values.insert(*index, cell.to_vec());
                }
            }
        }
        self.last = change.clone();
    }

    /// All that is given of the row, as one new row.
    fn as_row(&self) -> Change {
        let mut cells = Cells::new();
        self.values.values().for_each(|cell| cells.extend(cell));
        Change {
            columns: self.values.keys().copied().collect(),
            cells,
            verb: Verb::Upsert,
            ..self.last.clone()
        }
    }

    fn effect(&self, peek: &Peek, first: Option<&Peek>) -> Effect {
        let policy = &self.last.table.policy;
        let is_same = |peek: &Peek| {
            let mut given = peek.columns.iter().filter(|glance| glance.new.is_some());
            given.all(|glance| glance.is_same)
        };
        // What a first insert meets decides on everything behind it.
        let is_taken = first.is_some_and(|first| first.is_there && !is_same(first));
        match (peek.is_there, self.verb) {
            _ if self.is_moved => Effect::Move,
            (true, Verb::Insert) if is_taken && stops(policy) => Effect::Conflict,
            (true, Verb::Insert) if is_taken && self.count == 1 && skips(policy) => {
                Effect::Unchanged
            }
            (true, _) if self.is_deleted => Effect::Delete,
            (true, _) if is_same(peek) => Effect::Unchanged,
            (true, _) => Effect::Update,
            (false, Verb::Update) if policy.on_missing_update == OnMissing::DeadLetter => {
                Effect::Missing
            }
            (false, Verb::Delete)
                if self.is_deleted && policy.on_missing_delete == OnMissing::DeadLetter =>
            {
                Effect::Missing
            }
            (false, Verb::Update) => Effect::Unchanged,
            (false, _) if self.is_deleted => Effect::Unchanged,
            (false, _) => Effect::Insert,
        }
    }
}

fn stops(policy: &Policy) -> bool {
    policy.on_conflict == OnConflict::DeadLetter
}

fn skips(policy: &Policy) -> bool {
    policy.on_conflict == OnConflict::Skip
}
