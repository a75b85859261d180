//! Retries: which held entries are tried again by themselves, and when.
//!
//! Beside `shard`, which asks before each batch. Entries that wait for a parent row, or for a row
//! that somebody else has locked, are tried with growing pauses while none of them comes through;
//! so is the first entry in the line of each locked table. What stands in the line of a table that
//! is open again is tried at once. Nothing here outlives the process: a new owner tries all.

use std::time::Duration;

use tidegate_store::EntryId;
use tokio::time::Instant;

use crate::apply::{REPLAY_ENTRIES_MAX, Settled};
use crate::held::HeldIndex;

/// The first pause before entries are tried again.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// When what is held by one shard is tried again.
#[derive(Debug)]
pub(crate) struct Retries {
    due: Pause,
    locks: Pause,
    /// Where the next round of due entries begins: a thousand hopeless ones hold no other up.
    next_due: EntryId,
}

/// What is to be tried in one transaction.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) kind: Kind,
    pub(crate) selected: Vec<EntryId>,
}

/// Why it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The table is open again.
    Open,
    /// It shows whether a table is open again.
    Probe,
    /// What was waited for may have come.
    Due,
}

impl Retries {
    pub(crate) fn new() -> Self {
        Self {
            due: Pause::new(),
            locks: Pause::new(),
            next_due: EntryId::ZERO,
        }
    }

    /// The next round, if something is to be tried now.
    pub(crate) fn next(&mut self, held: &HeldIndex, now: Instant) -> Option<Round> {
        let open = held.locks().open_entries(REPLAY_ENTRIES_MAX);
        if !open.is_empty() {
            return Some(Round {
                kind: Kind::Open,
                selected: open,
            });
        }
        if now >= self.locks.until && held.locks().locked().next().is_some() {
            return Some(Round {
                kind: Kind::Probe,
                selected: held.locks().probes().into_iter().collect(),
            });
        }
        if now < self.due.until {
            return None;
        }
        let mut selected = held.due_from(self.next_due, REPLAY_ENTRIES_MAX);
        if selected.is_empty() {
            selected = held.due_from(EntryId::ZERO, REPLAY_ENTRIES_MAX);
        }
        let last = selected.last()?;
        self.next_due = last.next();
        Some(Round {
            kind: Kind::Due,
            selected,
        })
    }

    /// What became of a round.
    pub(crate) fn learn(&mut self, kind: Kind, settled: &Settled, now: Instant) {
        let pause = match kind {
            Kind::Open => return,
            Kind::Probe => &mut self.locks,
            Kind::Due => &mut self.due,
        };
        pause.learn(settled.applied > 0, now);
    }

    /// When something is to be tried again; none where nothing is.
    pub(crate) fn at(&self, held: &HeldIndex) -> Option<Instant> {
        let due = held.due().next().map(|_| self.due.until);
        let locked = held.locks().locked().next().map(|_| self.locks.until);
        due.into_iter().chain(locked).min()
    }
}

#[derive(Debug)]
struct Pause {
    length: Duration,
    until: Instant,
}

impl Pause {
    fn new() -> Self {
        Self {
            length: PAUSE_MIN,
            until: Instant::now(),
        }
    }

    fn learn(&mut self, was_of_use: bool, now: Instant) {
        self.length = if was_of_use {
            PAUSE_MIN
        } else {
            (self.length * 2).min(PAUSE_MAX)
        };
        self.until = now + self.length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::RowKey;
    use crate::held::{Held, HeldState};
    use crate::locks::{Lock, TableKey};

    fn waiting(lock: Lock) -> Held {
        Held {
            state: HeldState::Waiting,
            since_ms: 0,
            rows: Vec::new(),
            lock,
        }
    }

    #[test]
    fn a_thousand_hopeless_entries_hold_no_other_up() {
        let mut held = HeldIndex::default();
        let count = REPLAY_ENTRIES_MAX as u64 + 1;
        for number in 1..=count {
            held.hold(EntryId::new(number, 0), waiting(Lock::None));
        }
        let (mut retries, mut now) = (Retries::new(), Instant::now());
        let mut seen = Vec::new();
        for _ in 0..2 {
            let round = retries.next(&held, now).expect("a round");
            seen.extend(round.selected);
            retries.learn(round.kind, &Settled::default(), now);
            assert!(
                retries.next(&held, now).is_none(),
                "not before the pause is over"
            );
            now += PAUSE_MAX;
        }
        assert!(seen.contains(&EntryId::new(count, 0)));
    }

    #[test]
    fn a_line_is_probed_while_it_is_locked_and_emptied_when_it_is_open() {
        let key = RowKey::from_bytes(b"public\0t\0\x01");
        let table = TableKey::of_row(&key).expect("a table");
        let mut held = HeldIndex::default();
        for number in 1..=3 {
            let lock = Lock::Tables(vec![table.clone()]);
            held.hold(EntryId::new(number, 0), waiting(lock));
        }
        held.locks_mut().lock(&[table]);
        let (mut retries, now) = (Retries::new(), Instant::now());
        let round = retries.next(&held, now).expect("a probe");
        assert_eq!((round.kind, round.selected.len()), (Kind::Probe, 1));
        held.locks_mut().open();
        let round = retries.next(&held, now).expect("the line");
        assert_eq!((round.kind, round.selected.len()), (Kind::Open, 3));
    }
}
