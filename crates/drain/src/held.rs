//! What a shard holds back: the index of its dead letters and of the entries parked behind them.
//!
//! An entry that could not be applied blocks the rows it touches: later entries on one of those
//! rows are parked, in order, until it is applied or discarded. The entries themselves lie in the
//! target database; this index holds what is needed to decide, and every decision here is pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tidegate_store::EntryId;

use crate::change::{Change, RowKey};
use crate::locks::{Lock, Locks, TableKey};
use crate::rejection::Code;

/// Why an entry is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeldState {
    /// It was rejected: a person retries or discards it.
    Dead,
    /// It refers to a parent row that is not there yet: tried again by itself, for a bounded time.
    /// Or somebody else has locked its row or table: tried again by itself until the lock is gone.
    Waiting,
    /// An earlier entry on one of its rows is held.
    Parked,
    /// A person gave it up: kept for the record, blocks nothing.
    Discarded,
}

impl HeldState {
    /// The name under which the state is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Waiting => "waiting",
            Self::Parked => "parked",
            Self::Discarded => "discarded",
        }
    }

    /// Reads back a stored name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Dead, Self::Waiting, Self::Parked, Self::Discarded]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

/// What the index knows of a held entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Why it is held.
    pub state: HeldState,
    /// Since when, in Unix milliseconds.
    pub since_ms: u64,
    /// The rows it touches, as far as they are known.
    pub rows: Vec<RowKey>,
    /// Which lock it waits for.
    pub lock: Lock,
}

impl Held {
    /// What the target has stored of an entry. One that waits for a lock stands in line for its
    /// rows' tables, until it turns out that they are open.
    pub(crate) fn stored(state: HeldState, code: &str, since_ms: u64, rows: Vec<RowKey>) -> Self {
        let is_locked = state == HeldState::Waiting && code == Code::Locked.as_str();
        let mut tables: Vec<TableKey> = rows.iter().filter_map(TableKey::of_row).collect();
        tables.dedup();
        let lock = match (is_locked, tables.is_empty()) {
            (false, _) => Lock::None,
            (true, true) => Lock::Row,
            (true, false) => Lock::Tables(tables),
        };
        Self {
            state,
            since_ms,
            rows,
            lock,
        }
    }

    /// Whether it waits in line for a table.
    fn line(&self) -> Option<&[TableKey]> {
        match &self.lock {
            Lock::Tables(tables) if self.state == HeldState::Waiting => Some(tables),
            _ => None,
        }
    }
}

/// The held entries of one shard.
#[derive(Clone, Debug, Default)]
pub struct HeldIndex {
    entries: BTreeMap<EntryId, Held>,
    by_row: HashMap<RowKey, BTreeSet<EntryId>>,
    /// What is tried again by itself: the waiting entries, and woken orphans.
    due: BTreeSet<EntryId>,
    /// What stands in line for tables instead.
    locks: Locks,
}

impl HeldIndex {
    /// How many entries are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is known of a held entry.
    #[must_use]
    pub fn get(&self, id: EntryId) -> Option<&Held> {
        self.entries.get(&id)
    }

    /// The tables for which entries stand in line.
    #[must_use]
    pub fn locks(&self) -> &Locks {
        &self.locks
    }

    /// The same, to be told what became of a lock.
    pub fn locks_mut(&mut self) -> &mut Locks {
        &mut self.locks
    }

    /// The tables of these changes in whose line an entry has to stand.
    #[must_use]
    pub fn line(&self, changes: &[Change], is_again: bool) -> Vec<TableKey> {
        self.locks.in_the_way(changes, is_again)
    }

    /// Whether an earlier entry on one of these rows is held, so that this one has to be parked.
    #[must_use]
    pub fn has_predecessor(&self, id: EntryId, rows: &[RowKey]) -> bool {
        let is_held_before = |row| {
            self.by_row
                .get(row)
                .and_then(BTreeSet::first)
                .is_some_and(|first| *first < id)
        };
        !self.by_row.is_empty() && rows.iter().any(is_held_before)
    }

