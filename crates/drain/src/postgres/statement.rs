//! SQL texts: what a step of the plan becomes.
//!
//! A text is made of the catalog's names, quoted, and of parameters; no value of an entry is ever
//! part of it. The same shape of change always gives the same text, so that it is prepared once.
//!
//! Parameters stand in the order of a change's cells. They are cast to the column's base type
//! without its modifier: then the assignment checks the length, where a cast would cut. Pure.

use super::identifier::{qualified, quoted};
use super::method::Method;
use crate::catalog::{Column, Table};
use crate::change::Change;
use crate::operation::Verb;

/// The statement that writes changes of this shape.
pub(super) fn text(shape: &Change, method: Method) -> String {
    match (shape.verb, method) {
        (Verb::Insert | Verb::Upsert, _) if shape.columns.is_empty() => {
            format!("INSERT INTO {} DEFAULT VALUES", name(&shape.table))
        }
        (_, Method::Copy) => {
            let columns = list(values(shape), |_, column| quoted(&column.name));
            format!(
                "COPY {} ({columns}) FROM STDIN (FORMAT binary)",
                name(&shape.table)
            )
        }
        (Verb::Insert, _) => insert(shape, method),
        (Verb::Upsert, _) => insert(shape, method) + &on_conflict(shape),
        (Verb::Update, _) => update(shape, method),
        (Verb::Delete, _) => delete(shape, method),
    }
}

fn insert(shape: &Change, method: Method) -> String {
    let columns = list(values(shape), |_, column| quoted(&column.name));
    let values_at = |at, column: &Column| value(at, column, method);
    let given = list(values(shape), values_at);
    let rows = match method {
        Method::Single => format!("VALUES ({given})"),
        _ => format!("SELECT {given} FROM {}", arrays(values(shape))),
    };
    format!(
        "INSERT INTO {} ({columns}) OVERRIDING SYSTEM VALUE {rows}",
        name(&shape.table)
    )
}

fn on_conflict(shape: &Change) -> String {
    let key = list(keys(&shape.table), |_, column| quoted(&column.name));
    let is_key = |column: &Column| keys(&shape.table).any(|key| key.name == column.name);
    let changed: Vec<_> = values(shape)
        .filter(|column| !is_key(column))
        .map(|column| format!("{0} = EXCLUDED.{0}", quoted(&column.name)))
        .collect();
    if changed.is_empty() {
        format!(" ON CONFLICT ({key}) DO NOTHING")
    } else {
        format!(" ON CONFLICT ({key}) DO UPDATE SET {}", changed.join(", "))
    }
}

fn update(shape: &Change, method: Method) -> String {
    let first = shape.table.primary_key.len();
    let set = list(values(shape), |at, column| {
        format!(
            "{} = {}",
            quoted(&column.name),
            value(first + at, column, method)
        )
    });
    let mut sql = format!("UPDATE {} AS t SET {set}", name(&shape.table));
    if method != Method::Single {
        let given = keys(&shape.table).chain(values(shape));
        sql = format!("{sql} FROM {}", arrays(given));
    }
    format!("{sql} WHERE {}", by_key(&shape.table, method))
}

fn delete(shape: &Change, method: Method) -> String {
    let mut sql = format!("DELETE FROM {} AS t", name(&shape.table));
    if method != Method::Single {
        sql = format!("{sql} USING {}", arrays(keys(&shape.table)));
    }
    format!("{sql} WHERE {}", by_key(&shape.table, method))
}

fn by_key(table: &Table, method: Method) -> String {
    let equal = |(at, column): (usize, &Column)| {
        format!("t.{} = {}", quoted(&column.name), value(at, column, method))
    };
    keys(table)
        .enumerate()
        .map(equal)
        .collect::<Vec<_>>()
        .join(" AND ")
}

/// The places, from 1, of the given columns' values that `is_found` in (or not in) another table:
/// `pairs` are columns of the change and what the other table calls them.
pub(super) fn search(pairs: &[(&Column, &str)], other: &str, is_found: bool) -> String {
    let equal = list(pairs.iter(), |at, (column, name)| {
        format!("o.{} = {}", quoted(name), value(at, column, Method::Bulk))
    });
    let names = list(pairs.iter(), |at, _| format!("c{}", at + 1));
    let given = list(pairs.iter(), |at, (column, _)| {
        format!("${}::{}[]", at + 1, column.cell_type)
    });
    let not_null = list(pairs.iter(), |at, _| format!("u.c{} IS NOT NULL", at + 1));
    let (equal, not_null) = (
        equal.replace(", ", " AND "),
        not_null.replace(", ", " AND "),
    );
    let not = if is_found { "" } else { "NOT " };
    format!(
        "SELECT u.place FROM unnest({given}) WITH ORDINALITY AS u({names}, place) \
         WHERE {not_null} AND {not}EXISTS (SELECT FROM {other} AS o WHERE {equal})"
    )
}

/// A table's name in its schema.
pub(super) fn name(table: &Table) -> String {
    qualified(&table.schema, &table.name)
}

/// The value at a place, counted from 0, as the column's base type.
fn value(at: usize, column: &Column, method: Method) -> String {
    let place = at + 1;
    let cell = match method {
        Method::Single => format!("${place}::{}", column.cell_type),
        _ => format!("u.c{place}"),
    };
    if column.cell_type == column.sql_type {
        cell
    } else {
        format!("{cell}::{}", column.sql_type)
    }
}

/// Arrays of cells as rows of a table.
fn arrays<'a>(columns: impl Iterator<Item = &'a Column> + Clone) -> String {
    let given = list(columns.clone(), |at, column| {
        format!("${}::{}[]", at + 1, column.cell_type)
    });
    let names = list(columns, |at, _| format!("c{}", at + 1));
    format!("unnest({given}) AS u({names})")
}

fn values(shape: &Change) -> impl Iterator<Item = &Column> + Clone {
    shape
        .columns
        .iter()
        .filter_map(|index| shape.table.columns.get(*index))
}

fn keys(table: &Table) -> impl Iterator<Item = &Column> + Clone {
    table
        .primary_key
        .iter()
        .filter_map(|index| table.columns.get(*index))
}

fn list<T>(items: impl Iterator<Item = T>, show: impl Fn(usize, T) -> String) -> String {
    items
        .enumerate()
        .map(|(at, item)| show(at, item))
        .collect::<Vec<_>>()
        .join(", ")
}
