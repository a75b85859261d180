//! Outages: waiting for a server that is away, and speaking of it once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use crate::error::Error;

/// The first pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long after the last failure an outage is believed to be over: while a server comes back,
/// some shards get through before others have noticed that their connection is broken.
const OVER_AFTER: Duration = Duration::from_secs(1);

/// Whether the shards of this process are waiting for the target database. Shared by all of them,
/// so that the log has one line when it begins and one when it is over. (Of the store's outages
/// the ownership speaks, which asks the store all the time.)
#[derive(Debug, Default)]
pub(crate) struct Outage {
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    since: Instant,
    last_failure: Instant,
}

impl Outage {
    /// A shard has failed and will try again.
    pub(crate) fn begins(&self, error: &Error) {
        if matches!(error, Error::Store(_)) {
            debug!(%error, "a shard waits for the store");
            return;
        }
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            warn!(%error, "draining waits and tries again; nothing is lost");
        }
        let since = known.map_or(now, |known| known.since);
        *known = Some(Known {
            since,
            last_failure: now,
        });
    }

    /// A shard has got through.
    pub(crate) fn is_over(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outage) = *known
            && outage.last_failure.elapsed() >= OVER_AFTER
        {
            *known = None;
            info!(
                waited_ms = outage.since.elapsed().as_millis(),
                "draining goes on"
            );
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
