//! The plan: many changes become few statements, and every row keeps its order.
//!
//! Changes are laid in *levels*. A row's first change of the batch is in level 1, its second in
//! level 2, and so on; so within a level no two changes touch the same row, and they may be
//! grouped by table, verb and columns. Within a level parents are written before children and
//! deleted after them.
//!
//! Where changes of different rows don't commute (a table with triggers or cascading foreign
//! keys, an update that moves a row to another key), a change is a *barrier*: everything before
//! it comes first, everything after it later.
//!
//! Moving changes of different rows past each other can meet a constraint that the order of the
//! stream would not have met (a unique value freed by one row and taken by another). Then the
//! database refuses the batch, and the caller searches with smaller batches, down to the order of
//! the stream itself; see [`apply`](crate::apply).
//!
//! Planning is pure. It guarantees: each change is in exactly one step, and of two changes of one
//! row the earlier one is in an earlier step.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::catalog::Table;
use crate::change::{Change, RowKey};
use crate::operation::Verb;

/// Changes that one statement can write: of one table, one verb and one set of columns, of
/// different rows, in the order of the stream.
#[derive(Debug)]
pub struct Step<'a> {
    /// The changes, at least one.
    pub changes: Vec<&'a Change>,
}

impl<'a> Step<'a> {
    /// The table, verb and columns that all its changes share.
    #[must_use]
    pub fn shape(&self) -> Option<&'a Change> {
        self.changes.first().copied()
    }
}

/// Lays changes, given in the order of the stream, into steps.
#[must_use]
pub fn plan<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Vec<Step<'a>> {
    let mut levels = Levels::default();
    let mut places: HashMap<GroupKey<'a>, usize, RandomState> = HashMap::default();
    let mut ordered: Vec<(GroupKey<'a>, Vec<&'a Change>)> = Vec::new();
    let mut latest = 0;
    for change in changes {
        let key = GroupKey::new(levels.place(change), change);
        // Most changes are like the one before them.
        if ordered.get(latest).is_none_or(|(other, _)| *other != key) {
            latest = *places.entry(key).or_insert(ordered.len());
            if latest == ordered.len() {
                ordered.push((key, Vec::new()));
            }
        }
        if let Some((_, group)) = ordered.get_mut(latest) {
            group.push(change);
        }
    }
    ordered.sort_unstable_by(|(a, _), (b, _)| a.cmp_order(b));
    ordered
        .into_iter()
        .map(|(_, changes)| Step { changes })
        .collect()
}

/// Where the next change of each row may go. Levels are counted from 1.
#[derive(Default)]
struct Levels<'a> {
    of_row: HashMap<&'a RowKey, u32, RandomState>,
    /// The level of the last barrier, or 0: everything after it goes higher.
    barrier: u32,
    /// The highest level in use.
    top: u32,
    /// The last barrier, if no other change came after it: the same shape may join it.
    open_barrier: Option<&'a Change>,
}

impl<'a> Levels<'a> {
    fn place(&mut self, change: &'a Change) -> u32 {
        let rows = [change.row.as_ref(), change.moved_to.as_ref()]
            .into_iter()
            .flatten();
        let last = rows
            .clone()
            .filter_map(|row| self.of_row.get(row))
            .copied()
            .max()
            .unwrap_or(0);
        let is_barrier = change.table.is_ordered || change.moved_to.is_some();
        let level = if !is_barrier {
            self.open_barrier = None;
            last.max(self.barrier) + 1
        } else if self.joins_barrier(change) && last < self.barrier {
            self.barrier
        } else {
            self.open_barrier = Some(change);
            self.barrier = self.top + 1;
            self.barrier
        };
        self.top = self.top.max(level);
        for row in rows {
            self.of_row.insert(row, level);
        }
        level
    }

    /// Many equal changes in a row, of different rows, can be one statement even behind a barrier
    /// (a bulk load into a table with a trigger).
    fn joins_barrier(&self, change: &Change) -> bool {
        change.moved_to.is_none()
            && self.open_barrier.is_some_and(|open| {
                open.moved_to.is_none()
                    && Arc::ptr_eq(&open.table, &change.table)
                    && open.verb == change.verb
                    && open.columns == change.columns
            })
    }
}

/// What the changes of a step have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct GroupKey<'a> {
    level: u32,
    verb: Verb,
    table: TableRef<'a>,
    columns: &'a [usize],
}

impl<'a> GroupKey<'a> {
    fn new(level: u32, change: &'a Change) -> Self {
        Self {
            level,
            verb: change.verb,
            table: TableRef(&change.table),
            columns: &change.columns,
        }
    }

    /// Level by level; new rows parents first, then updates, then deletes children first; the
    /// rest only makes the order the same every time.
    fn cmp_order(&self, other: &Self) -> std::cmp::Ordering {
        let rank = |key: &Self| match key.verb {
            Verb::Delete => -i64::from(key.table.0.rank),
            _ => i64::from(key.table.0.rank),
        };
        let phase = |key: &Self| match key.verb {
            Verb::Insert | Verb::Upsert => 0,
            Verb::Update => 1,
            Verb::Delete => 2,
        };
        (self.level, phase(self), rank(self))
            .cmp(&(other.level, phase(other), rank(other)))
            .then_with(|| self.table.0.schema.cmp(&other.table.0.schema))
            .then_with(|| self.table.0.name.cmp(&other.table.0.name))
            .then_with(|| self.verb.cmp(&other.verb))
            .then_with(|| self.columns.cmp(other.columns))
    }
}

/// A table by identity: a catalog holds each table once.
#[derive(Clone, Copy)]
struct TableRef<'a>(&'a Arc<Table>);

impl PartialEq for TableRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.0, other.0)
    }
}

impl Eq for TableRef<'_> {}

impl std::hash::Hash for TableRef<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::ptr::hash(Arc::as_ptr(self.0), state);
    }
}

#[cfg(test)]
mod tests;
