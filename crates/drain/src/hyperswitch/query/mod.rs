//! The ancestor's newer form: SQL with binary binds, in the field `query`.
//!
//! ```text
//! {"sql":"UPDATE \"refund\" SET \"refund_status\" = $1 WHERE …","binds":["c3VjY2Vzcw==",null],
//!  "metadata":[[25,1009],[0,0]], …}
//! ```
//!
//! * [`statement`] reads the SQL with a parser, [`screen`] keeps from it what would overflow it,
//! * [`format`](mod@format) says which binary form a bind has, [`bind`] reads it.
//!
//! The SQL comes from the log, so whoever can write to Redis could write anything into it. Hence
//! the form is off unless the operator turns it on, tables must be on a list, and the text is
//! never run: it becomes an operation on the catalog's tables and columns, as any other form. Pure.

mod bind;
pub(crate) mod format;
mod screen;
mod statement;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::value::RawValue;

use self::bind::to_json;
use self::format::{Format, Takes};
use self::statement::{Slot, Statement, refuse};
use super::draft::{Draft, DraftRow, Refused, Value, Values};
use crate::catalog::{Catalog, Table};
use crate::operation::Verb;
use crate::rejection::{Code, Rejection};

/// Base64, with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Which tables may be written by the form `query`: names, or `schema.name`.
pub(super) type AllowedTables = BTreeSet<String>;

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    sql: Cow<'a, str>,
    #[serde(borrow)]
    binds: Vec<Option<Cow<'a, str>>>,
    /// The OIDs of each bind's type and of the arrays of it.
    #[serde(default)]
    metadata: Vec<(u32, u32)>,
}

/// Reads an entry of the ancestor.
pub(super) fn read<'a>(
    payload: &'a [u8],
    catalog: &'a Catalog,
    allowed: &AllowedTables,
) -> Result<Draft<'a>, Refused<'a>> {
    let entry: Entry<'a> = serde_json::from_slice(payload).map_err(|error| {
        Rejection::new(
            Code::InvalidJson,
            format!("query is not a query of Hyperswitch: {error}"),
        )
    })?;
    let statement = statement::parse(&entry.sql)?;
    let reader = Reader::new(&entry, &statement, catalog)?;
    let key = reader.key()?;
    let not_allowed = (!reader.is_allowed(catalog, allowed)).then(|| {
        Rejection::new(
            Code::NotAllowed,
            format!(
                "table {:?} is not on the list of hyperswitch.query_tables; add it and retry, or \
                 discard this entry",
                reader.table.name
            ),
        )
    });
    match (reader.rows(), not_allowed) {
        (Ok(rows), None) => Ok(reader.draft(key, rows)),
        (Ok(rows), Some(rejection)) => Err(Refused {
            rejection,
            rows: Some(reader.draft(key, rows)),
        }),
        (Err(found), not_allowed) => Err(reader.refused(not_allowed.unwrap_or(found), key)),
    }
}

/// Reads what one statement says of its table.
struct Reader<'a, 'e> {
    table: &'a Arc<Table>,
    statement: &'e Statement,
    entry: &'e Entry<'a>,
}

impl<'a, 'e> Reader<'a, 'e> {
    fn new(
        entry: &'e Entry<'a>,
        statement: &'e Statement,
        catalog: &'a Catalog,
    ) -> Result<Self, Rejection> {
        let binds = entry.binds.len();
        if !entry.metadata.is_empty() && entry.metadata.len() != binds {
            return Err(refuse("it has not as many metadata as binds"));
        }
        let mut is_used = vec![false; binds];
        let slots = statement.rows.iter().flatten().chain(&statement.key);
        for (_, slot) in slots {
            let Slot::Bind(place) = slot else { continue };
            match is_used.get_mut(*place) {
                Some(is_used) => *is_used = true,
                None => return Err(refuse(&format!("bind ${} is missing", place + 1))),
            }
        }
        if is_used.contains(&false) {
            return Err(refuse("it has binds that it does not use"));
        }
        let name = &statement.table;
        let table = catalog.table(name.schema.as_deref(), &name.name)?;
        Ok(Self {
            table,
            statement,
            entry,
        })
    }

    fn is_allowed(&self, catalog: &Catalog, allowed: &AllowedTables) -> bool {
        allowed.iter().any(|entry| {
            let found = match entry.split_once('.') {
                Some((schema, name)) => catalog.table(Some(schema), name),
                None => catalog.table(None, entry),
            };
            found.is_ok_and(|found| Arc::ptr_eq(found, self.table))
        })
    }

