//! An outage of the store, as the log tells it: once when it begins, once when it is over.
//!
//! It stands beside the ownership's loop, which notes the fate of every call here. Nothing hangs
//! on it: if the process dies during an outage, the next one finds out by itself.

use tidegate_store::Error;
use tokio::time::Instant;
use tracing::{info, warn};

/// Whether the store is out of reach, and since when.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    since: Option<Instant>,
}

impl Outage {
    /// A call has failed because the store is unavailable.
    pub(crate) fn noted(&mut self, error: &Error, now: Instant) {
        if self.since.is_none() {
            self.since = Some(now);
            warn!(%error, "the store can't be reached; ownership waits for it");
        }
    }

    /// A call has been answered.
    pub(crate) fn over(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            let outage_ms = now.duration_since(since).as_millis();
            info!(outage_ms, "the store is back; ownership goes on");
        }
    }
}
