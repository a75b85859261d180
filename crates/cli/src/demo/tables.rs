//! The tables as they are: every row of every table is read, by SQL of our own and not by the
//! drain, and compared with the model.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use super::compare::{TableFindings, compare};
use super::model::{Expected, Model, Row};
use super::schema::Table;

/// Opens the demo's file to read it, and nothing else.
///
/// # Errors
/// SQLite's.
pub(crate) fn open(file: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Compares all tables with the model.
///
/// # Errors
/// SQLite's.
pub(crate) fn compare_all(
    model: &Model,
    database: &Connection,
) -> rusqlite::Result<Vec<TableFindings>> {
    let tables = model.tables().into_iter();
    tables
        .map(|expected| compare_one(expected, database))
        .collect()
}

fn compare_one(expected: Expected<'_>, database: &Connection) -> rusqlite::Result<TableFindings> {
    let Expected { table, rows } = expected;
    let mut statement = database.prepare(&select(table))?;
    let found = statement.query_map([], |row| {
        (0..table.columns.len())
            .map(|index| row.get::<_, Value>(index))
            .collect::<Result<Row, _>>()
    })?;
    compare(table, rows, found)
}

/// All rows in the order in which the model gives them.
fn select(table: Table) -> String {
    let key: Vec<_> = table
        .columns
        .iter()
        .copied()
        .take(table.key_columns)
        .collect();
    let (columns, key) = (table.columns.join(", "), key.join(", "));
    format!("SELECT {columns} FROM {} ORDER BY {key}", table.name)
}