    /// The primary key's values that the condition names. Any other condition could mean several
    /// rows, or none that could be told from a mistake.
    fn key(&self) -> Result<Values<'a>, Rejection> {
        let key = self.values(&self.statement.key)?;
        if self.statement.verb == Verb::Insert {
            return Ok(key);
        }
        let names: BTreeSet<&str> = key.iter().map(|(name, _)| &**name).collect();
        let columns = self.table.primary_key.iter();
        let own: BTreeSet<&str> = columns
            .filter_map(|index| self.table.columns.get(*index))
            .map(|column| column.name.as_str())
            .collect();
        if own.is_empty() || names != own || names.len() != key.len() {
            let table = &self.table.name;
            return Err(Rejection::new(
                Code::InvalidKey,
                format!(
                    "the statement's WHERE on table {table:?} must name exactly its primary key \
                     ({}), each column once; it names ({})",
                    self.table.key_names(),
                    self.statement
                        .key
                        .iter()
                        .map(|(name, _)| name.as_str())
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            ));
        }
        Ok(key)
    }

    fn rows(&self) -> Result<Vec<Values<'a>>, Rejection> {
        self.statement
            .rows
            .iter()
            .map(|row| self.values(row))
            .collect()
    }

    /// The columns by the catalog's spelling, with what is for them; without those that get their
    /// default.
    fn values(&self, slots: &[(String, Slot)]) -> Result<Values<'a>, Rejection> {
        let mut values = Vec::with_capacity(slots.len());
        for (name, slot) in slots {
            let index = self.table.writable_column(name)?;
            let Some(column) = self.table.columns.get(index) else {
                continue;
            };
            let json = match slot {
                Slot::Default => continue,
                Slot::Json(text) => literal(text)?,
                Slot::Bind(place) => self
                    .bind(*place, &column.codec.takes())
                    .map_err(|rejection| rejection.in_column(&self.table.name, name))?,
            };
            values.push((Cow::Borrowed(column.name.as_str()), Value::Made(json)));
        }
        Ok(values)
    }

    fn bind(&self, place: usize, takes: &Takes) -> Result<Box<RawValue>, Rejection> {
        let Some(Some(base64)) = self.entry.binds.get(place) else {
            return literal("null");
        };
        let (oid, _) = self.entry.metadata.get(place).copied().unwrap_or_default();
        let format = format_of(oid, takes)?;
        let bytes = BASE64.decode(&**base64).map_err(|_unread| {
            Rejection::new(Code::WrongType, format!("bind ${} is no base64", place + 1))
        })?;
        to_json(&format, &bytes)
    }

    fn draft(&self, key: Values<'a>, rows: Vec<Values<'a>>) -> Draft<'a> {
        if self.statement.verb == Verb::Insert {
            let rows = rows.into_iter().map(|values| self.row(Vec::new(), values));
            return Draft {
                rows: rows.collect(),
            };
        }
        let values = rows.into_iter().next().unwrap_or_default();
        Draft {
            rows: vec![self.row(key, values)],
        }
    }

    fn row(&self, key: Values<'a>, values: Values<'a>) -> DraftRow<'a> {
        DraftRow {
            verb: self.statement.verb,
            schema: Some(Cow::Borrowed(&self.table.schema)),
            table: Cow::Borrowed(&self.table.name),
            key,
            values,
        }
    }

    /// A refusal that still says which row was meant, where there is a key.
    fn refused(&self, rejection: Rejection, key: Values<'a>) -> Refused<'a> {
        let (schema, table) = (&self.table.schema, &self.table.name);
        let row = DraftRow::keyed(Cow::Borrowed(table), Some(Cow::Borrowed(schema)), key);
        Refused {
            rejection,
            rows: Some(Draft { rows: vec![row] }),
        }
    }
}

/// The form of a bind: a built-in type's OID says it, and otherwise the column.
fn format_of(oid: u32, takes: &Takes) -> Result<Format, Rejection> {
    let wrong = |reason: String| Err(Rejection::new(Code::WrongType, reason));
    match (Format::of_oid(oid), takes) {
        (Some(own), Takes::Any) => Ok(own),
        (Some(own), Takes::Only(column)) if own.fits(column) => Ok(own),
        (Some(own), Takes::Only(column)) => wrong(format!(
            "the bind is of type {}, and the column takes {}",
            own.name(),
            column.name()
        )),
        (None, Takes::Only(column)) if !Format::is_built_in(oid) => Ok(column.clone()),
        _ => wrong(format!(
            "the binary form of the bind's type (OID {oid}) is not known; send this column as typed_sql"
        )),
    }
}

fn literal(text: &str) -> Result<Box<RawValue>, Rejection> {
    RawValue::from_string(text.to_owned())
        .map_err(|error| Rejection::new(Code::InvalidJson, error.to_string()))
}
