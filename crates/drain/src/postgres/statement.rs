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
    let alias = match guard(shape) {
        Some(_) if shape.verb == Verb::Upsert => " AS t",
        _ => "",
    };
    format!(
        "INSERT INTO {}{alias} ({columns}) OVERRIDING SYSTEM VALUE {rows}",
        name(&shape.table)
    )
}

/// The version column of a guarded table, and its place among the change's columns.
fn guard(shape: &Change) -> Option<(usize, &Column)> {
    let version = shape.table.policy.version?;
    let at = shape.columns.iter().position(|index| *index == version)?;
    Some((at, shape.table.columns.get(version)?))
}

fn on_conflict(shape: &Change) -> String {
    let key = list(keys(&shape.table), |_, column| quoted(&column.name));
    let is_key = |column: &Column| keys(&shape.table).any(|key| key.name == column.name);
    let changed: Vec<_> = values(shape)
        .filter(|column| !is_key(column))
        .map(|column| format!("{0} = EXCLUDED.{0}", quoted(&column.name)))
        .collect();
    if changed.is_empty() {
        return format!(" ON CONFLICT ({key}) DO NOTHING");
    }
    let is_newer = guard(shape).map(|(_, column)| {
        let version = quoted(&column.name);
        format!(" WHERE t.{version} IS NULL OR t.{version} < EXCLUDED.{version}")
    });
    format!(
        " ON CONFLICT ({key}) DO UPDATE SET {}{}",
        changed.join(", "),
        is_newer.unwrap_or_default()
    )
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
    let is_newer = guard(shape).map(|(at, column)| {
        let version = quoted(&column.name);
        let given = value(first + at, column, method);
        format!(" AND (t.{version} IS NULL OR t.{version} < {given})")
    });
    let by_key = by_key(&shape.table, method);
    format!("{sql} WHERE {by_key}{}", is_newer.unwrap_or_default())
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
    let each = |show: &dyn Fn(usize, &Column, &str) -> String| -> Vec<String> {
        pairs
            .iter()
            .enumerate()
            .map(|(at, (column, name))| show(at, column, name))
            .collect()
    };
    let given = each(&|at, column, _| format!("${}::{}[]", at + 1, column.cell_type));
    let names = each(&|at, _, _| format!("c{}", at + 1));
    let not_null = each(&|at, _, _| format!("u.c{} IS NOT NULL", at + 1));
    let equal = each(&|at, column, name| {
        format!("o.{} = {}", quoted(name), value(at, column, Method::Bulk))
    });
    format!(
        "SELECT u.place FROM unnest({}) WITH ORDINALITY AS u({}, place) \
         WHERE {} AND {}EXISTS (SELECT FROM {other} AS o WHERE {})",
        given.join(", "),
        names.join(", "),
        not_null.join(" AND "),
        if is_found { "" } else { "NOT " },
        equal.join(" AND ")
    )
}

/// The places, from 1, of the given keys whose row is there and locked by somebody else. It locks
/// the others.
pub(super) fn locked(table: &Table, keys: &[&Column]) -> String {
    let each = |show: &dyn Fn(usize, &Column) -> String| -> Vec<String> {
        let keys = keys.iter().enumerate();
        keys.map(|(at, column)| show(at, column)).collect()
    };
    let given = each(&|at, column| format!("${}::{}[]", at + 1, column.cell_type));
    let names = each(&|at, _| format!("c{}", at + 1));
    let equal = each(&|at, column| {
        let value = value(at, column, Method::Bulk);
        format!("o.{} = {value}", quoted(&column.name))
    });
    let (name, equal) = (name(table), equal.join(" AND "));
    format!(
        "SELECT u.place FROM unnest({}) WITH ORDINALITY AS u({}, place) LEFT JOIN LATERAL \
         (SELECT true AS is_free FROM {name} AS o WHERE {equal} FOR UPDATE SKIP LOCKED) AS f ON true \
         WHERE f.is_free IS NULL AND EXISTS (SELECT FROM {name} AS o WHERE {equal})",
        given.join(", "),
        names.join(", "),
    )
}

