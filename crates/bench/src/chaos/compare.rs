//! The comparison: what was found in the tables, held against the model. Pure.
//!
//! Lost, doubled and reordered are told apart by what the triggers have noted of each row, and by the
//! history, which both are written in the transaction of the operation itself.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Serialize;

use super::model::{Held, Key, Model, Noted, Values};

/// Of how many differences the words are kept.
const SAMPLES_MAX: usize = 20;

/// What the tables hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) rows: BTreeMap<Key, Values>,
    /// What the triggers have noted of each row, in their order.
    pub(super) noted: BTreeMap<Key, Vec<Noted>>,
    /// By the operation's number, each wallet and version that it has noted.
    pub(super) history: BTreeMap<u64, Vec<(i64, i64)>>,
    /// By the operation's number.
    pub(super) held: BTreeMap<u64, Held>,
    /// Why it is held, by the operation's number.
    pub(super) reasons: BTreeMap<u64, String>,
}

/// How the tables differ from the model; all zero if they don't.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// Changes and lines of the history that are not there.
    pub(super) lost: u64,
    /// Changes and lines of the history that are there more often than they were sent.
    pub(super) doubled: u64,
    /// Rows whose changes took place in another order.
    pub(super) reordered: u64,
    /// Rows that hold something else, are missing, or too many.
    pub(super) differing: u64,
    /// Operations that are held and should not be, or the other way round.
    pub(super) wrongly_held: u64,
    /// The first differences, in words.
    pub(super) samples: Vec<String>,
}

impl Verdict {
    /// Whether there is no difference.
    pub(super) fn is_right(&self) -> bool {
        *self == Self::default()
    }

    /// Takes another's differences in.
    pub(super) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.differing += other.differing;
        self.wrongly_held += other.wrongly_held;
        for sample in other.samples {
            self.say(|| sample);
        }
    }

    fn say(&mut self, sample: impl FnOnce() -> String) {
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(sample());
        }
    }
}

/// Compares.
pub(super) fn compare(model: &Model, found: &Found) -> Verdict {
    let mut verdict = Verdict::default();
    let mut model = model.clone();
    let out_of_order = model.settle_unsure(|number| found.history.contains_key(&number));
    if out_of_order > 0 {
        verdict.reordered += out_of_order;
        verdict.say(|| {
            format!("{out_of_order} operations outlived a failover without their predecessors")
        });
    }
    for (key, sent, there) in pairs(&model.noted, &found.noted) {
        judge_changes(&mut verdict, *key, sent, there);
    }
    for (number, sent, there) in pairs(&model.history, &found.history) {
        let times = there.map_or(0, Vec::len);
        let is_right = sent.is_some_and(|sent| there.is_some_and(|it| it.contains(sent)));
        if is_right && times == 1 {
            continue;
        }
        match times {
            0 => verdict.lost += 1,
            _ => verdict.doubled += 1,
        }
        verdict.say(|| format!("operation {number}: noted {sent:?} was sent, {there:?} is there"));
    }
    for (key, sent, there) in pairs(&model.rows, &found.rows) {
        if sent != there {
            verdict.differing += 1;
            verdict.say(|| differs(key, sent, there));
        }
    }
    for (number, sent, there) in pairs(&model.held, &found.held) {
        if sent != there {
            verdict.wrongly_held += 1;
            let reason = found.reasons.get(number).map_or("", String::as_str);
            let sample = differs(number, sent, there);
            verdict.say(|| format!("operation {sample} {reason}"));
        }
    }
    verdict
}

/// The changes of one row: which are missing, which are too many, or only their order is wrong.
fn judge_changes(
    verdict: &mut Verdict,
    key: Key,
    sent: Option<&Vec<Noted>>,
    there: Option<&Vec<Noted>>,
) {
    let (sent, there) = (
        sent.map_or(&[][..], Vec::as_slice),
        there.map_or(&[][..], Vec::as_slice),
    );
    if sent == there {
        return;
    }
    let mut balance: BTreeMap<Noted, i64> = BTreeMap::new();
    for noted in sent {
        *balance.entry(*noted).or_default() += 1;
    }
    for noted in there {
        *balance.entry(*noted).or_default() -= 1;
    }
    let missing: u64 = balance
        .values()
        .filter_map(|it| u64::try_from(*it).ok())
        .sum();
    let extra: u64 = balance
        .values()
        .filter_map(|it| u64::try_from(-it).ok())
        .sum();
    verdict.lost += missing;
    verdict.doubled += extra;
    verdict.reordered += u64::from(missing == 0 && extra == 0);
    verdict.say(|| differs(key, Some(sent), Some(there)));
}

