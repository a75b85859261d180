//! Patience: how long a transaction waits for a lock of somebody else.
//!
//! The first transaction that meets a lock waits for the whole
//! [`lock_timeout`](super::PostgresOptions::lock_timeout), as most locks are short. Once one was
//! waited for in vain, it and all transactions of the process that begin soon after it wait
//! [briefly](BRIEF): they are likely to meet the same lock, and each of them keeps others waiting.
//! Nothing here outlives the process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long is waited when a lock was met just before.
const BRIEF: Duration = Duration::from_millis(100);
/// For so long after a lock was met.
const BRIEF_FOR: Duration = Duration::from_secs(5);
/// For what has to wait as long as it takes.
pub(super) const ENDLESS: &str = "SET LOCAL lock_timeout = 0";

/// What the transactions of a process have met.
#[derive(Debug)]
pub(super) struct Patience {
    lock_timeout: Duration,
    met_at: Mutex<Option<Instant>>,
}

/// The patience of one transaction.
#[derive(Debug)]
pub(super) struct Patient {
    shared: Arc<Patience>,
    lock_timeout: Duration,
}

impl Patience {
    pub(super) fn new(lock_timeout: Duration) -> Self {
        Self {
            lock_timeout,
            met_at: Mutex::new(None),
        }
    }

    /// A transaction begins.
    pub(super) fn begin(self: &Arc<Self>) -> Patient {
        let met_at = *self.met_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_brief = met_at.is_some_and(|at| at.elapsed() < BRIEF_FOR);
        Patient {
            shared: self.clone(),
            lock_timeout: if is_brief {
                self.lock_timeout.min(BRIEF)
            } else {
                self.lock_timeout
            },
        }
    }
}

impl Patient {
    /// A lock was waited for in vain.
    pub(super) fn is_met(&mut self) {
        let met_at = &self.shared.met_at;
        *met_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.lock_timeout = self.lock_timeout.min(BRIEF);
    }

    /// The setting, to be sent behind what begins a transaction or takes some of it back.
    pub(super) fn sql(&self) -> String {
        let milliseconds = self.lock_timeout.as_millis().max(1);
        format!("; SET LOCAL lock_timeout = {milliseconds}")
    }
}
