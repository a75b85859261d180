//! When to acknowledge and when to trim. Pure but for the clock.
//!
//! Acknowledgements are collected: a call for each event would cost more than the event. What is
//! done and not yet acknowledged when the process dies is done again by the next owner, so the
//! time of waiting is short and a setting.

use std::time::Duration;

use tokio::time::Instant;

/// The most entries of one acknowledgement.
pub(crate) const ACK_BATCH_MAX: usize = 1_000;
/// After so many acknowledged entries the stream is trimmed.
const TRIM_AFTER: u64 = 10_000;
/// And when entries were acknowledged, at least so often.
const TRIM_PAUSE: Duration = Duration::from_secs(1);

/// When entries that are done are acknowledged at the latest.
#[derive(Debug)]
pub(crate) struct AckClock {
    within: Duration,
    due_at: Option<Instant>,
    is_due: bool,
}

impl AckClock {
    pub(crate) fn new(within: Duration) -> Self {
        Self {
            within,
            due_at: None,
            is_due: within.is_zero(),
        }
    }

    /// Whether `count` done entries are to be acknowledged now: there is nothing else to do, they
    /// are many, or they have waited for long enough. Their waiting begins with the first call.
    pub(crate) fn is_due(&mut self, count: usize, is_idle: bool) -> bool {
        if count == 0 {
            self.reset();
            return false;
        }
        let is_due = is_idle || self.is_due || count >= ACK_BATCH_MAX;
        if is_due {
            self.reset();
        } else if self.due_at.is_none() {
            self.due_at = Some(Instant::now() + self.within);
        }
        is_due
    }

    /// When to call [`time_is_over`](Self::time_is_over).
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    pub(crate) fn time_is_over(&mut self) {
        self.due_at = None;
        self.is_due = true;
    }

    fn reset(&mut self) {
        *self = Self::new(self.within);
    }
}

/// When to trim.
#[derive(Debug)]
pub(crate) struct TrimClock {
    acknowledged: u64,
    trimmed_at: Instant,
}

impl TrimClock {
    pub(crate) fn new() -> Self {
        Self {
            acknowledged: 0,
            trimmed_at: Instant::now(),
        }
    }

    /// Whether to trim after another `count` acknowledged entries.
    pub(crate) fn is_due(&mut self, count: usize) -> bool {
        self.acknowledged += count as u64;
        let is_due = self.acknowledged >= TRIM_AFTER || self.trimmed_at.elapsed() >= TRIM_PAUSE;
        if is_due {
            *self = Self::new();
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn few_entries_wait_for_others_and_not_for_long() {
        let mut clock = AckClock::new(Duration::from_millis(5));
        assert!(!clock.is_due(1, false));
        let due_at = clock.due_at().unwrap();
        assert_eq!(due_at, Instant::now() + Duration::from_millis(5));
        assert!(!clock.is_due(2, false));
        assert_eq!(clock.due_at(), Some(due_at));
        clock.time_is_over();
        assert!(clock.is_due(2, false));
        assert!(!clock.is_due(1, false));
    }

    #[tokio::test(start_paused = true)]
    async fn many_entries_and_idle_partitions_do_not_wait() {
        let mut clock = AckClock::new(Duration::from_secs(1));
        assert!(clock.is_due(ACK_BATCH_MAX, false));
        assert!(clock.is_due(1, true));
        assert!(!clock.is_due(0, true));
    }
}
