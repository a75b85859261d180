//! The model: what the tables must hold once everything that was sent is drained. Pure.
//!
//! It is fed by whoever makes up the load, operation by operation, and knows nothing of how the
//! drain works: no batches, no plans, no ledger. An operation is applied, dead, or parked behind one
//! that is.

use std::collections::BTreeMap;

/// A table of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// Rows that others refer to; a trigger notes each change.
    Account,
    /// Rows that refer to an account, mostly in another shard; a trigger notes each change.
    Posting,
    /// Rows without a trigger, so that the drain may write several changes of one as one.
    Wallet,
}

/// A row of a table.
pub(super) type Key = (Table, i64);

/// What a row holds besides its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Values {
    /// How many changes the row has seen, this one included.
    pub(super) version: i64,
    pub(super) amount: i64,
    pub(super) note: Option<String>,
    /// The account that a posting refers to.
    pub(super) parent: Option<i64>,
}

/// What happens to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Insert(Key, Values),
    /// All values after the change.
    Update(Key, Values),
    Upsert(Key, Values),
    Delete(Key),
}

/// A change as a trigger notes it: the first letter of the verb, and the row's version.
pub(super) type Noted = (char, i64);

/// Why an operation is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Dead,
    Parked,
}

/// An operation of which nobody knows whether it outlived its server.
#[derive(Clone, Debug)]
pub(super) struct Unsure {
    pub(super) number: u64,
    pub(super) shard: u32,
    pub(super) changes: Vec<Change>,
    /// The wallet and the version that it notes in the history.
    pub(super) noted: (i64, i64),
}

/// What the tables must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) rows: BTreeMap<Key, Values>,
    /// What the triggers must have noted of each row, in the order of the changes.
    pub(super) noted: BTreeMap<Key, Vec<Noted>>,
    /// By the operation's number, the wallet and the version that it noted.
    pub(super) history: BTreeMap<u64, (i64, i64)>,
    /// By the operation's number.
    pub(super) held: BTreeMap<u64, Held>,
    /// In the order in which they were sent.
    pub(super) unsure: Vec<Unsure>,
}

impl Table {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Account, Self::Posting, Self::Wallet];

    /// Its name in the database.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Posting => "posting",
            Self::Wallet => "wallet",
        }
    }

    /// The table of this name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    fn is_noted(self) -> bool {
        self != Self::Wallet
    }
}

impl Model {
    /// A change takes place.
    pub(super) fn apply(&mut self, change: &Change) {
        let (key, verb, version) = match change {
            Change::Insert(key, values) => (*key, 'I', values.version),
            Change::Update(key, values) => (*key, 'U', values.version),
            Change::Upsert(key, values) if self.rows.contains_key(key) => {
                (*key, 'U', values.version)
            }
            Change::Upsert(key, values) => (*key, 'I', values.version),
            Change::Delete(key) => {
                let version = self.rows.get(key).map_or(0, |values| values.version);
                (*key, 'D', version)
            }
        };
        match change {
            Change::Insert(key, values)
            | Change::Update(key, values)
            | Change::Upsert(key, values) => {
                self.rows.insert(*key, values.clone());
            }
            Change::Delete(key) => {
                self.rows.remove(key);
            }
        }
        if key.0.is_noted() {
            self.noted.entry(key).or_default().push((verb, version));
        }
    }

    /// Learns from the history which of the unsure operations took place, and returns how many did
    /// although one before them in their shard did not.
    pub(super) fn settle_unsure(&mut self, took_place: impl Fn(u64) -> bool) -> u64 {
        let mut lost_in: BTreeMap<u32, bool> = BTreeMap::new();
        let mut out_of_order = 0;
        for unsure in std::mem::take(&mut self.unsure) {
            let is_lost = lost_in.entry(unsure.shard).or_default();
            if !took_place(unsure.number) {
                *is_lost = true;
                continue;
            }
            out_of_order += u64::from(*is_lost);
            for change in &unsure.changes {
                self.apply(change);
            }
            self.history.insert(unsure.number, unsure.noted);
        }
        out_of_order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(version: i64) -> Values {
        Values {
            version,
            amount: 0,
            note: None,
            parent: None,
        }
    }

    #[test]
    fn each_change_is_noted_with_its_version() {
        let key = (Table::Account, 1);
        let mut model = Model::default();
        for change in [
            Change::Upsert(key, values(1)),
            Change::Upsert(key, values(2)),
            Change::Delete(key),
            Change::Insert(key, values(3)),
        ] {
            model.apply(&change);
        }
        assert_eq!(model.rows[&key].version, 3);
        assert_eq!(model.noted[&key], [('I', 1), ('U', 2), ('D', 2), ('I', 3)]);
    }

    #[test]
    fn of_what_is_unsure_only_the_beginning_of_a_shard_may_have_happened() {
        let unsure = |number, shard| Unsure {
            number,
            shard,
            changes: vec![Change::Insert((Table::Wallet, 1), values(1))],
            noted: (1, 1),
        };
        let model = Model {
            unsure: vec![unsure(1, 0), unsure(2, 0), unsure(3, 1), unsure(4, 0)],
            ..Model::default()
        };
        let mut prefix = model.clone();
        assert_eq!(prefix.settle_unsure(|number| [1, 3].contains(&number)), 0);
        assert_eq!(prefix.history.len(), 2);
        assert_eq!(model.clone().settle_unsure(|number| number == 4), 1);
        assert!(model.history.is_empty());
    }
}
