//! Policies: what becomes of an operation that meets a row it did not expect, table by table.
//!
//! ```text
//! configuration ─► Policies ─ catalog ─► Table::policy ─► resolve, sinks, settle
//! ```
//!
//! Without a policy an insert whose row is there already with other values, and an update of a row
//! that is not there, are dead letters. An insert whose row is there with the very values it gives
//! was applied before: that is no conflict, whatever the policy.
//!
//! Pure. What is decided here is put to work inside the transaction of a batch, so a process that
//! dies leaves nothing half decided.

use std::collections::BTreeMap;

use crate::catalog::{Absent, Catalog, Column, Table};
use crate::operation::Verb;
use crate::rejection::{Code, Rejection};

/// What becomes of an insert whose row, or unique value, is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// It is a dead letter.
    #[default]
    DeadLetter,
    /// The row stays as it is.
    Skip,
    /// The row gets the values that the insert gives.
    Update,
}

/// What becomes of an update or a delete whose row is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissing {
    /// It is a dead letter.
    DeadLetter,
    /// Nothing is done.
    Skip,
}

/// The policy of one table, as somebody writes it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePolicy {
    /// For inserts that meet a row.
    pub on_conflict: OnConflict,
    /// For updates that meet none.
    pub on_missing_update: OnMissing,
    /// For deletes that meet none.
    pub on_missing_delete: OnMissing,
    /// The column by which an older value never replaces a newer one.
    pub version: Option<String>,
}

impl Default for TablePolicy {
    fn default() -> Self {
        Self {
            on_conflict: OnConflict::DeadLetter,
            on_missing_update: OnMissing::DeadLetter,
            on_missing_delete: OnMissing::Skip,
            version: None,
        }
    }
}

/// The policies of all tables that have one, by `table` or `schema.table`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies(pub BTreeMap<String, TablePolicy>);

/// A policy that the database doesn't bear out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The table as the policy names it.
    pub table: String,
    /// The setting; none where the table itself is not there.
    pub setting: Option<&'static str>,
    /// The setting's value.
    pub value: String,
    /// What is wrong, and what is allowed.
    pub reason: String,
}

/// A table's policy, held against its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// For inserts that meet a row.
    pub on_conflict: OnConflict,
    /// For updates that meet none.
    pub on_missing_update: OnMissing,
    /// For deletes that meet none.
    pub on_missing_delete: OnMissing,
    /// The version column's index. One that is beyond the columns was there when the policy was
    /// written and is gone now; then nothing that changes a row is applied.
    pub version: Option<usize>,
}

impl Default for Policy {
    fn default() -> Self {
        let TablePolicy {
            on_conflict,
            on_missing_update,
            on_missing_delete,
            version: _,
        } = TablePolicy::default();
        Self {
            on_conflict,
            on_missing_update,
            on_missing_delete,
            version: None,
        }
    }
}

impl Policy {
    /// Whether a change of this kind may find nothing to do without being refused for it.
    #[must_use]
    pub fn is_lenient(&self, verb: Verb) -> bool {
        match verb {
            Verb::Insert => false,
            Verb::Upsert => self.version.is_some(),
            Verb::Update => self.version.is_some() || self.on_missing_update == OnMissing::Skip,
            Verb::Delete => false,
        }
    }

    /// Whether a change of this kind must find its row.
    #[must_use]
    pub fn needs_row(&self, verb: Verb) -> bool {
        match verb {
            Verb::Insert | Verb::Upsert => false,
            Verb::Update => self.on_missing_update == OnMissing::DeadLetter,
            Verb::Delete => self.on_missing_delete == OnMissing::DeadLetter,
        }
    }
}

impl Policies {
    /// Whether no table has a policy.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The policy of a table; `table` alone means the one in the default schema.
    #[must_use]
    pub fn of(&self, table: &Table, is_in_default_schema: bool) -> Policy {
        let full = self.0.get(&format!("{}.{}", table.schema, table.name));
        let short = || self.0.get(&table.name).filter(|_| is_in_default_schema);
        let Some(policy) = full.or_else(short) else {
            return Policy::default();
        };
        let place = |name: &String| {
            let found = table.columns.iter().position(|column| column.name == *name);
            found.unwrap_or(usize::MAX)
        };
        Policy {
            on_conflict: policy.on_conflict,
            on_missing_update: policy.on_missing_update,
            on_missing_delete: policy.on_missing_delete,
            version: policy.version.as_ref().map(place),
        }
    }