    /// The parked entries that no longer stand behind anything: whoever released the entry before
    /// them died, or left the rest to the owner of the shard.
    pub fn orphans(&self) -> impl Iterator<Item = EntryId> + '_ {
        let is_orphan = |(id, held): &(&EntryId, &Held)| {
            held.state == HeldState::Parked && !self.has_predecessor(**id, &held.rows)
        };
        self.entries.iter().filter(is_orphan).map(|(id, _)| *id)
    }

    /// Makes the orphans due, so that they are tried again.
    pub fn wake_orphans(&mut self) {
        let orphans: Vec<_> = self.orphans().collect();
        self.due.extend(orphans);
    }

    /// Holds an entry, or changes why it is held. A discarded entry is not held.
    pub fn hold(&mut self, id: EntryId, held: Held) {
        self.release(id);
        if held.state == HeldState::Discarded {
            return;
        }
        for row in &held.rows {
            self.by_row.entry(row.clone()).or_default().insert(id);
        }
        if let Some(tables) = held.line() {
            self.locks.join(id, tables);
        } else if held.state == HeldState::Waiting {
            self.due.insert(id);
        }
        self.entries.insert(id, held);
    }

    /// Lets an entry go, because it was applied.
    pub fn release(&mut self, id: EntryId) {
        let Some(held) = self.entries.remove(&id) else {
            return;
        };
        self.due.remove(&id);
        if let Some(tables) = held.line() {
            self.locks.leave(id, tables);
        }
        for row in held.rows {
            if let Some(ids) = self.by_row.get_mut(&row) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_row.remove(&row);
                }
            }
        }
    }

    /// The entries that are tried again by themselves, oldest first.
    pub fn due(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.due.iter().copied()
    }

    /// The same from an id on, at most so many.
    #[must_use]
    pub fn due_from(&self, first: EntryId, count_max: usize) -> Vec<EntryId> {
        self.due.range(first..).take(count_max).copied().collect()
    }

    /// The dead letters, oldest first.
    pub fn dead(&self) -> impl Iterator<Item = EntryId> + '_ {
        let is_dead = |(_, held): &(&EntryId, &Held)| held.state == HeldState::Dead;
        self.entries.iter().filter(is_dead).map(|(id, _)| *id)
    }

    /// The selected entries and all parked ones that stand behind them, directly or through
    /// others, in the order in which they have to be tried. At most `count_max` are named; the
    /// rest follows in a later round.
    #[must_use]
    pub fn replay_order(
        &self,
        selected: impl IntoIterator<Item = EntryId>,
        count_max: usize,
    ) -> Vec<EntryId> {
        let mut open: BTreeSet<EntryId> = selected
            .into_iter()
            .filter(|id| self.entries.contains_key(id))
            .collect();
        let mut order = Vec::new();
        // Ids are taken in ascending order and only add larger ones, so one pass is enough.
        while let Some(id) = open.pop_first() {
            if order.len() == count_max {
                break;
            }
            order.push(id);
            let rows = self.entries.get(&id).map_or(&[][..], |held| &held.rows);
            for behind in rows.iter().filter_map(|row| self.by_row.get(row)) {
                // The next one is enough: it names the one after it when its turn comes.
                open.extend(behind.range(id.next()..).find(|other| {
                    self.entries
                        .get(other)
                        .is_some_and(|held| held.state == HeldState::Parked)
                }));
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(number: u8) -> RowKey {
        RowKey::from_bytes(&[number])
    }

    fn held(state: HeldState, rows: &[u8]) -> Held {
        Held {
            state,
            since_ms: 0,
            rows: rows.iter().copied().map(row).collect(),
            lock: Lock::None,
        }
    }

    fn id(number: u64) -> EntryId {
        EntryId::new(number, 0)
    }

    #[test]
    fn replay_takes_what_stands_behind_and_leaves_the_rest() {
        let mut index = HeldIndex::default();
        index.hold(id(1), held(HeldState::Dead, &[1]));
        index.hold(id(2), held(HeldState::Parked, &[1, 2]));
        index.hold(id(3), held(HeldState::Parked, &[2]));
        index.hold(id(4), held(HeldState::Dead, &[9]));
        index.hold(id(5), held(HeldState::Parked, &[9]));
        assert_eq!(index.replay_order([id(1)], 100), [id(1), id(2), id(3)]);
        assert_eq!(index.replay_order([id(1)], 2), [id(1), id(2)]);
        assert_eq!(index.replay_order([id(77)], 100), []);
    }

    #[test]
    fn a_released_entry_unblocks_its_rows() {
        let mut index = HeldIndex::default();
        index.hold(id(1), held(HeldState::Dead, &[1]));
        assert!(!index.has_predecessor(id(1), &[row(1)]));
        assert!(index.has_predecessor(id(2), &[row(1)]));
        assert!(!index.has_predecessor(id(2), &[row(2)]));
        index.release(id(1));
        assert!(!index.has_predecessor(id(2), &[row(1)]) && index.is_empty());
    }

    #[test]
    fn a_discarded_entry_blocks_nothing() {
        let mut index = HeldIndex::default();
        index.hold(id(1), held(HeldState::Dead, &[1]));
        index.hold(id(1), held(HeldState::Discarded, &[1]));
        assert!(index.is_empty() && !index.has_predecessor(id(2), &[row(1)]));
    }

    #[test]
    fn a_parked_entry_without_a_predecessor_is_woken() {
        let mut index = HeldIndex::default();
        index.hold(id(2), held(HeldState::Parked, &[1]));
        index.hold(id(3), held(HeldState::Parked, &[1]));
        index.wake_orphans();
        assert_eq!(index.due().collect::<Vec<_>>(), [id(2)]);
    }

    proptest! {
        /// Whatever was held and released, the three views of the index agree.
        #[test]
        fn the_views_agree(steps in prop::collection::vec(
            (0..20_u64, 0..4_u8, prop::collection::vec(0..6_u8, 0..3)), 0..60)) {
            let mut index = HeldIndex::default();
            for (number, action, rows) in steps {
                match action {
                    0 => index.release(id(number)),
                    1 => index.hold(id(number), held(HeldState::Waiting, &rows)),
                    2 => index.hold(id(number), held(HeldState::Dead, &rows)),
                    _ => index.hold(id(number), held(HeldState::Parked, &rows)),
                }
            }
            for number in 0..6 {
                let expected = index.entries.values().any(|held| held.rows.contains(&row(number)));
                prop_assert_eq!(index.has_predecessor(id(99), &[row(number)]), expected);
            }
            let due: Vec<_> = index.due().collect();
            let expected: Vec<_> = index.entries.iter()
                .filter(|(_, held)| held.state == HeldState::Waiting).map(|(id, _)| *id).collect();
            prop_assert_eq!(due, expected);
            let order = index.replay_order(index.entries.keys().copied(), usize::MAX);
            prop_assert_eq!(order, index.entries.keys().copied().collect::<Vec<_>>());
        }
    }
}
