//! Reads the database's catalog: tables, columns, types, keys, and what makes a table special.
//!
//! ```text
//! pg_class, pg_attribute ─┐
//! pg_type, pg_enum ───────┼─► rows ─► tables, codecs, ranks ─► Catalog + Quirks
//! pg_constraint, … ───────┘
//! ```
//!
//! All queries see the same snapshot. Nothing is written. Ordinary and partitioned tables are read,
//! of all schemas but the database's own and ours.

mod queries;
mod quirks;
mod rank;

use std::collections::HashMap;

use deadpool_postgres::Client;
use tokio_postgres::Row;

pub(super) use self::queries::{FOREIGN_KEY, UNIQUE_KEY};
pub(super) use self::quirks::Quirks;
use self::rank::{ForeignKey, Ranks};
use super::codec::{Kind, TypeRow, Types, choose};
use super::failure::own;
use super::session::Session;
use crate::catalog::{Absent, Catalog, Column, Replaced, Table};
use crate::error::Result;

/// A table on its way into the catalog.
#[derive(Debug, Default)]
struct Draft {
    schema: String,
    name: String,
    columns: Vec<Column>,
    /// Where each column number of PostgreSQL's lies in `columns`; dropped columns leave gaps.
    positions: HashMap<i16, usize>,
    primary_key: Vec<usize>,
    is_ordered: bool,
    has_triggers: bool,
    is_copied: bool,
    is_watched: bool,
}

/// What the queries answer.
struct Answers {
    database: Row,
    tables: Vec<Row>,
    columns: Vec<Row>,
    types: Vec<Row>,
    primary_keys: Vec<Row>,
    foreign_keys: Vec<Row>,
}

/// Reads everything anew.
pub(super) async fn read(
    mut session: Session,
    default_schema: Option<&str>,
) -> Result<(Catalog, Quirks)> {
    session.unsettle();
    let answers = query(session.client()?).await.map_err(own)?;
    session.settle();
    session.commit().await?;

    let schema: Option<String> = answers.database.get("schema");
    let schema = default_schema.map(str::to_owned).or(schema);
    let drafts = draft(&answers);
    let foreign_keys: Vec<_> = answers.foreign_keys.iter().map(read_foreign_key).collect();
    let ranks = Ranks::of(drafts.keys().copied(), &foreign_keys);
    let copied = drafts.values().filter(|draft| !draft.is_copied);
    let not_copied = copied
        .map(|draft| (draft.schema.clone(), draft.name.clone()))
        .collect();
    let quirks = Quirks::new(not_copied, answers.database.get("has_deferrable"));
    let tables = drafts.into_iter().map(|(oid, draft)| Table {
        schema: draft.schema,
        name: draft.name,
        columns: draft.columns,
        primary_key: draft.primary_key,
        rank: ranks.rank(oid),
        is_ordered: draft.is_ordered || ranks.is_entangled(oid),
        has_triggers: draft.has_triggers,
    });
    let schema = schema.unwrap_or_else(|| "public".to_owned());
    Ok((Catalog::new(schema, tables), quirks))
}

async fn query(client: &Client) -> std::result::Result<Answers, tokio_postgres::Error> {
    client.batch_execute(queries::ONE_SNAPSHOT).await?;
    Ok(Answers {
        database: client.query_one(queries::DATABASE, &[]).await?,
        tables: client.query(queries::TABLES, &[]).await?,
        columns: client.query(queries::COLUMNS, &[]).await?,
        types: client.query(queries::TYPES, &[]).await?,
        primary_keys: client.query(queries::PRIMARY_KEYS, &[]).await?,
        foreign_keys: client.query(queries::FOREIGN_KEYS, &[]).await?,
    })
}

