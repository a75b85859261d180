//! What a worker has done, countable while it works.
//!
//! Writers are the attempts and the finishers, with relaxed atomics; readers take a
//! [`snapshot`](Metrics::snapshot) whenever they like. Counts begin with the process and are gone with
//! it: what a queue has done altogether its store knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A cheap handle on the counts of a worker.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(crate) counts: Arc<Counts>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) taken: AtomicU64,
    pub(crate) running: AtomicU64,
    pub(crate) done: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) dead: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) unknown: AtomicU64,
    pub(crate) returned: AtomicU64,
    pub(crate) fences_lost: AtomicU64,
    /// A moving average of how long attempts take.
    pub(crate) mean_ns: AtomicU64,
}

/// What a worker has done until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Tasks taken from their queues.
    pub taken: u64,
    /// Attempts under way.
    pub running: u64,
    /// Attempts after which the task was done.
    pub done: u64,
    /// … tried again later.
    pub retried: u64,
    /// … dead.
    pub dead: u64,
    /// … cancelled.
    pub cancelled: u64,
    /// … parked.
    pub unknown: u64,
    /// … given back at a shutdown.
    pub returned: u64,
    /// Attempts whose end the store refused: it had given the task to another one.
    pub fences_lost: u64,
    /// About how long attempts take.
    pub mean: Duration,
}

impl Metrics {
    /// The counts at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        Snapshot {
            taken: read(&counts.taken),
            running: read(&counts.running),
            done: read(&counts.done),
            retried: read(&counts.retried),
            dead: read(&counts.dead),
            cancelled: read(&counts.cancelled),
            unknown: read(&counts.unknown),
            returned: read(&counts.returned),
            fences_lost: read(&counts.fences_lost),
            mean: Duration::from_nanos(read(&counts.mean_ns)),
        }
    }
}

impl Counts {
    pub(crate) fn add(count: &AtomicU64, by: usize) {
        count.fetch_add(by as u64, Ordering::Relaxed);
    }

    /// Notes how long an attempt took: each counts for an eighth of the average. Of two that end at
    /// once one may not be counted, which an average can bear.
    pub(crate) fn took(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let next = match self.mean_ns.load(Ordering::Relaxed) {
            0 => ns,
            mean => mean - mean / 8 + ns / 8,
        };
        self.mean_ns.store(next.max(1), Ordering::Relaxed);
    }

    /// About how long attempts take; long, where nothing is known yet.
    pub(crate) fn mean(&self) -> Duration {
        match self.mean_ns.load(Ordering::Relaxed) {
            0 => Duration::MAX,
            ns => Duration::from_nanos(ns),
        }
    }
}
