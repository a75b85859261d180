//! What is in the place of new rows that met a conflict: nothing, the same row, or another one.
//! It reads inside of the transaction and changes nothing.

use rusqlite::Connection;

use super::failure::from_sqlite;
use super::{cell, statement};
use crate::change::Change;
use crate::error::Result;
use crate::sink::Found;

/// See [`SinkTransaction::compare`](crate::sink::SinkTransaction::compare).
pub(super) fn compare(connection: &Connection, changes: &[Change]) -> Result<Vec<Found>> {
    let compare = |change| one(connection, change).map_err(from_sqlite);
    changes.iter().map(compare).collect()
}

fn one(connection: &Connection, change: &Change) -> rusqlite::Result<Found> {
    let sql = change.row.as_ref().and_then(|_| statement::compare(change));
    let Some(sql) = sql else {
        // Without its key a row has no place.
        return Ok(Found::Nothing);
    };
    let mut statement = connection.prepare_cached(&sql)?;
    let used = statement.parameter_count();
    for (number, cell) in (1..=used).zip(&change.cells) {
        if let Some(value) = cell::to_sql(cell) {
            statement.raw_bind_parameter(number, value)?;
        }
    }
    let mut rows = statement.raw_query();
    let Some(row) = rows.next()? else {
        return Ok(Found::Nothing);
    };
    Ok(match (row.get(0)?, row.get(1)?) {
        (true, _) => Found::Same,
        (false, true) => Found::Newer,
        (false, false) => Found::Different,
    })
}
