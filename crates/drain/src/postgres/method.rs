//! How a step is written: COPY for many new rows, arrays for several rows, else row by row. Pure.

use super::catalog::Quirks;
use crate::catalog::{Column, Table};
use crate::operation::Verb;
use crate::plan::Step;

/// The ways of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// `COPY … FROM STDIN (FORMAT binary)`.
    Copy,
    /// One statement with an array per column.
    Bulk,
    /// One prepared statement per row, all of them sent before the first answer is awaited.
    Single,
}

/// From this many rows on COPY is faster than arrays, although it needs one more round trip.
const COPY_ROWS_MIN: usize = 24;
/// From this many rows on one statement with arrays is faster than one per row.
const BULK_ROWS_MIN: usize = 4;

/// Chooses how a step is written.
pub(super) fn choose(step: &Step<'_>, quirks: &Quirks) -> Method {
    let Some(shape) = step.shape() else {
        return Method::Single;
    };
    let rows = step.changes.len();
    let is_new = matches!(shape.verb, Verb::Insert | Verb::Upsert);
    let keeps_order = is_new || !shape.table.has_triggers;
    if rows < BULK_ROWS_MIN || is_new && shape.columns.is_empty() || !keeps_order {
        // A join would hand the rows to the triggers in an order of its own.
        return Method::Single;
    }
    let columns = shape
        .columns
        .iter()
        .filter_map(|index| shape.table.columns.get(*index));
    let may_copy = shape.verb == Verb::Insert
        && rows >= COPY_ROWS_MIN
        && columns.clone().all(is_binary)
        && quirks.may_copy(&shape.table);
    if may_copy { Method::Copy } else { Method::Bulk }
}

/// Whether a column's cells are what its own type reads.
fn is_binary(column: &Column) -> bool {
    column.cell_type == column.sql_type
}

/// Whether rows of the table may be kept back by a trigger without an error.
pub(super) fn may_suppress(table: &Table) -> bool {
    table.has_triggers
}
