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
mod rank;

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use tokio_postgres::Row;

pub(super) use self::queries::{FOREIGN_KEY, UNIQUE_KEY};
use self::rank::{ForeignKey, Ranks};
use super::codec::{Kind, TypeRow, Types, choose};
use super::failure::own;
use super::session::Session;
use crate::catalog::{Absent, Catalog, Column, Table};
use crate::error::Result;

/// What the writer has to know of the tables, beyond what the [`Catalog`] says.
#[derive(Debug, Default)]
pub(super) struct Quirks {
    /// Tables that COPY must not write, by schema and name: it is blind to rules, and refused
    /// where there is row-level security. Others are added when the server refuses.
    not_copied: RwLock<HashSet<(String, String)>>,
}

impl Quirks {
    /// Whether COPY does the same to the table as INSERT.
    pub(super) fn may_copy(&self, table: &Table) -> bool {
        let not_copied = self
            .not_copied
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        not_copied.is_empty() || !not_copied.contains(&(table.schema.clone(), table.name.clone()))
    }

    /// Remembers, until the catalog is read anew, that the table can't be copied.
    pub(super) fn forbid_copy(&self, table: &Table) {
        let mut not_copied = self
            .not_copied
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        not_copied.insert((table.schema.clone(), table.name.clone()));
    }
}

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
}

/// Reads everything anew.
pub(super) async fn read(
    mut session: Session,
    default_schema: Option<&str>,
) -> Result<(Catalog, Quirks)> {
    session.unsettle();
    let client = session.client()?;
    client
        .batch_execute(queries::ONE_SNAPSHOT)
        .await
        .map_err(own)?;
    let schema: Option<String> = client
        .query_one(queries::CURRENT_SCHEMA, &[])
        .await
        .map_err(own)?
        .get(0);
    let types = read_types(&client.query(queries::TYPES, &[]).await.map_err(own)?);
    let columns = client.query(queries::COLUMNS, &[]).await.map_err(own)?;
    let tables = client.query(queries::TABLES, &[]).await.map_err(own)?;
    let keys = client
        .query(queries::PRIMARY_KEYS, &[])
        .await
        .map_err(own)?;
    let foreign_keys = client
        .query(queries::FOREIGN_KEYS, &[])
        .await
        .map_err(own)?;
    session.settle();
    session.commit().await?;

    let mut drafts: HashMap<u32, Draft> = tables
        .iter()
        .map(|row| (row.get(0), read_table(row)))
        .collect();
    for row in &columns {
        if let Some(draft) = drafts.get_mut(&row.get(0)) {
            draft
                .positions
                .insert(row.get("attnum"), draft.columns.len());
            draft.columns.push(read_column(row, &types));
        }
    }
    for row in &keys {
        if let Some(draft) = drafts.get_mut(&row.get(0)) {
            let numbers: Vec<i16> = row.get(1);
            let positions = numbers
                .iter()
                .filter_map(|number| draft.positions.get(number));
            draft.primary_key = positions.copied().collect();
        }
    }
    let foreign_keys: Vec<_> = foreign_keys.iter().map(read_foreign_key).collect();
    let ranks = Ranks::of(drafts.keys().copied(), &foreign_keys);
    let schema = default_schema.map(str::to_owned).or(schema);
    Ok(finish(
        schema.unwrap_or_else(|| "public".to_owned()),
        drafts,
        &ranks,
    ))
}

fn finish(schema: String, drafts: HashMap<u32, Draft>, ranks: &Ranks) -> (Catalog, Quirks) {
    let mut not_copied = HashSet::new();
    let tables = drafts.into_iter().map(|(oid, draft)| {
        if !draft.is_copied {
            not_copied.insert((draft.schema.clone(), draft.name.clone()));
        }
        Table {
            schema: draft.schema,
            name: draft.name,
            columns: draft.columns,
            primary_key: draft.primary_key,
            rank: ranks.rank(oid),
            is_ordered: draft.is_ordered || ranks.is_entangled(oid),
            has_triggers: draft.has_triggers,
        }
    });
    let catalog = Catalog::new(schema, tables);
    (
        catalog,
        Quirks {
            not_copied: RwLock::new(not_copied),
        },
    )
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
        codec: travel.codec,
    }
}

fn read_foreign_key(row: &Row) -> ForeignKey {
    ForeignKey {
        child: row.get(0),
        parent: row.get(1),
        cascades: row.get(2),
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
