//! Pace: how much is read at once, and how many shards are at work, after how the database answers.
//!
//! ```text
//! a transaction took so long ─► BatchSize ─► the most entries of the shard's next read
//! entries committed, shards in line ─► InFlight ─► the most shards at work in this process
//! ```
//!
//! Large batches cost the database less per row, and hold locks and memory longer; more shards at
//! once fill idle cores, and past that only make each other slower. Neither has a right value for
//! every database, so both are found while draining. Pure; the clock is the caller's. If the
//! process dies, the next one finds them anew within some batches.

use std::time::Duration;

/// What a shard reads at first, and the least it ever comes down to.
pub const ENTRIES_MIN: usize = 250;
/// How long a transaction may take before its shard reads less.
pub const TRANSACTION_AIM: Duration = Duration::from_millis(400);
/// Below this part of the aim a shard reads more.
const GROWS_BELOW: u32 = 2;
/// A transaction may always take so many times as long as the database needs for a commit alone,
/// since with a slow answer to everything small batches gain nothing.
const ANSWERS_PER_TRANSACTION: u32 = 20;

/// How many entries a shard reads at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize {
    entries: usize,
    max: usize,
}

impl BatchSize {
    /// The first choice, under a bound that is never exceeded.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            entries: ENTRIES_MIN.min(max),
            max,
        }
    }

    /// The most entries to be read next.
    #[must_use]
    pub const fn entries(&self) -> usize {
        self.entries
    }

    /// Learns from a transaction: it settled so many entries, took so long from the first of them
    /// to the commit's answer, and the answer to the commit alone took `answer`.
    pub fn learn(&mut self, settled: usize, took: Duration, answer: Duration) {
        let aim = TRANSACTION_AIM.max(answer * ANSWERS_PER_TRANSACTION);
        let was_full = settled >= self.entries;
        if took > aim {
            // A batch that was small for want of entries says the same of a smaller one.
            let fitting = settled as u128 * aim.as_micros() / took.as_micros();
            let fitting = usize::try_from(fitting).unwrap_or(self.max);
            self.entries = fitting.clamp(ENTRIES_MIN.min(self.max), self.entries);
        } else if was_full && took < aim / GROWS_BELOW {
            self.entries = (self.entries * 2).min(self.max);
        }
    }
}

/// How long the throughput is watched before the number of shards at work is judged.
const WINDOW: Duration = Duration::from_millis(500);
/// How many windows pass before another number is tried.
const WINDOWS_BETWEEN_TRIALS: u32 = 8;
/// By how much the throughput must rise for one more shard at work to be worth it.
const GAIN_MIN: f64 = 1.03;
/// How much of the throughput must be left for one shard less to be the better choice.
const LOSS_MAX: f64 = 0.99;

/// How many shards of this process may be at work at once.
#[derive(Clone, Debug)]
pub struct InFlight {
    limit: usize,
    max: usize,
    window: Window,
    trial: Trial,
}

/// What was committed since the window was opened.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    opened_at: Option<Duration>,
    entries: u64,
    /// Whether shards stood in line all the time: else the limit made no difference.
    is_contended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Trial {
    /// None is under way; the next one comes after so many windows, upwards or downwards.
    Resting { windows: u32, is_next_up: bool },
    /// Another limit is being tried.
    Running { before: usize, rate_before: f64 },
}

impl InFlight {
    /// The first choice: `start`, between 1 and `max`.
    #[must_use]
    pub fn new(start: usize, max: usize) -> Self {
        let max = max.max(1);
        Self {
            limit: start.clamp(1, max),
            max,
            window: Window::default(),
            trial: Trial::Resting {
                windows: 1,
                is_next_up: true,
            },
        }
    }

    /// The most shards at work.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Learns from a commit of so many entries. `now` is any clock that does not step back;
    /// `are_others_waiting` says whether shards stand in line.
    pub fn learn(&mut self, now: Duration, entries: u64, are_others_waiting: bool) {
        let Some(opened_at) = self.window.opened_at else {
            self.open(now);
            return;
        };
        self.window.entries += entries;
        self.window.is_contended &= are_others_waiting;
        let open_for = now.saturating_sub(opened_at);
        if open_for < WINDOW {
            return;
        }
        let rate = self.window.entries as f64 / open_for.as_secs_f64();
        let is_contended = self.window.is_contended;
        self.open(now);
        self.judge(rate, is_contended);
    }

    fn open(&mut self, now: Duration) {
        self.window = Window {
            opened_at: Some(now),
            entries: 0,
            is_contended: true,
        };
    }