    /// Holds the policies against the database's tables, and returns what is wrong with them.
    #[must_use]
    pub fn faults(&self, catalog: &Catalog) -> Vec<Fault> {
        let fault = |(name, policy): (&String, &TablePolicy)| fault(catalog, name, policy);
        self.0.iter().filter_map(fault).collect()
    }
}

fn fault(catalog: &Catalog, name: &str, policy: &TablePolicy) -> Option<Fault> {
    let found = catalog.table(None, name).or_else(|rejection| {
        let (schema, table) = name.split_once('.').ok_or(rejection)?;
        catalog.table(Some(schema), table)
    });
    let of = |setting, value: &str, reason: String| {
        Some(Fault {
            table: name.to_owned(),
            setting,
            value: value.to_owned(),
            reason,
        })
    };
    let table = match found {
        Ok(table) => table,
        Err(rejection) => return of(None, "", rejection.reason),
    };
    if policy.on_conflict == OnConflict::Update && table.primary_key.is_empty() {
        let reason = "the table has no primary key by which its row could be found".to_owned();
        return of(Some("on_conflict"), "update", reason);
    }
    let version = policy.version.as_ref()?;
    let reason = match table.writable_column(version) {
        Err(rejection) => rejection.reason,
        Ok(index) if table.primary_key.contains(&index) => {
            "it is part of the primary key, which never changes; name another column".to_owned()
        }
        Ok(_) if table.primary_key.is_empty() => {
            "the table has no primary key, so its rows are never updated".to_owned()
        }
        Ok(index) => {
            let column = table.columns.get(index).filter(|it| !is_ordered_type(it))?;
            format!(
                "its type {} has no order that grows; use an integer, a numeric or a time",
                column.sql_type
            )
        }
    };
    of(Some("version"), version, reason)
}

/// Whether a larger value of the type is a newer one. PostgreSQL's names, and what people declare
/// in SQLite.
fn is_ordered_type(column: &Column) -> bool {
    const PARTS: [&str; 8] = [
        "int",
        "serial",
        "numeric",
        "decimal",
        "float",
        "timestamp",
        "date",
        "real",
    ];
    let name = column.sql_type.to_ascii_lowercase();
    column.absent != Absent::Generated
        && !name.ends_with("[]")
        && !name.contains("interval")
        && !name.contains("point")
        && PARTS.iter().any(|part| name.contains(part))
}

/// Refuses a change that would pass by the version.
///
/// # Errors
/// A rejection that says which column is missing.
pub(crate) fn require_version(
    table: &Table,
    verb: Verb,
    is_given: impl Fn(usize) -> bool,
) -> Result<(), Rejection> {
    let Some(version) = table.policy.version else {
        return Ok(());
    };
    if !matches!(verb, Verb::Update | Verb::Upsert) || is_given(version) {
        return Ok(());
    }
    let Some(column) = table.columns.get(version) else {
        return Err(Rejection::new(
            Code::UnknownColumn,
            format!(
                "the version column of table {:?} is gone, so nothing tells an older row from a \
                 newer one; correct the table's policy or the table, then retry",
                table.name
            ),
        ));
    };
    Err(Rejection::new(
        Code::MissingField,
        format!(
            "table {:?} is guarded by the version in column {:?}, and this operation gives none; \
             send it",
            table.name, column.name
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_policy_an_update_needs_its_row_and_a_delete_does_not() {
        let policy = Policy::default();
        assert!(policy.needs_row(Verb::Update) && !policy.needs_row(Verb::Delete));
        assert!(!policy.is_lenient(Verb::Update) && !policy.is_lenient(Verb::Upsert));
    }

    #[test]
    fn a_version_is_lenient_with_what_is_older_and_not_with_what_is_missing() {
        let policy = Policy {
            version: Some(1),
            ..Policy::default()
        };
        assert!(policy.is_lenient(Verb::Update) && policy.needs_row(Verb::Update));
        assert!(policy.is_lenient(Verb::Upsert) && !policy.needs_row(Verb::Upsert));
    }
}
