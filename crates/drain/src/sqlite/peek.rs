//! Rows as they are, beside what changes would make of them: a question that changes nothing.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::failure::from_sqlite;
use super::{cell, statement};
use crate::change::Change;
use crate::diff::{Glance, Peek};
use crate::error::Result;

/// See [`Sink::peek`](crate::Sink::peek).
pub(super) fn peek(connection: &Connection, changes: &[Change]) -> Result<Vec<Peek>> {
    let peek = |change| one(connection, change).map_err(from_sqlite);
    changes.iter().map(peek).collect()
}

fn one(connection: &Connection, change: &Change) -> rusqlite::Result<Peek> {
    let width = change.table.columns.len();
    let mut peek = Peek {
        is_there: false,
        columns: vec![Glance::default(); width],
    };
    for (index, given) in change.columns.iter().zip(&change.cells) {
        if let Some(glance) = peek.columns.get_mut(*index) {
            glance.new = Some(given.and_then(cell::to_text).map(|text| text.into_owned()));
        }
    }
    // Without its key a row has no place.
    let sql = change.row.as_ref().and_then(|_| statement::peek(change));
    let Some(sql) = sql else { return Ok(peek) };
    let mut statement = connection.prepare_cached(&sql)?;
    for (number, given) in (1..=statement.parameter_count()).zip(&change.cells) {
        if let Some(value) = cell::to_sql(given) {
            statement.raw_bind_parameter(number, value)?;
        }
    }
    let mut rows = statement.raw_query();
    let Some(row) = rows.next()? else {
        return Ok(peek);
    };
    peek.is_there = true;
    for (at, glance) in peek.columns.iter_mut().enumerate() {
        glance.old = text(row.get_ref(at)?);
    }
    for (at, index) in change.columns.iter().enumerate() {
        if let Some(glance) = peek.columns.get_mut(*index) {
            glance.is_same = row.get(width + at)?;
        }
    }
    Ok(peek)
}

/// A value as the text that a cell of it has.
fn text(value: ValueRef<'_>) -> Option<String> {
    let mut content = Vec::new();
    match value {
        ValueRef::Null => return None,
        ValueRef::Integer(value) => cell::put_integer(&mut content, value),
        ValueRef::Real(value) => cell::put_real(&mut content, value),
        ValueRef::Text(value) => return Some(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(value) => {
            cell::begin_blob(&mut content);
            content.extend_from_slice(value);
        }
    }
    cell::to_text(&content).map(|text| text.into_owned())
}
