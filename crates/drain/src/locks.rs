//! Locks: tables that somebody else keeps locked, and the entries that stand in line for them.
//!
//! ```text
//! refused for a lock ─► line of the table, locked ─ probe: first in line ─► line, open ─► empty
//!                            ▲                            │ still locked       │ locked again
//!                            └────────────────────────────┴────────────────────┘
//! ```
//!
//! Part of what a shard holds back. While a table has a line, every new entry that touches it goes
//! to the line's end, even when the lock is gone by then: so the table's operations keep the order
//! of the stream among themselves, which a foreign key or a unique value may depend on. Pure;
//! the entries themselves lie in the target database, and a new owner makes the lines from those.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_store::EntryId;

use crate::catalog::Table;
use crate::change::{Change, RowKey};

/// A table by its schema and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableKey {
    schema: String,
    name: String,
}

impl TableKey {
    /// The table's own.
    #[must_use]
    pub fn of(table: &Table) -> Self {
        Self {
            schema: table.schema.clone(),
            name: table.name.clone(),
        }
    }

    /// The table of a row.
    #[must_use]
    pub fn of_row(row: &RowKey) -> Option<Self> {
        let (schema, name) = row.table()?;
        Some(Self {
            schema: schema.to_owned(),
            name: name.to_owned(),
        })
    }

    fn is(&self, table: &Table) -> bool {
        self.name == table.name && self.schema == table.schema
    }
}

impl std::fmt::Display for TableKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Which lock of somebody else an entry waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Lock {
    /// None.
    #[default]
    None,
    /// One on a row of its own.
    Row,
    /// One on these tables, or on what the database has to look at before it writes there.
    Tables(Vec<TableKey>),
}

/// The lines of one shard, by table.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    lines: BTreeMap<TableKey, Line>,
}

#[derive(Clone, Debug, Default)]
struct Line {
    is_locked: bool,
    entries: BTreeSet<EntryId>,
}

impl Locks {
    /// Whether no entry stands in a line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The tables of these changes in whose line an entry has to stand: one that is tried again
    /// (`is_again`) only where the table is known to be locked.
    #[must_use]
    pub fn in_the_way(&self, changes: &[Change], is_again: bool) -> Vec<TableKey> {
        if self.lines.is_empty() {
            return Vec::new();
        }
        let is_met = |(table, line): &(&TableKey, &Line)| {
            (line.is_locked || !is_again) && changes.iter().any(|change| table.is(&change.table))
        };
        let met = self.lines.iter().filter(is_met);
        met.map(|(table, _)| table.clone()).collect()
    }

    /// Somebody has these tables locked.
    pub fn lock(&mut self, tables: &[TableKey]) {
        for table in tables {
            self.lines.entry(table.clone()).or_default().is_locked = true;
        }
    }

    /// Takes all tables for open, until one of them is found locked again.
    pub fn open(&mut self) {
        for line in self.lines.values_mut() {
            line.is_locked = false;
        }
    }

    /// Puts an entry into the tables' lines.
    pub fn join(&mut self, id: EntryId, tables: &[TableKey]) {
        for table in tables {
            let line = self.lines.entry(table.clone()).or_default();
            line.entries.insert(id);
        }
    }

    /// Takes an entry out of the tables' lines; a line without entries is gone.
    pub fn leave(&mut self, id: EntryId, tables: &[TableKey]) {
        for table in tables {
            if let Some(line) = self.lines.get_mut(table) {
                line.entries.remove(&id);
                if line.entries.is_empty() {
                    self.lines.remove(table);
                }
            }
        }
    }

    /// The tables that are known to be locked.
    pub fn locked(&self) -> impl Iterator<Item = &TableKey> {
        let locked = self.lines.iter().filter(|(_, line)| line.is_locked);
        locked.map(|(table, _)| table)
    }

    /// The first entry in each locked table's line: whether it can be applied tells whether the
    /// lock is gone.
    #[must_use]
    pub fn probes(&self) -> BTreeSet<EntryId> {
        let locked = self.lines.values().filter(|line| line.is_locked);
        locked
            .filter_map(|line| line.entries.first())
            .copied()
            .collect()
    }

    /// The first entries that stand in no locked table's line, at most so many.
    #[must_use]
    pub fn open_entries(&self, count_max: usize) -> Vec<EntryId> {
        let is_locked = |id: &EntryId| {
            let mut locked = self.lines.values().filter(|line| line.is_locked);
            locked.any(|line| line.entries.contains(id))
        };
        let open = self.lines.values().filter(|line| !line.is_locked);
        let entries: BTreeSet<EntryId> = open
            .flat_map(|line| line.entries.iter().take(count_max))
            .copied()
            .filter(|id| !is_locked(id))
            .collect();
        entries.into_iter().take(count_max).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableKey {
        TableKey {
            schema: "public".to_owned(),
            name: name.to_owned(),
        }
    }

    fn id(number: u64) -> EntryId {
        EntryId::new(number, 0)
    }

    #[test]
    fn the_first_in_each_locked_line_is_the_probe() {
        let mut locks = Locks::default();
        for number in 1..4 {
            locks.join(id(number), &[table("a")]);
        }
        locks.join(id(2), &[table("b")]);
        assert!(
            locks.probes().is_empty(),
            "a line without a lock needs no probe"
        );
        locks.lock(&[table("a"), table("b")]);
        assert_eq!(Vec::from_iter(locks.probes()), [id(1), id(2)]);
        assert!(locks.open_entries(10).is_empty());
    }

    #[test]
    fn an_entry_in_two_lines_waits_for_both_locks() {
        let mut locks = Locks::default();
        locks.join(id(1), &[table("a"), table("b")]);
        locks.join(id(2), &[table("a")]);
        locks.lock(&[table("b")]);
        assert_eq!(locks.open_entries(10), [id(2)]);
        locks.open();
        assert_eq!(locks.open_entries(1), [id(1)]);
    }

    #[test]
    fn a_line_ends_with_its_last_entry() {
        let mut locks = Locks::default();
        locks.lock(&[table("a")]);
        locks.join(id(1), &[table("a")]);
        locks.leave(id(1), &[table("a")]);
        assert!(locks.is_empty());
    }
}
