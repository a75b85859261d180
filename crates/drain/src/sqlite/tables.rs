//! The catalog as SQLite tells it.
//!
//! Ordinary tables of `main` may be written; views, virtual tables, SQLite's own tables and
//! Tidegate's own are left out. Everything is read in one transaction, so the catalog is that of
//! one moment; a schema that changes later is noticed by the statements that no longer fit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, Row};

use super::codec::{Collation, SqliteCodec};
use super::declared::kind_of;
use super::rank::{ForeignKey, places};
use crate::catalog::{Absent, Catalog, Column, Replaced, Table};

/// The schema of the file itself, in SQLite's words.
pub(super) const SCHEMA: &str = "main";

/// Reads the catalog.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Catalog> {
    let with_triggers = tables_with_triggers(connection)?;
    let headers = headers(connection)?;
    let foreign_keys = foreign_keys(connection, &headers)?;
    let places = places(headers.len(), &foreign_keys);
    let mut tables = Vec::with_capacity(headers.len());
    for (header, place) in headers.into_iter().zip(places) {
        let has_triggers = with_triggers.contains(&header.name.to_ascii_lowercase());
        let (columns, primary_key) = columns(connection, &header)?;
        tables.push(Table {
            schema: SCHEMA.to_owned(),
            name: header.name,
            columns,
            primary_key,
            rank: place.rank,
            is_ordered: place.is_ordered || has_triggers,
            // A trigger of SQLite can't change the row that is about to be written.
            has_triggers: false,
        });
    }
    Ok(Catalog::new(SCHEMA, tables))
}

/// A table without its columns.
struct Header {
    name: String,
    is_without_rowid: bool,
    is_strict: bool,
}

fn headers(connection: &Connection) -> rusqlite::Result<Vec<Header>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, wr, strict FROM pragma_table_list
         WHERE schema = 'main' AND type = 'table'
           AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'tidegate\\_%' ESCAPE '\\'
         ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Header {
            name: row.get(0)?,
            is_without_rowid: row.get(1)?,
            is_strict: row.get(2)?,
        })
    })?;
    rows.collect()
}

fn tables_with_triggers(connection: &Connection) -> rusqlite::Result<HashSet<String>> {
    let mut statement = connection
        .prepare_cached("SELECT tbl_name FROM main.sqlite_schema WHERE type = 'trigger'")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    rows.map(|name| Ok(name?.to_ascii_lowercase())).collect()
}

fn foreign_keys(connection: &Connection, headers: &[Header]) -> rusqlite::Result<Vec<ForeignKey>> {
    let index_of: HashMap<_, _> = headers
        .iter()
        .enumerate()
        .map(|(i, h)| (h.name.to_ascii_lowercase(), i))
        .collect();
    let mut statement = connection.prepare_cached(
        "SELECT \"table\", on_update, on_delete FROM pragma_foreign_key_list(?1, 'main')
         WHERE seq = 0",
    )?;
    let mut keys = Vec::new();
    for (child, header) in headers.iter().enumerate() {
        let mut rows = statement.query([&header.name])?;
        while let Some(row) = rows.next()? {
            let is_passive = |action: String| matches!(action.as_str(), "NO ACTION" | "RESTRICT");
            let is_cascading = !is_passive(row.get(1)?) || !is_passive(row.get(2)?);
            let parent: String = row.get(0)?;
            // A parent that doesn't exist orders nothing.
            if let Some(parent) = index_of.get(&parent.to_ascii_lowercase()) {
                keys.push(ForeignKey {
                    child,
                    parent: *parent,
                    is_cascading,
                });
            }
        }
    }
    Ok(keys)
}

/// The columns of a table, and its primary key in the key's order.
fn columns(
    connection: &Connection,
    header: &Header,
) -> rusqlite::Result<(Vec<Column>, Vec<usize>)> {
    let key = KeyIndex::read(connection, &header.name)?;
    let mut statement = connection.prepare_cached(
        "SELECT name, type, \"notnull\", dflt_value, pk, hidden, cid
         FROM pragma_table_xinfo(?1, 'main') ORDER BY cid",
    )?;
    let mut columns = Vec::new();
    let mut key_places: Vec<(i64, usize)> = Vec::new();
    let mut rows = statement.query([&header.name])?;
    while let Some(row) = rows.next()? {
        let place: i64 = row.get(4)?;
        if place > 0 {
            key_places.push((place, columns.len()));
        }
        columns.push(column(row, header, &key)?);
    }
    key_places.sort_unstable();
    let primary_key: Vec<usize> = key_places.into_iter().map(|(_, index)| index).collect();
    if let ([only], true) = (
        primary_key.as_slice(),
        !key.exists && !header.is_without_rowid,
    ) && let Some(alias) = columns.get_mut(*only)
    {
        // An INTEGER PRIMARY KEY needs no index: it is the row's own number, and SQLite draws it.
        alias.absent = Absent::Default;
        alias.is_not_null = true;
    }
    Ok((columns, primary_key))
}

fn column(row: &Row<'_>, header: &Header, key: &KeyIndex) -> rusqlite::Result<Column> {
    let declared: String = row.get(1)?;
    let default: Option<String> = row.get(3)?;
    let has_default = default.is_some_and(|default| !default.eq_ignore_ascii_case("null"));
    let is_generated = matches!(row.get(5)?, 2_i64 | 3_i64);
    let is_key_part: bool = row.get::<_, i64>(4)? > 0;
    let collation = key
        .collations
        .get(&row.get(6)?)
        .copied()
        .unwrap_or(Collation::Binary);
    Ok(Column {
        name: row.get(0)?,
        is_not_null: row.get(2)? || (is_key_part && header.is_without_rowid),
        absent: match (is_generated, has_default) {
            (true, _) => Absent::Generated,
            (false, true) => Absent::Default,
            (false, false) => Absent::Null,
        },
        codec: Arc::new(SqliteCodec {
            kind: kind_of(&declared, header.is_strict),
            collation,
        }),
        // Statements are cheap in the same process; every change is written.
        replaced: Replaced::Seen,
        cell_type: declared.clone(),
        sql_type: declared,
    })
}

/// The index behind a primary key.
struct KeyIndex {
    exists: bool,
    /// By the column's number in the table.
    collations: HashMap<i64, Collation>,
}

impl KeyIndex {
    fn read(connection: &Connection, table: &str) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare_cached(
            "SELECT part.cid, part.coll
             FROM pragma_index_list(?1, 'main') AS list, pragma_index_xinfo(list.name, 'main') AS part
             WHERE list.origin = 'pk' AND part.key = 1",
        )?;
        let rows = statement.query_map([table], |row| {
            Ok((row.get(0)?, Collation::from_name(&row.get::<_, String>(1)?)))
        })?;
        let collations: HashMap<_, _> = rows.collect::<rusqlite::Result<_>>()?;
        Ok(Self {
            exists: !collations.is_empty(),
            collations,
        })
    }
}
