//! Drafts: row operations that are made of an ancestor's entry.
//!
//! An [`Operation`] borrows its values as JSON text. What an ancestor sends has them partly in
//! the entry and partly not (a constant of the mapping, a bind that was read), so a draft owns
//! the latter and lends all of them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::catalog::Catalog;
use crate::change::{RowKey, Unresolved, resolve};
use crate::operation::{Columns, Operation, RowOperation, Verb};
use crate::rejection::Rejection;

/// Row operations that lend themselves as an [`Operation`].
#[derive(Debug, Default)]
pub(super) struct Draft<'a> {
    pub(super) rows: Vec<DraftRow<'a>>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct DraftRow<'a> {
    pub(super) verb: Verb,
    pub(super) schema: Option<Cow<'a, str>>,
    pub(super) table: Cow<'a, str>,
    pub(super) key: Values<'a>,
    pub(super) values: Values<'a>,
}

/// Columns and their values.
pub(super) type Values<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// A value as JSON text.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// It stands in the entry or in the mapping.
    Lent(&'a RawValue),
    /// It was made of what stands there.
    Made(Box<RawValue>),
}

impl Value<'_> {
    pub(super) fn json(&self) -> &RawValue {
        match self {
            Self::Lent(json) => json,
            Self::Made(json) => json,
        }
    }
}

/// An entry that can't be applied, with what is known of the rows that it means.
#[derive(Debug)]
pub(super) struct Refused<'a> {
    pub(super) rejection: Rejection,
    pub(super) rows: Option<Draft<'a>>,
}

impl From<Rejection> for Refused<'_> {
    fn from(rejection: Rejection) -> Self {
        Self {
            rejection,
            rows: None,
        }
    }
}

impl Refused<'_> {
    /// Looks the rows up, so that later operations on them wait for this one.
    pub(super) fn into_unresolved(self, catalog: &Catalog) -> Unresolved {
        let rows = self.rows.map(|draft| draft.row_keys(catalog));
        Unresolved {
            rejection: self.rejection,
            rows: rows.unwrap_or_default(),
        }
    }
}

impl Draft<'_> {
    /// The rows as an operation.
    pub(super) fn operation(&self) -> Operation<'_> {
        Operation {
            partition_key: None,
            rows: self.rows.iter().map(DraftRow::operation).collect(),
        }
    }

    fn row_keys(&self, catalog: &Catalog) -> Vec<RowKey> {
        match resolve(catalog, &self.operation()) {
            Ok(changes) => changes
                .into_iter()
                .filter_map(|change| change.row)
                .collect(),
            Err(unresolved) => unresolved.rows,
        }
    }
}

impl<'a> DraftRow<'a> {
    /// The row alone, by its key: enough to know which one is meant.
    pub(super) fn keyed(
        table: Cow<'a, str>,
        schema: Option<Cow<'a, str>>,
        key: Values<'a>,
    ) -> Self {
        Self {
            verb: Verb::Delete,
            schema,
            table,
            key,
            values: Vec::new(),
        }
    }

    fn operation(&self) -> RowOperation<'_> {
        RowOperation {
            verb: self.verb,
            schema: self.schema.as_deref().map(Cow::Borrowed),
            table: Cow::Borrowed(&self.table),
            key: columns(&self.key),
            values: columns(&self.values),
        }
    }
}

fn columns<'v>(values: &'v Values<'_>) -> Columns<'v> {
    let lent =
        |(name, value): &'v (Cow<'_, str>, Value<'_>)| (Cow::Borrowed(&**name), value.json());
    Columns(values.iter().map(lent).collect())
}
