//! The decision of a schedule: what starts now, what waits, what is left out. Pure: the clock is
//! given.
//!
//! ```text
//! When ─ occurrences ─► missed? ─► overlap? ─► start ─► ended ─► settled
//!                          └─ left out   └─ waits, left out
//! ```
//!
//! `runner` drives it and keeps what it calls settled. It guarantees that no occurrence starts
//! twice, that no more than [`RUNS_MAX`] run at once and no more than [`CATCH_UP_MAX`] wait. If the
//! process dies, what was settled is known, and the rest is missed.

use std::collections::{BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::when::When;

/// The most runs of one schedule at once, with [`Overlap::Allow`].
pub const RUNS_MAX: usize = 100;
/// The most missed occurrences that [`Missed::RunAll`] runs.
pub const CATCH_UP_MAX: u32 = 1000;
/// Up to here an occurrence is only late; later it has been missed.
pub const LATE_MAX: SignedDuration = SignedDuration::from_secs(1);
/// How far the clocks of two workers may differ. What ran further in the future was run by a clock
/// that was wrong, and is forgotten.
const SKEW_MAX: SignedDuration = SignedDuration::from_mins(5);

/// What happens to an occurrence that finds a former run still under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It runs beside the former one, up to [`RUNS_MAX`] at once.
    Allow,
    /// It runs when the former one has ended; one waits, further ones are left out.
    Queue,
}

/// What happens to occurrences that nobody could start within [`LATE_MAX`]: no worker was there,
/// or the machine stood still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// They are left out. A run that a crash cut short isn't repeated.
    Skip,
    /// One run for all of them. A run that a crash cut short is repeated by the next worker.
    #[default]
    RunOnce,
    /// Each is run, one after the other, the newest `max` of them. A run that a crash cut short is
    /// repeated.
    RunAll {
        /// 1 to [`CATCH_UP_MAX`].
        max: u32,
    },
}

/// An occurrence that is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Occurrence {
    /// When it was to happen.
    pub(super) planned_at: Timestamp,
    /// It was missed, and is run later.
    pub(super) missed: bool,
}

/// One schedule's present.
#[derive(Debug)]
pub(super) struct Plan {
    when: When,
    overlap: Overlap,
    missed: Missed,
    /// Every occurrence up to here has been decided.
    decided: Timestamp,
    /// The first one after `decided`.
    next: Option<Timestamp>,
    running: BTreeSet<Timestamp>,
    /// At most one, or at most `max` of [`Missed::RunAll`].
    waiting: VecDeque<Occurrence>,
    /// Everything up to here has ended or was left out.
    settled: Timestamp,
    /// What has ended after `settled`; none of two neighbours without an unfinished one between.
    ended: BTreeSet<Timestamp>,
}

impl Plan {
    /// A plan that goes on after `settled`, or begins at `now` where nothing is known.
    pub(super) fn new(
        when: When,
        overlap: Overlap,
        missed: Missed,
        settled: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let settled = settled
            .filter(|settled| settled.duration_since(now) <= SKEW_MAX)
            .unwrap_or(now);
        let next = when.next_after(settled);
        Self {
            when,
            overlap,
            missed,
            decided: settled,
            next,
            running: BTreeSet::new(),
            waiting: VecDeque::new(),
            settled,
            ended: BTreeSet::new(),
        }
    }

    /// Decides on what has come by `now`, and returns what starts.
    pub(super) fn advance(&mut self, now: Timestamp) -> Vec<Occurrence> {
        if self.decided.duration_since(now) > SKEW_MAX {
            // The clock was set back by far: the schedule must not wait until it catches up.
            self.decided = now;
            self.next = self.when.next_after(now);
        }
        let mut starting = Vec::new();
        if self.next.is_some_and(|next| next <= now) {
            let come = self.when.newest(self.decided, now, self.kept());
            if let Some(newest) = come.last() {
                self.decided = *newest;
                self.next = self.when.next_after(*newest);
            }
            let newest = self.decided;
            let occurrences = come.iter().map(|planned_at| Occurrence {
                planned_at: *planned_at,
                missed: *planned_at < newest || now.duration_since(*planned_at) > LATE_MAX,
            });
            let catches_up = come.len() > 1;
            for occurrence in occurrences {
                if occurrence.missed && self.missed == Missed::Skip {
                    continue;
                }
                self.arrive(occurrence, catches_up, &mut starting);
            }
        }
        if self.running.is_empty()
            && let Some(waiting) = self.waiting.pop_front()
        {
            self.start(waiting, &mut starting);
        }
        starting
    }

    /// Notes that the run of this occurrence is over, however it ended.
    pub(super) fn ended(&mut self, planned_at: Timestamp) {
        if !self.running.remove(&planned_at) {
            return;
        }
        let Some(oldest) = self.unfinished().min() else {
            self.settled = self.decided;
            self.ended.clear();
            return;
        };
        // A former end is implied by this one, unless something unfinished lies between them.
        if let Some(former) = self.ended.range(..planned_at).next_back().copied()
            && !self.unfinished().any(|it| former < it && it < planned_at)
        {
            self.ended.remove(&former);
        }
        self.ended.insert(planned_at);
        if let Some(through) = self.ended.range(..oldest).next_back().copied() {
            self.settled = self.settled.max(through);
            self.ended = self.ended.split_off(&oldest);
        }
    }

    /// What is to be kept, so that whoever comes next knows where to go on.
    pub(super) fn settled(&self) -> Timestamp {
        match self.missed {
            Missed::Skip => self.decided,
            _ if self.running.is_empty() && self.waiting.is_empty() => self.decided,
            _ => self.settled,
        }
    }

    /// Whether what starts must be kept before it does.
    pub(super) fn settles_first(&self) -> bool {
        self.missed == Missed::Skip
    }

    /// When to look again, unless a run ends before that.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        self.next
    }

    /// What runs or waits.
    fn unfinished(&self) -> impl Iterator<Item = Timestamp> {
        let waiting = self.waiting.iter().map(|it| it.planned_at);
        self.running.iter().copied().chain(waiting)
    }

    /// How many of the occurrences that have come are looked at.
    fn kept(&self) -> usize {
        match self.missed {
            Missed::Skip | Missed::RunOnce => 1,
            Missed::RunAll { max } => max.clamp(1, CATCH_UP_MAX) as usize,
        }
    }

    fn arrive(&mut self, occurrence: Occurrence, catches_up: bool, starting: &mut Vec<Occurrence>) {
        if self.overlap == Overlap::Allow && !catches_up {
            if self.running.len() < RUNS_MAX {
                self.start(occurrence, starting);
            }
            return;
        }
        let idle = self.running.is_empty() && self.waiting.is_empty();
        let room = if catches_up { self.kept() } else { 1 };
        if idle {
            self.start(occurrence, starting);
        } else if (catches_up || self.overlap == Overlap::Queue) && self.waiting.len() < room {
            self.waiting.push_back(occurrence);
        }
    }

    fn start(&mut self, occurrence: Occurrence, starting: &mut Vec<Occurrence>) {
        if self.running.insert(occurrence.planned_at) {
            starting.push(occurrence);
        }
    }
}

#[cfg(test)]
mod tests;
