//! What the writer has to know of the tables beyond the catalog that the engine sees.
//!
//! It is learned with the catalog, and corrected when the server says otherwise; the correction
//! holds until the catalog is read anew.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::catalog::Table;

/// The peculiarities of a database.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Quirks {
    /// Tables that COPY must not write, by schema and name: it is blind to rules, and refused
    /// where there is row-level security. Others are added when the server refuses.
    not_copied: RwLock<HashSet<(String, String)>>,
    /// Whether any constraint can be deferred, so that it must be looked at before the commit.
    has_deferrable: AtomicBool,
}

impl Quirks {
    /// The peculiarities that the catalog tells.
    pub(super) fn new(not_copied: HashSet<(String, String)>, has_deferrable: bool) -> Self {
        Self {
            not_copied: RwLock::new(not_copied),
            has_deferrable: AtomicBool::new(has_deferrable),
        }
    }

    /// Whether COPY does the same to the table as INSERT.
    pub(in crate::postgres) fn may_copy(&self, table: &Table) -> bool {
        let not_copied = self
            .not_copied
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        not_copied.is_empty() || !not_copied.contains(&(table.schema.clone(), table.name.clone()))
    }

    /// Whether any constraint can be deferred.
    pub(in crate::postgres) fn has_deferrable(&self) -> bool {
        self.has_deferrable.load(Ordering::Relaxed)
    }

    /// Remembers that there is a deferrable constraint after all.
    pub(in crate::postgres) fn expect_deferrable(&self) {
        self.has_deferrable.store(true, Ordering::Relaxed);
    }

    /// Remembers, until the catalog is read anew, that the table can't be copied.
    pub(in crate::postgres) fn forbid_copy(&self, table: &Table) {
        let mut not_copied = self
            .not_copied
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        not_copied.insert((table.schema.clone(), table.name.clone()));
    }
}
