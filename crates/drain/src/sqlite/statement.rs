//! The SQL text of a change. Pure.
//!
//! Only names out of the catalog become text, in quotes; values are parameters in the order of
//! the change's cells.
//!
//! SQLite takes a name in quotes that it doesn't know for a string, so that a `DELETE` by a column
//! that was dropped would quietly delete nothing. A name behind its table's is never taken so.

use crate::catalog::Table;
use crate::change::Change;
use crate::operation::Verb;

/// The statement for a change and how many parameters it has.
pub(super) fn text(change: &Change) -> (String, usize) {
    let keys = change.table.primary_key.len();
    let values = change.columns.len();
    match change.verb {
        Verb::Insert => (insert(change), values),
        Verb::Upsert => (insert(change) + &on_conflict(change), values),
        Verb::Update => (update(change), keys + values),
        Verb::Delete => {
            let table = &change.table;
            let sql = format!(
                "DELETE FROM {} WHERE {}",
                target(table),
                key_condition(table)
            );
            (sql, keys)
        }
    }
}

/// Whether the row of a change with a key is there; its parameters are the key's.
pub(super) fn exists(table: &Table) -> String {
    let condition = key_condition(table);
    format!("SELECT 1 FROM {} WHERE {condition}", target(table))
}

/// What is in the place of a new row: whether it has the same values, and whether its version is
/// not older. The parameters are the change's; none where the key is not among them.
pub(super) fn compare(change: &Change) -> Option<String> {
    let table = &change.table;
    let number_of = |index: &usize| change.columns.iter().position(|it| it == index);
    let numbered = |index: &usize| {
        let name = quoted(&table.columns.get(*index)?.name);
        Some((name, number_of(index)? + 1))
    };
    let keys: Option<Vec<_>> = table.primary_key.iter().map(numbered).collect();
    let by_key: Vec<_> = keys?
        .iter()
        .map(|(name, number)| format!("o.{name} = ?{number}"))
        .collect();
    let same: Vec<_> = change
        .columns
        .iter()
        .filter_map(numbered)
        .map(|(name, number)| format!("o.{name} IS ?{number}"))
        .collect();
    let newer = table.policy.version.as_ref().and_then(numbered);
    let newer = newer.map_or("0".to_owned(), |(name, number)| {
        format!("coalesce(o.{name} >= ?{number}, 0)")
    });
    Some(format!(
        "SELECT {}, {newer} FROM {} AS o WHERE {}",
        same.join(" AND "),
        target(table),
        by_key.join(" AND ")
    ))
}

/// A row as it is, and for each column that the change gives whether it has the same value. The
/// parameters are the change's; none where the key is not among them.
pub(super) fn peek(change: &Change) -> Option<String> {
    let table = &change.table;
    let name_of = |index: &usize| Some(quoted(&table.columns.get(*index)?.name));
    let key = |index: &usize| {
        let number = change.columns.iter().position(|it| it == index)? + 1;
        Some(format!("o.{} = ?{number}", name_of(index)?))
    };
    let keys: Option<Vec<_>> = table.primary_key.iter().map(key).collect();
    let own = (0..table.columns.len()).filter_map(|index| Some(format!("o.{}", name_of(&index)?)));
    let same = change.columns.iter().enumerate();
    let same = same.filter_map(|(at, index)| Some(format!("o.{} IS ?{}", name_of(index)?, at + 1)));
    Some(format!(
        "SELECT {} FROM {} AS o WHERE {}",
        own.chain(same).collect::<Vec<_>>().join(", "),
        target(table),
        keys?.join(" AND ")
    ))
}

/// The version column of a guarded table, and its place among the change's columns.
fn guard(change: &Change) -> Option<(usize, String)> {
    let version = change.table.policy.version?;
    let at = change.columns.iter().position(|index| *index == version)?;
    Some((at, quoted(&change.table.columns.get(version)?.name)))
}

/// A name in quotes.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn target(table: &Table) -> String {
    format!("{}.{}", quoted(&table.schema), quoted(&table.name))
}

fn names(table: &Table, columns: &[usize]) -> Vec<String> {
    let columns = columns.iter().filter_map(|index| table.columns.get(*index));
    columns.map(|column| quoted(&column.name)).collect()
}

/// A conflict is a refusal, whatever the table's constraints say (`ON CONFLICT IGNORE` would lose
/// the row). But where triggers are, the same words would override theirs.
fn or_abort(table: &Table) -> &'static str {
    if table.is_ordered { "" } else { " OR ABORT" }
}

fn insert(change: &Change) -> String {
    let table = &change.table;
    let head = format!("INSERT{} INTO {}", or_abort(table), target(table));
    if change.columns.is_empty() {
        return head + " DEFAULT VALUES";
    }
    let names = names(table, &change.columns).join(", ");
    let values: Vec<_> = (1..=change.columns.len())
        .map(|number| format!("?{number}"))
        .collect();
    format!("{head} ({names}) VALUES ({})", values.join(", "))
}

fn on_conflict(change: &Change) -> String {
    let table = &change.table;
    if change.columns.is_empty() {
        // No column, no key, no conflict.
        return String::new();
    }
    let key = names(table, &table.primary_key).join(", ");
    let others: Vec<usize> = change
        .columns
        .iter()
        .copied()
        .filter(|i| !table.primary_key.contains(i))
        .collect();
    if others.is_empty() {
        return format!(" ON CONFLICT ({key}) DO NOTHING");
    }
    let set: Vec<_> = names(table, &others)
        .iter()
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let own = quoted(&table.name);
    let is_newer = guard(change).map(|(_, version)| {
        format!(" WHERE {own}.{version} IS NULL OR {own}.{version} < excluded.{version}")
    });
    format!(
        " ON CONFLICT ({key}) DO UPDATE SET {}{}",
        set.join(", "),
        is_newer.unwrap_or_default()
    )
}

fn update(change: &Change) -> String {
    let table = &change.table;
    let first = table.primary_key.len() + 1;
    let names = names(table, &change.columns);
    let set: Vec<_> = names
        .iter()
        .zip(first..)
        .map(|(name, number)| format!("{name} = ?{number}"))
        .collect();
    let own = quoted(&table.name);
    let is_newer = guard(change).map(|(at, version)| {
        let given = first + at;
        format!(" AND ({own}.{version} IS NULL OR {own}.{version} < ?{given})")
    });
    format!(
        "UPDATE{} {} SET {} WHERE {}{}",
        or_abort(table),
        target(table),
        set.join(", "),
        key_condition(table),
        is_newer.unwrap_or_default()
    )
}

fn key_condition(table: &Table) -> String {
    let names = names(table, &table.primary_key);
    let table = quoted(&table.name);
    let parts: Vec<_> = names
        .iter()
        .zip(1..)
        .map(|(name, number)| format!("{table}.{name} = ?{number}"))
        .collect();
    parts.join(" AND ")
}