    fn judge(&mut self, rate: f64, is_contended: bool) {
        match self.trial {
            Trial::Running {
                before,
                rate_before,
            } => {
                let was_up = self.limit > before;
                let needed = if was_up { GAIN_MIN } else { LOSS_MAX };
                // What shards do that need not stand in line says nothing about the limit.
                let is_better = is_contended && rate > rate_before * needed;
                if !is_better {
                    self.limit = before;
                }
                // What helped is tried again soon, in the same direction.
                let (windows, is_next_up) = match is_better {
                    true => (0, was_up),
                    false => (WINDOWS_BETWEEN_TRIALS, !was_up),
                };
                self.trial = Trial::Resting {
                    windows,
                    is_next_up,
                };
            }
            Trial::Resting { .. } if !is_contended => {}
            Trial::Resting {
                windows: 0,
                is_next_up,
            } => self.begin_trial(rate, is_next_up),
            Trial::Resting {
                windows,
                is_next_up,
            } => {
                self.trial = Trial::Resting {
                    windows: windows - 1,
                    is_next_up,
                };
            }
        }
    }

    fn begin_trial(&mut self, rate: f64, is_up: bool) {
        let before = self.limit;
        self.limit = match is_up {
            true => (self.limit + 1).min(self.max),
            false => (self.limit - 1).max(1),
        };
        self.trial = if self.limit == before {
            Trial::Resting {
                windows: WINDOWS_BETWEEN_TRIALS,
                is_next_up: !is_up,
            }
        } else {
            Trial::Running {
                before,
                rate_before: rate,
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_backlog_is_read_in_larger_batches_while_the_database_is_quick() {
        let mut size = BatchSize::new(4_000);
        let mut batches = 0;
        while size.entries() < 4_000 {
            size.learn(size.entries(), 20 * MS, MS);
            batches += 1;
        }
        assert!(batches <= 5, "{batches}");
        size.learn(4_000, 20 * MS, MS);
        assert_eq!(size.entries(), 4_000);
    }

    #[test]
    fn a_few_entries_say_nothing_about_many() {
        let mut size = BatchSize::new(4_000);
        size.learn(3, 2 * MS, MS);
        assert_eq!(size.entries(), ENTRIES_MIN);
    }

    #[test]
    fn a_slow_database_gets_smaller_batches_that_fit_the_aim() {
        let mut size = BatchSize::new(4_000);
        for _ in 0..5 {
            size.learn(size.entries(), MS, MS);
        }
        size.learn(4_000, 1_600 * MS, MS);
        assert_eq!(size.entries(), 1_000);
    }

    #[test]
    fn a_distant_database_is_not_taken_for_a_slow_one() {
        let mut size = BatchSize::new(4_000);
        for _ in 0..5 {
            // Each answer takes 50 ms, whatever is asked.
            size.learn(size.entries(), 450 * MS, 50 * MS);
        }
        assert_eq!(size.entries(), 4_000);
    }

    proptest! {
        #[test]
        fn the_bounds_hold(max in 1..10_000_usize, batches in prop::collection::vec(
            (0..10_000_usize, 0..5_000_u32, 0..200_u32), 0..50)) {
            let mut size = BatchSize::new(max);
            for (settled, took, answer) in batches {
                size.learn(settled, took * MS, answer * MS);
                prop_assert!((1..=max).contains(&size.entries()));
            }
        }

        #[test]
        fn at_least_one_shard_is_at_work_and_never_too_many(start in 0..9_usize, max in 0..9_usize,
            commits in prop::collection::vec((0..900_u32, 0..9_999_u64, any::<bool>()), 0..200)) {
            let mut flight = InFlight::new(start, max);
            let mut now = Duration::ZERO;
            for (pause, entries, is_waiting) in commits {
                now += pause * MS;
                flight.learn(now, entries, is_waiting);
                prop_assert!((1..=max.max(1)).contains(&flight.limit()));
            }
        }
    }

    /// Lets a database answer as `rate` says for each number of shards at work.
    fn settle(start: usize, max: usize, rate: impl Fn(usize) -> u64) -> usize {
        let mut flight = InFlight::new(start, max);
        let mut at = Vec::new();
        for tick in 0..2_000 {
            flight.learn(tick * 50 * MS, rate(flight.limit()) / 20, true);
            at.push(flight.limit());
        }
        // A trial that failed lasts for a window, so where it mostly is counts.
        let late = at.split_off(1_000);
        (1..=max)
            .max_by_key(|limit| late.iter().filter(|at| *at == limit).count())
            .unwrap_or(0)
    }

    #[test]
    fn shards_are_added_while_that_helps() {
        assert_eq!(settle(1, 8, |at| at.min(5) as u64 * 10_000), 5);
    }

    #[test]
    fn shards_are_taken_away_where_they_only_wait_for_each_other() {
        assert_eq!(settle(6, 8, |at| at.min(2) as u64 * 10_000), 2);
    }

    #[test]
    fn without_a_line_nothing_is_tried() {
        let mut flight = InFlight::new(2, 8);
        for tick in 0..100 {
            flight.learn(tick * 100 * MS, 10, false);
            assert_eq!(flight.limit(), 2);
        }
    }
}
