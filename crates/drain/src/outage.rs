//! Outages: waiting for a server that is away, and speaking of it once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::error::Error;

/// The first pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Whether the shards of this process are waiting for a server. Shared by all of them, so that
/// the log has one line when it begins and one when it is over.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    since: Mutex<Option<Instant>>,
}

impl Outage {
    /// A shard has failed and will try again.
    pub(crate) fn begins(&self, error: &Error) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_none() {
            *since = Some(Instant::now());
            warn!(%error, "draining waits and tries again; nothing is lost");
        }
    }

    /// A shard has got through.
    pub(crate) fn is_over(&self) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = since.take() {
            info!(waited_ms = since.elapsed().as_millis(), "draining goes on");
        }
    }
}

/// Growing pauses between the tries of one shard.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: PAUSE_MIN }
    }

    pub(crate) fn reset(&mut self) {
        self.next = PAUSE_MIN;
    }

    /// The next pause: twice the last one, plus up to a quarter that `jitter` (any number) picks,
    /// so that many shards don't come back at the same moment.
    pub(crate) fn pause(&mut self, jitter: u32) -> Duration {
        let base = self.next;
        self.next = (base * 2).min(PAUSE_MAX);
        base + base / 4 * (jitter % 16) / 16
    }
}
