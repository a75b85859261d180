//! Folding: several changes of one row become one, where nobody could tell the difference.
//!
//! ```text
//! insert(a, b, c) ─ update(b) ─ update(c) ─► insert(a, b, c)
//! update(b, c) ─ update(c) ─────────────────► update(b, c)
//! ```
//!
//! Between [`change`](crate::change) and [`plan`](mod@crate::plan): a payment that is made, confirmed
//! and captured within one batch is written once. It is done only where the database can't have an
//! opinion on the state in between: the table has no triggers, rules, row-level security or
//! partitions, no index, constraint or generated column depends on a column that is replaced, and
//! what is replaced is NULL or a value that the database is sure to take. The catalog says so for
//! each column; see [`Replaced`].
//!
//! Pure. It guarantees: whenever the changes would all be accepted one after the other, the folded
//! ones are accepted and leave the same rows; whenever one of them would be refused, one of the
//! folded ones is refused too. Then nothing is known of whose fault it is, and the caller applies
//! the changes as they were sent.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::catalog::{Absent, Replaced, Table};
use crate::cells::Cells;
use crate::change::{Change, RowKey};
use crate::operation::Verb;

/// Tables with more columns are left alone: a row of so many can be too wide for a page in one
/// state, and fit in the next.
const COLUMNS_MAX: usize = 250;

/// Folds changes, given in the order of the stream. None where there is nothing to fold.
#[must_use]
pub(crate) fn fold<'a>(
    changes: impl Iterator<Item = &'a Change> + Clone,
) -> Option<Vec<Cow<'a, Change>>> {
    if !changes.clone().any(|change| change.verb == Verb::Update) {
        return None;
    }
    let mut folded: Vec<Cow<'a, Change>> = Vec::with_capacity(changes.size_hint().0);
    // Where the last change of each row is, as long as another one may be folded into it.
    let mut open: HashMap<&'a RowKey, usize, RandomState> = HashMap::default();
    let mut count = 0;
    for change in changes {
        count += 1;
        let is_barrier = change.table.is_ordered || change.moved_to.is_some();
        if is_barrier {
            // It may look at any row, so nothing is moved past it.
            open.clear();
        } else if let Some(row) = &change.row {
            let earlier = open.get(row).and_then(|at| folded.get_mut(*at));
            if let Some(earlier) = earlier
                && let Some(joined) = join(earlier, change)
            {
                *earlier = Cow::Owned(joined);
                continue;
            }
            match change.verb {
                Verb::Insert | Verb::Update => open.insert(row, folded.len()),
                Verb::Upsert | Verb::Delete => open.remove(row),
            };
        }
        folded.push(Cow::Borrowed(change));
    }
    (folded.len() < count).then_some(folded)
}

/// Both changes of a row as one, where that is the same to everybody.
fn join(earlier: &Change, later: &Change) -> Option<Change> {
    let table = &earlier.table;
    if later.verb != Verb::Update || !Arc::ptr_eq(table, &later.table) || !is_foldable(table) {
        return None;
    }
    let mut columns = Vec::with_capacity(earlier.columns.len());
    let mut cells = Cells::with_capacity(earlier.cells.as_bytes().len() + 64);
    let mut earlier_cells = earlier.cells.iter();
    let mut later_cells = later.cells.iter();
    for _ in &table.primary_key {
        later_cells.next()?;
        if earlier.verb == Verb::Update {
            cells.extend(earlier_cells.next_framed()?);
        }
    }
    let mut rest = earlier.columns.iter().copied().peekable();
    for column in later.columns.iter().copied() {
        while let Some(kept) = rest.next_if(|kept| *kept < column) {
            columns.push(kept);
            cells.extend(earlier_cells.next_framed()?);
        }
        if rest.next_if_eq(&column).is_some() {
            let is_null = earlier_cells.next()?.is_none();
            may_replace(table, column, is_null).then_some(())?;
        } else {
            may_add(earlier, column).then_some(())?;
        }
        columns.push(column);
        cells.extend(later_cells.next_framed()?);
    }
    for kept in rest {
        columns.push(kept);
        cells.extend(earlier_cells.next_framed()?);
    }
    // Updates of ever new sets of columns would each be a statement of their own.
    let is_known_set = columns.len() == earlier.columns.len().max(later.columns.len());
    (earlier.verb == Verb::Insert || is_known_set).then(|| Change {
        table: table.clone(),
        verb: earlier.verb,
        row: earlier.row.clone(),
        moved_to: None,
        columns,
        cells,
    })
}

/// Whether rows of the table are told apart by their keys, and always fit a page.
fn is_foldable(table: &Table) -> bool {
    let mut keys = table.primary_key.iter().map(|key| table.columns.get(*key));
    table.columns.len() <= COLUMNS_MAX
        && keys.all(|key| key.is_some_and(|key| key.codec.is_exact()))
}

/// Whether a value of the earlier change may be left out, because the later one replaces it.
fn may_replace(table: &Table, column: usize, is_null: bool) -> bool {
    match table.columns.get(column).map(|column| column.replaced) {
        Some(Replaced::Unseen) => true,
        Some(Replaced::UnseenIfNull) => is_null,
        Some(Replaced::Seen) | None => false,
    }
}

/// Whether a column that the earlier change doesn't give may be given by it. A default is computed
/// by the database, and its computing may be refused.
fn may_add(earlier: &Change, column: usize) -> bool {
    let is_new_row = earlier.verb == Verb::Insert;
    earlier.table.columns.get(column).is_some_and(|column| {
        column.replaced != Replaced::Seen && (!is_new_row || column.absent == Absent::Null)
    })
}

#[cfg(test)]
mod tests;