fn differs(what: impl Debug, sent: Option<impl Debug>, there: Option<impl Debug>) -> String {
    let words = |it: Option<&dyn Debug>| it.map_or("nothing".to_owned(), |it| format!("{it:?}"));
    let sent = words(sent.as_ref().map(|it| it as &dyn Debug));
    let there = words(there.as_ref().map(|it| it as &dyn Debug));
    format!("{what:?}: must be {sent}, is {there}")
}

/// Both sides of each key that one of the maps has.
fn pairs<'a, K: Ord, A, B>(
    left: &'a BTreeMap<K, A>,
    right: &'a BTreeMap<K, B>,
) -> impl Iterator<Item = (&'a K, Option<&'a A>, Option<&'a B>)> {
    let of_left = left.iter().map(|(key, a)| (key, Some(a), right.get(key)));
    let only_right = right.iter().filter(|(key, _)| !left.contains_key(key));
    of_left.chain(only_right.map(|(key, b)| (key, None, Some(b))))
}

#[cfg(test)]
mod tests {
    use super::super::load::Load;
    use super::*;

    /// What a drain without fault leaves.
    fn drained(model: &Model) -> Found {
        Found {
            rows: model.rows.clone(),
            noted: model.noted.clone(),
            history: model
                .history
                .iter()
                .map(|(number, it)| (*number, vec![*it]))
                .collect(),
            held: model.held.clone(),
            reasons: BTreeMap::new(),
        }
    }

    fn model() -> Model {
        let mut load = Load::new(1, 1);
        load.next(500);
        load.model
    }

    fn verdict_of(tamper: impl FnOnce(&mut Found)) -> Verdict {
        let model = model();
        let mut found = drained(&model);
        tamper(&mut found);
        compare(&model, &found)
    }

    #[test]
    fn what_is_right_is_found_right() {
        assert!(verdict_of(|_| ()).is_right());
    }

    #[test]
    fn a_lost_operation_is_found() {
        let verdict = verdict_of(|found| {
            found.history.pop_first();
            let mut noted = found.noted.values_mut().filter(|it| it.len() > 1);
            noted.next().expect("a row that changes").remove(0);
        });
        assert_eq!(
            (verdict.lost, verdict.doubled, verdict.reordered),
            (2, 0, 0)
        );
        assert_eq!(verdict.samples.len(), 2);
    }

    #[test]
    fn a_doubled_operation_is_found() {
        let verdict = verdict_of(|found| {
            let line = found.history.values_mut().next().expect("a line");
            line.push(line[0]);
            let noted = found.noted.values_mut().next().expect("a change");
            noted.push(noted[0]);
        });
        assert_eq!(
            (verdict.lost, verdict.doubled, verdict.reordered),
            (0, 2, 0)
        );
    }

    #[test]
    fn another_order_is_found() {
        let verdict = verdict_of(|found| {
            let mut noted = found.noted.values_mut().filter(|it| it.len() > 1);
            noted.next().expect("a row that changes").reverse();
        });
        assert_eq!(
            (verdict.lost, verdict.doubled, verdict.reordered),
            (0, 0, 1)
        );
    }

    #[test]
    fn rows_and_letters_that_differ_are_found() {
        let verdict = verdict_of(|found| {
            found.rows.pop_last();
            found.rows.values_mut().next().expect("a row").amount += 1;
            found.held.pop_first();
            found.held.insert(1, Held::Dead);
        });
        assert_eq!((verdict.differing, verdict.wrongly_held), (2, 2));
        assert_eq!((verdict.lost, verdict.doubled), (0, 0));
    }

    #[test]
    fn what_a_failover_may_lose_is_right_with_and_without_it() {
        let mut load = Load::new(1, 1);
        load.next(100);
        load.unsure(20);
        let without = drained(&load.model);
        assert!(compare(&load.model, &without).is_right());
        let mut settled = load.model.clone();
        settled.settle_unsure(|_| true);
        assert!(compare(&load.model, &drained(&settled)).is_right());
        // A line of the history without its row is half of an operation.
        let mut half = without;
        let first = &load.model.unsure[0];
        half.history.insert(first.number, vec![first.noted]);
        assert_eq!(compare(&load.model, &half).differing, 1);
    }
}
