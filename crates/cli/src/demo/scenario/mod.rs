//! The scenario: a day of a payments company, told operation by operation.
//!
//! ```text
//! seed ─► day: what happens next ─► Fact ─► json ─► the operation that is sent
//!          │  ├ customers             └───► model: what the tables must show (outside of here)
//!          │  ├ payment
//!          │  └ spoiled
//!          └ chance: the dice, the ids and the names
//! ```
//!
//! The same seed and number of operations give the same day. It streams: what it remembers is the
//! customers and payments that are in play, both bounded, however long the day is.

mod chance;
mod customers;
mod day;
pub(crate) mod fact;
mod json;
mod payment;
mod spoiled;

use std::sync::Arc;

use self::day::Day;
pub(crate) use self::fact::Fact;
pub(crate) use self::spoiled::Spoil;

/// One operation of the day.
#[derive(Debug)]
pub(crate) struct Told {
    /// Names the operation: the dead letters are compared by it.
    pub(crate) request_id: String,
    /// The customer or payment that it is about.
    pub(crate) global_id: Arc<str>,
    /// The operation's JSON, or what a careless producer made of it.
    pub(crate) payload: Vec<u8>,
    /// What happened: the model is fed with it.
    pub(crate) fact: Fact,
}

/// The operations of a day, in the order in which they are sent.
#[derive(Debug)]
pub(crate) struct Scenario {
    day: Day,
    told: u64,
    operations: u64,
}

impl Scenario {
    /// The day that this seed tells with so many operations.
    pub(crate) fn new(seed: u64, operations: u64) -> Self {
        Self {
            day: Day::new(seed, operations),
            told: 0,
            operations,
        }
    }
}

impl Iterator for Scenario {
    type Item = Told;

    fn next(&mut self) -> Option<Told> {
        if self.told == self.operations {
            return None;
        }
        self.told += 1;
        let fact = self.day.next_fact();
        Some(Told {
            request_id: format!("req_{:08}", self.told),
            global_id: fact.global_id().clone(),
            payload: json::payload(&fact),
            fact,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Debug;

    use super::fact::What;
    use super::*;

    /// The variant's name.
    fn kind_of(fact: &impl Debug) -> String {
        format!("{fact:?}")
            .split(|c: char| !c.is_alphabetic())
            .take(1)
            .collect()
    }

    fn payloads(seed: u64, operations: u64) -> Vec<Vec<u8>> {
        Scenario::new(seed, operations)
            .map(|told| told.payload)
            .collect()
    }

    #[test]
    fn the_same_seed_tells_the_same_day() {
        assert_eq!(payloads(7, 2_000), payloads(7, 2_000));
        assert_ne!(payloads(7, 2_000), payloads(8, 2_000));
    }

    #[test]
    fn every_kind_of_thing_happens_in_a_short_day() {
        let mut kinds = HashSet::new();
        let (mut spoils, mut spoiled) = (HashSet::new(), 0);
        for told in Scenario::new(1, 4_000) {
            match told.fact.what {
                What::Customer { fact, .. } => _ = kinds.insert(kind_of(&fact)),
                What::Payment { fact, .. } => _ = kinds.insert(kind_of(&fact)),
                What::Spoiled { spoil, .. } => {
                    spoils.insert(spoil);
                    spoiled += 1;
                }
            }
        }
        assert_eq!(kinds.len(), 3 + 11, "{kinds:?}");
        assert_eq!(spoils.len(), Spoil::ALL.len(), "{spoils:?}");
        assert!(
            (4..=20).contains(&spoiled),
            "0.1 to 0.5 % are spoiled, not {spoiled} of 4000"
        );
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let names: HashSet<_> = Scenario::new(1, 5_000)
            .map(|told| told.request_id)
            .collect();
        assert_eq!(names.len(), 5_000);
    }
}