/// Puts columns and keys to their tables, which are known by their OIDs.
fn draft(answers: &Answers) -> HashMap<u32, Draft> {
    let types = read_types(&answers.types);
    let takes_any_text = answers.database.get("takes_any_text");
    let tables = answers
        .tables
        .iter()
        .map(|row| (row.get("oid"), read_table(row)));
    let mut drafts: HashMap<u32, Draft> = tables.collect();
    for row in &answers.columns {
        if let Some(draft) = drafts.get_mut(&row.get("attrelid")) {
            draft
                .positions
                .insert(row.get("attnum"), draft.columns.len());
            let mut column = read_column(row, &types);
            if !draft.is_watched && !row.get::<_, bool>("is_watched") {
                column.replaced = replaced(&column, &types, row.get("atttypid"), takes_any_text);
            }
            draft.columns.push(column);
        }
    }
    for row in &answers.primary_keys {
        if let Some(draft) = drafts.get_mut(&row.get("indrelid")) {
            let numbers: Vec<i16> = row.get("columns");
            let positions = numbers
                .iter()
                .filter_map(|number| draft.positions.get(number));
            draft.primary_key = positions.copied().collect();
        }
    }
    drafts
}

fn read_table(row: &Row) -> Draft {
    let (has_triggers, has_rules): (bool, bool) = (row.get("has_triggers"), row.get("has_rules"));
    let has_children: bool = row.get("has_children");
    Draft {
        schema: row.get("schema"),
        name: row.get("name"),
        is_ordered: has_triggers || has_rules || has_children,
        // A rule may turn a statement into another one, as a trigger may.
        has_triggers: has_triggers || has_rules,
        is_copied: !has_rules && !row.get::<_, bool>("has_row_security"),
        is_watched: row.get("is_watched"),
        ..Draft::default()
    }
}

fn read_column(row: &Row, types: &Types) -> Column {
    let is_deterministic: bool = row.get("is_deterministic");
    let travel = choose(
        types,
        row.get("atttypid"),
        row.get("atttypmod"),
        is_deterministic,
    );
    let absent = if row.get("is_generated") {
        Absent::Generated
    } else if row.get("has_default") || travel.has_default {
        Absent::Default
    } else {
        Absent::Null
    };
    Column {
        name: row.get("attname"),
        sql_type: travel.sql_type,
        cell_type: travel.cell_type,
        is_not_null: row.get::<_, bool>("attnotnull") || travel.is_not_null,
        absent,
        replaced: Replaced::Seen,
        codec: travel.codec,
    }
}

/// What would become of a value of a column that nothing depends on. A domain may have constraints
/// of its own.
fn replaced(column: &Column, types: &Types, oid: u32, takes_any_text: bool) -> Replaced {
    let is_domain = types
        .get(&oid)
        .is_none_or(|row| matches!(row.kind, Kind::Domain { .. }));
    let is_read_again =
        column.cell_type != column.sql_type || matches!(column.sql_type.as_str(), "json" | "jsonb");
    match (is_domain, is_read_again || !takes_any_text) {
        (true, _) => Replaced::Seen,
        (false, true) => Replaced::UnseenIfNull,
        (false, false) => Replaced::Unseen,
    }
}

fn read_foreign_key(row: &Row) -> ForeignKey {
    ForeignKey {
        child: row.get("conrelid"),
        parent: row.get("confrelid"),
        cascades: row.get("cascades"),
    }
}

fn read_types(rows: &[Row]) -> Types {
    let read = |row: &Row| {
        let labels: Option<Vec<String>> = row.get("labels");
        let element: Option<u32> = row.get("element");
        let kind = match (row.get::<_, i8>("typtype").cast_unsigned(), element, labels) {
            (b'd', ..) => Kind::Domain {
                base: row.get("typbasetype"),
                typmod: row.get("typtypmod"),
                is_not_null: row.get("typnotnull"),
                has_default: row.get("has_default"),
            },
            (b'e', _, labels) => Kind::Enum(labels.unwrap_or_default()),
            (_, Some(element), _) => {
                let delimiter = char::from(row.get::<_, i8>("delimiter").cast_unsigned());
                Kind::Array { element, delimiter }
            }
            _ => Kind::Plain,
        };
        let oid = row.get("oid");
        (
            oid,
            TypeRow {
                schema: row.get("schema"),
                name: row.get("name"),
                kind,
            },
        )
    };
    rows.iter().map(read).collect()
}
