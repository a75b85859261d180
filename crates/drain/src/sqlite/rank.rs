//! The order among tables that their foreign keys ask for. Pure.
//!
//! Parents get a lower rank than their children. Tables that lie in a circle of foreign keys (a
//! table that refers to itself is the smallest one) have no such order among themselves.

/// A foreign key between two tables, given by their indexes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForeignKey {
    /// The table that refers.
    pub(super) child: usize,
    /// The table that is referred to.
    pub(super) parent: usize,
    /// Whether a change of the parent changes the child.
    pub(super) is_cascading: bool,
}

/// What the foreign keys say of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Lower than its children's.
    pub(super) rank: u32,
    /// Whether changes of its rows may not be reordered.
    pub(super) is_ordered: bool,
}

/// The places of `count` tables.
pub(super) fn places(count: usize, keys: &[ForeignKey]) -> Vec<Place> {
    let above: Vec<Vec<bool>> = (0..count)
        .map(|table| ancestors(count, table, keys))
        .collect();
    let is_above = |ancestor: usize, table: usize| {
        above
            .get(table)
            .and_then(|above| above.get(ancestor))
            .copied()
            .unwrap_or(false)
    };
    let mut places = vec![Place::default(); count];
    for (table, place) in places.iter_mut().enumerate() {
        let cascades =
            |key: &ForeignKey| key.is_cascading && (key.child == table || key.parent == table);
        place.is_ordered = is_above(table, table) || keys.iter().any(cascades);
    }
    // Without the circles the longest path has fewer steps than there are tables.
    for _ in 0..count {
        for key in keys.iter().filter(|key| !is_above(key.child, key.parent)) {
            let parent = places.get(key.parent).map_or(0, |place| place.rank);
            if let Some(child) = places.get_mut(key.child) {
                child.rank = child.rank.max(parent + 1);
            }
        }
    }
    places
}

/// Which tables are above one, over any number of keys.
fn ancestors(count: usize, table: usize, keys: &[ForeignKey]) -> Vec<bool> {
    let mut found = vec![false; count];
    let mut open = vec![table];
    while let Some(child) = open.pop() {
        for key in keys.iter().filter(|key| key.child == child) {
            if let Some(is_found @ false) = found.get_mut(key.parent) {
                *is_found = true;
                open.push(key.parent);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(child: usize, parent: usize) -> ForeignKey {
        ForeignKey {
            child,
            parent,
            is_cascading: false,
        }
    }

    fn ranks(count: usize, keys: &[ForeignKey]) -> Vec<(u32, bool)> {
        places(count, keys)
            .iter()
            .map(|place| (place.rank, place.is_ordered))
            .collect()
    }

    #[test]
    fn parents_rank_below_children() {
        let keys = [key(2, 1), key(1, 0), key(2, 0)];
        assert_eq!(
            ranks(4, &keys),
            [(0, false), (1, false), (2, false), (0, false)]
        );
    }

    #[test]
    fn circles_and_cascades_keep_the_order() {
        let keys = [key(0, 0), key(1, 2), key(2, 1), key(3, 1)];
        assert_eq!(
            ranks(4, &keys),
            [(0, true), (0, true), (0, true), (1, false)]
        );
        let cascading = [ForeignKey {
            is_cascading: true,
            ..key(1, 0)
        }];
        assert_eq!(ranks(3, &cascading), [(0, true), (1, true), (0, false)]);
    }
}
