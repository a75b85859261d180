//! The order of tables by their foreign keys: parents before children.
//!
//! A table's rank is the length of the longest way up to a table without parents. Tables that
//! refer to one another in a circle have no order; they, and those whose rows change by themselves
//! when a parent's row does, are *entangled*: their changes keep the order of the stream.
//!
//! Pure.

use std::collections::{HashMap, HashSet};

/// A foreign key between two tables, which are known by their OIDs.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForeignKey {
    /// The table that refers.
    pub(super) child: u32,
    /// The table that is referred to.
    pub(super) parent: u32,
    /// Whether a change of the parent's row changes the child's.
    pub(super) cascades: bool,
}

/// The rank of each table.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    ranks: HashMap<u32, u32>,
    entangled: HashSet<u32>,
}

impl Ranks {
    /// Ranks these tables.
    pub(super) fn of(tables: impl Iterator<Item = u32>, foreign_keys: &[ForeignKey]) -> Self {
        let mut ranks = Self::default();
        let mut open: HashSet<u32> = tables.collect();
        let cascading = foreign_keys.iter().filter(|key| key.cascades);
        ranks
            .entangled
            .extend(cascading.flat_map(|key| [key.child, key.parent]));
        // A table's reference to itself says nothing about its order among others.
        let between: Vec<_> = foreign_keys
            .iter()
            .filter(|key| key.child != key.parent)
            .collect();
        let mut rank = 0;
        while !open.is_empty() {
            let waits = |table: &u32| {
                between
                    .iter()
                    .any(|key| key.child == *table && open.contains(&key.parent))
            };
            let free: Vec<u32> = open.iter().filter(|table| !waits(table)).copied().collect();
            if free.is_empty() {
                // What is left are circles and what hangs below them.
                ranks.entangled.extend(&open);
                ranks.ranks.extend(open.iter().map(|table| (*table, rank)));
                break;
            }
            for table in free {
                open.remove(&table);
                ranks.ranks.insert(table, rank);
            }
            rank += 1;
        }
        ranks
    }

    /// How far below the first parents a table stands.
    pub(super) fn rank(&self, table: u32) -> u32 {
        self.ranks.get(&table).copied().unwrap_or_default()
    }

    /// Whether the table's changes must keep the order of the stream.
    pub(super) fn is_entangled(&self, table: u32) -> bool {
        self.entangled.contains(&table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(pairs: &[(u32, u32)]) -> Vec<ForeignKey> {
        let key = |(child, parent): &(u32, u32)| ForeignKey {
            child: *child,
            parent: *parent,
            cascades: false,
        };
        pairs.iter().map(key).collect()
    }

    #[test]
    fn the_longest_way_up_counts() {
        let ranks = Ranks::of(1..=4, &keys(&[(2, 1), (3, 2), (3, 1), (4, 4)]));
        let found: Vec<_> = (1..=4).map(|table| ranks.rank(table)).collect();
        assert_eq!(found, [0, 1, 2, 0]);
        assert!((1..=4).all(|table| !ranks.is_entangled(table)));
    }

    #[test]
    fn a_circle_and_a_cascade_keep_the_streams_order() {
        let mut keys = keys(&[(1, 2), (2, 1), (4, 5)]);
        keys[2].cascades = true;
        let ranks = Ranks::of(1..=5, &keys);
        let entangled: Vec<_> = (1..=5).filter(|table| ranks.is_entangled(*table)).collect();
        assert_eq!(entangled, [1, 2, 4, 5]);
    }

    proptest! {
        #[test]
        fn a_parent_ranks_before_its_child_unless_entangled(
            pairs in prop::collection::vec((0..8_u32, 0..8_u32), 0..12)) {
            let ranks = Ranks::of(0..8, &keys(&pairs));
            for (child, parent) in pairs.into_iter().filter(|(child, parent)| child != parent) {
                let is_before = ranks.rank(parent) < ranks.rank(child);
                prop_assert!(is_before || ranks.is_entangled(child));
            }
        }
    }
}
