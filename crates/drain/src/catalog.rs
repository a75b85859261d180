//! The catalog: what the target database says of its tables, read at run time.
//!
//! Nothing that comes out of an entry becomes SQL text. An operation names a table and columns;
//! they are looked up here, and only the catalog's own spelling reaches a statement.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde_json::value::RawValue;

use crate::hyperswitch::Takes;
use crate::operation::Verb;
use crate::policy::{Policies, Policy};
use crate::rejection::{Code, Rejection};

/// All tables that may be written.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    default_schema: String,
    tables: HashMap<String, HashMap<String, Arc<Table>, RandomState>, RandomState>,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its schema, as the catalog spells it; `main` in SQLite.
    pub schema: String,
    /// Its name, as the catalog spells it.
    pub name: String,
    /// Its columns in the table's order.
    pub columns: Vec<Column>,
    /// The primary key as indexes into `columns`; empty where there is none.
    pub primary_key: Vec<usize>,
    /// Parents have a lower rank than their children, so that in a batch of rows parents go first.
    pub rank: u32,
    /// Whether changes of different rows may not be reordered: the table has triggers, or a
    /// foreign key that cascades, or lies in a circle of foreign keys.
    pub is_ordered: bool,
    /// Whether triggers may fill columns before the database checks them.
    pub has_triggers: bool,
    /// What becomes of changes that meet another row than they expected.
    pub policy: Policy,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type with schema and quotes, ready for a cast; without modifiers, because a cast to
    /// `varchar(3)` would cut silently where an assignment refuses.
    pub sql_type: String,
    /// The type in which a cell travels as a parameter: the column's base type, or `text`.
    pub cell_type: String,
    /// Whether NULL is refused.
    pub is_not_null: bool,
    /// Who gives the value when an insert doesn't.
    pub absent: Absent,
    /// Whether a value may be left out when a later change of the same row replaces it.
    pub replaced: Replaced,
    /// From JSON to the cell's bytes.
    pub codec: Arc<dyn Codec>,
}

/// What the database would have made of a value that is replaced before anybody can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It would have looked at it: an index, a constraint or a generated column depends on the
    /// column, or the table is one where every change counts.
    Seen,
    /// It would have read it, and perhaps refused it, unless it is NULL.
    UnseenIfNull,
    /// It would have taken it, whatever it is.
    Unseen,
}

/// What a column gets when an insert leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// NULL.
    Null,
    /// Its default or identity; a given value is taken as it is.
    Default,
    /// It is generated, always: a given value is refused.
    Generated,
}

/// Turns the JSON text of a value into the bytes of a cell, for one column's type.
///
/// A codec is exact or it refuses: it never rounds, cuts or guesses.
pub trait Codec: fmt::Debug + Send + Sync {
    /// Writes the content of the cell for a value that is not `null`.
    ///
    /// # Errors
    /// A [`Rejection`] of code `WrongType` or `OutOfRange`, without the value in it.
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection>;

    /// Whether two values are equal to the database exactly when their cells are equal. Where it
    /// is not so (a case-insensitive text), rows can't be told apart by their keys' cells.
    fn is_exact(&self) -> bool {
        true
    }

    /// Which binds the column takes: values in PostgreSQL's binary form.
    fn takes(&self) -> Takes {
        Takes::Nothing
    }

    /// The value as it stands in a partition key: one text for all spellings of one value.
    fn key_text<'a>(&self, json: &'a RawValue) -> Cow<'a, str> {
        plain_text(json)
    }
}

/// A JSON string without quotes and escapes; any other JSON text as it is.
#[must_use]
pub fn plain_text(json: &RawValue) -> Cow<'_, str> {
    let text = json.get();
    if !text.starts_with('"') {
        return Cow::Borrowed(text);
    }
    match text.get(1..text.len().saturating_sub(1)) {
        Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
        _ => serde_json::from_str(text).map_or(Cow::Borrowed(text), Cow::Owned),
    }
}

impl Catalog {
    /// A catalog of these tables; `default_schema` is meant where an operation names none.
    #[must_use]
    pub fn new(default_schema: impl Into<String>, tables: impl IntoIterator<Item = Table>) -> Self {
        let mut catalog = Self {
            default_schema: default_schema.into(),
            tables: HashMap::default(),
        };
        for table in tables {
            let schema = catalog.tables.entry(table.schema.clone()).or_default();
            schema.insert(table.name.clone(), Arc::new(table));
        }
        catalog
    }

    /// Looks a table up by its exact name.
    ///
    /// # Errors
    /// A rejection of code `UnknownTable` that says where it was looked for.
    pub fn table(&self, schema: Option<&str>, name: &str) -> Result<&Arc<Table>, Rejection> {
        let schema = schema.unwrap_or(&self.default_schema);
        self.tables.get(schema).and_then(|tables| tables.get(name)).ok_or_else(|| {
            let hint = match name.split_once('.') {
                Some((schema, table)) => format!(
                    "; for table {table:?} in schema {schema:?}, give them as \"schema\" and \"table\""
                ),
                None => "; names are case-sensitive; create the table, then retry".to_owned(),
            };
            Rejection::new(
                Code::UnknownTable,
                format!("there is no table {name:?} in schema {schema:?}{hint}"),
            )
        })
    }

    /// The same catalog with these policies.
    #[must_use]
    pub fn under(self: Arc<Self>, policies: &Policies) -> Arc<Self> {
        if policies.is_empty() {
            return self;
        }
        let mut catalog = Self::clone(&self);
        for table in catalog.tables.values_mut().flat_map(HashMap::values_mut) {
            let policy = policies.of(table, table.schema == catalog.default_schema);
            if policy != table.policy {
                Arc::make_mut(table).policy = policy;
            }
        }
        Arc::new(catalog)
    }

    /// All tables, in no order.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values().flat_map(HashMap::values)
    }
}

impl Table {
    /// The index of a column that an operation may give a value to.
    ///
    /// # Errors
    /// A rejection of code `UnknownColumn`.
    pub fn writable_column(&self, name: &str) -> Result<usize, Rejection> {
        let found = self.columns.iter().position(|column| column.name == name);
        let index = found.ok_or_else(|| {
            let known: Vec<_> = self
                .columns
                .iter()
                .take(40)
                .map(|c| c.name.as_str())
                .collect();
            Rejection::new(
                Code::UnknownColumn,
                format!(
                    "table {:?} has no column {name:?}; it has {}",
                    self.name,
                    known.join(", ")
                ),
            )
        })?;
        match self.columns.get(index) {
            Some(column) if column.absent == Absent::Generated => Err(Rejection::new(
                Code::UnknownColumn,
                format!(
                    "column {name:?} of table {:?} is generated by the database; leave it out",
                    self.name
                ),
            )),
            _ => Ok(index),
        }
    }

    /// The primary key's columns' names, for a message.
    #[must_use]
    pub fn key_names(&self) -> String {
        let names = self
            .primary_key
            .iter()
            .filter_map(|index| self.columns.get(*index));
        names
            .map(|column| column.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Refuses an operation that needs a primary key on a table without one.
    ///
    /// # Errors
    /// A rejection of code `NoPrimaryKey`.
    pub fn require_primary_key(&self, verb: Verb) -> Result<(), Rejection> {
        if !self.primary_key.is_empty() || verb == Verb::Insert {
            return Ok(());
        }
        Err(Rejection::new(
            Code::NoPrimaryKey,
            format!(
                "table {:?} has no primary key, so only insert is possible; add one, then retry",
                self.name
            ),
        ))
    }
}