/// What is in the place of new rows of this shape: for each row that is found the place, from 1,
/// whether it has the same values, and whether its version is not older. With `as_text` values are
/// compared by their texts, for types that know no equality.
pub(super) fn compare(shape: &Change, as_text: bool) -> String {
    let given = list(values(shape), |at, column| {
        format!("${}::{}[]", at + 1, column.cell_type)
    });
    let names = list(values(shape), |at, _| format!("c{}", at + 1));
    let same = |(at, column)| is_same(at, column, as_text);
    let same: Vec<_> = values(shape).enumerate().map(same).collect();
    let newer = guard(shape).map_or("false".to_owned(), |(at, column)| {
        let value = value(at, column, Method::Bulk);
        format!("coalesce(o.{} >= {value}, false)", quoted(&column.name))
    });
    format!(
        "SELECT u.place, {}, {newer} FROM unnest({given}) WITH ORDINALITY AS u({names}, place) \
         JOIN {} AS o ON {}",
        same.join(" AND "),
        name(&shape.table),
        by_given_key(shape)
    )
}

/// Rows as they are beside what changes of this shape give: the place, from 1; whether the row is
/// there; its columns as texts; the given values as texts; and whether each of these is the same.
pub(super) fn peek(shape: &Change, as_text: bool) -> String {
    let given = list(values(shape), |at, column| {
        format!("${}::{}[]", at + 1, column.cell_type)
    });
    let names = list(values(shape), |at, _| format!("c{}", at + 1));
    let old = list(shape.table.columns.iter(), |_, column| {
        format!("o.{}::text", quoted(&column.name))
    });
    let new = list(values(shape), |at, column| {
        format!("({})::text", value(at, column, Method::Bulk))
    });
    let same = list(values(shape), |at, column| is_same(at, column, as_text));
    let by_key = match by_given_key(shape) {
        // Without its key a row has no place.
        none if none.is_empty() => "false".to_owned(),
        by_key => by_key,
    };
    format!(
        "SELECT u.place, o.\"tidegate is there\" IS NOT NULL, ARRAY[{old}]::text[], ARRAY[{new}]::text[], \
         ARRAY[{same}]::boolean[] \
         FROM unnest({given}) WITH ORDINALITY AS u({names}, place) \
         LEFT JOIN (SELECT true AS \"tidegate is there\", t.* FROM {} AS t) AS o ON {by_key}",
        name(&shape.table),
    )
}

/// Whether a row has the given value.
fn is_same(at: usize, column: &Column, as_text: bool) -> String {
    let (name, value) = (quoted(&column.name), value(at, column, Method::Bulk));
    match column.sql_type.as_str() {
        _ if as_text => format!("o.{name}::text IS NOT DISTINCT FROM ({value})::text"),
        "json" => format!("o.{name}::jsonb IS NOT DISTINCT FROM ({value})::jsonb"),
        _ => format!("o.{name} IS NOT DISTINCT FROM {value}"),
    }
}

/// The row whose key is among the given values.
fn by_given_key(shape: &Change) -> String {
    let by_key = keys(&shape.table).filter_map(|key| {
        let at = values(shape).position(|column| column.name == key.name)?;
        let value = value(at, key, Method::Bulk);
        Some(format!("o.{} = {value}", quoted(&key.name)))
    });
    by_key.collect::<Vec<_>>().join(" AND ")
}

/// Asks for the types of a change's columns, and for no row.
pub(super) fn look(shape: &Change) -> String {
    let columns = list(values(shape), |_, column| quoted(&column.name));
    format!("SELECT {columns} FROM {} LIMIT 0", name(&shape.table))
}

/// The columns that a change gives, in the order of its cells.
pub(super) fn given(shape: &Change) -> impl Iterator<Item = &Column> {
    values(shape)
}

