//! How long a transaction took, and how long its commit alone: what the [`pace`](crate::pace) is
//! found from.
//!
//! It listens to the steps of one transaction. Nothing of it outlives the transaction.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::apply::Step;

/// Runs from before the entries are decoded until the commit is answered.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    began: Instant,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    commit_sent: Option<Instant>,
    committed: Option<Instant>,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            began: Instant::now(),
            seen: Mutex::default(),
        }
    }

    /// A step was taken.
    pub(crate) fn step(&self, step: Step) {
        let now = Some(Instant::now());
        match step {
            Step::LedgerMoved => self.lock().commit_sent = now,
            Step::Committed => self.lock().committed = now,
            _ => {}
        }
    }

    /// The whole time; zero before the commit.
    pub(crate) fn took(&self) -> Duration {
        let committed = self.lock().committed;
        committed.map_or(Duration::ZERO, |at| at.duration_since(self.began))
    }

    /// The time of the commit alone; zero before its answer.
    pub(crate) fn answer(&self) -> Duration {
        let seen = *self.lock();
        match (seen.commit_sent, seen.committed) {
            (Some(sent), Some(answered)) => answered.duration_since(sent),
            _ => Duration::ZERO,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        // A panic elsewhere leaves times, each of them whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