/// Whether a type as it stands in a cast is the one of this name. In doubt it is not.
pub(super) fn is_type(cast: &str, name: &str) -> bool {
    let (element, name) = match (cast.strip_suffix("[]"), name.strip_prefix('_')) {
        (Some(element), Some(name)) => (element, name),
        (None, _) => (cast, name),
        (Some(_), None) => return false,
    };
    element == name || element.ends_with(&format!(".{}", quoted(name)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::change::resolve;
    use crate::operation::Operation;
    use crate::postgres::codec::{Kind, TypeRow, choose};

    fn column(name: &str, type_name: &str) -> Column {
        let row = TypeRow {
            schema: "pg_catalog".to_owned(),
            name: type_name.to_owned(),
            kind: Kind::Plain,
        };
        let travel = choose(&[(1, row)].into(), 1, -1, true);
        Column {
            name: name.to_owned(),
            sql_type: travel.sql_type,
            cell_type: travel.cell_type,
            is_not_null: false,
            absent: crate::catalog::Absent::Default,
            replaced: crate::catalog::Replaced::Seen,
            codec: travel.codec,
        }
    }

    fn shape(json: &str) -> Change {
        let table = Table {
            schema: "s".to_owned(),
            name: "t".to_owned(),
            columns: vec![
                column("a", "text"),
                column("k", "int8"),
                column("i", "inet"),
            ],
            primary_key: vec![1],
            rank: 0,
            is_ordered: false,
            has_triggers: false,
            policy: crate::policy::Policy::default(),
        };
        let catalog = Catalog::new("s", [table]);
        let operation = Operation::parse(json.as_bytes()).expect("an operation");
        resolve(&catalog, &operation).expect("a change").remove(0)
    }

    #[test]
    fn each_verb_has_its_text_for_one_row_and_for_many() {
        let insert = shape(r#"{"op":"insert","table":"t","row":{"a":"x","i":"::1"}}"#);
        let upsert = shape(r#"{"op":"upsert","table":"t","row":{"k":1,"a":"x"}}"#);
        let key_only = shape(r#"{"op":"upsert","table":"t","row":{"k":1}}"#);
        let update = shape(r#"{"op":"update","table":"t","key":{"k":1},"set":{"i":"::1"}}"#);
        let delete = shape(r#"{"op":"delete","table":"t","key":{"k":1}}"#);
        for (shape, method, expected) in [
            (
                &insert,
                Method::Single,
                r#"INSERT INTO "s"."t" ("a", "i") OVERRIDING SYSTEM VALUE VALUES ($1::text, $2::text::inet)"#,
            ),
            (
                &insert,
                Method::Bulk,
                r#"INSERT INTO "s"."t" ("a", "i") OVERRIDING SYSTEM VALUE SELECT u.c1, u.c2::inet FROM unnest($1::text[], $2::text[]) AS u(c1, c2)"#,
            ),
            (
                &insert,
                Method::Copy,
                r#"COPY "s"."t" ("a", "i") FROM STDIN (FORMAT binary)"#,
            ),
            (
                &upsert,
                Method::Single,
                r#"INSERT INTO "s"."t" ("a", "k") OVERRIDING SYSTEM VALUE VALUES ($1::text, $2::int8) ON CONFLICT ("k") DO UPDATE SET "a" = EXCLUDED."a""#,
            ),
            (
                &key_only,
                Method::Single,
                r#"INSERT INTO "s"."t" ("k") OVERRIDING SYSTEM VALUE VALUES ($1::int8) ON CONFLICT ("k") DO NOTHING"#,
            ),
            (
                &update,
                Method::Single,
                r#"UPDATE "s"."t" AS t SET "i" = $2::text::inet WHERE t."k" = $1::int8"#,
            ),
            (
                &update,
                Method::Bulk,
                r#"UPDATE "s"."t" AS t SET "i" = u.c2::inet FROM unnest($1::int8[], $2::text[]) AS u(c1, c2) WHERE t."k" = u.c1"#,
            ),
            (
                &delete,
                Method::Single,
                r#"DELETE FROM "s"."t" AS t WHERE t."k" = $1::int8"#,
            ),
            (
                &delete,
                Method::Bulk,
                r#"DELETE FROM "s"."t" AS t USING unnest($1::int8[]) AS u(c1) WHERE t."k" = u.c1"#,
            ),
        ] {
            assert_eq!(text(shape, method), expected);
        }
        let empty = shape(r#"{"op":"insert","table":"t","row":{}}"#);
        assert_eq!(
            text(&empty, Method::Single),
            r#"INSERT INTO "s"."t" DEFAULT VALUES"#
        );
    }
}
