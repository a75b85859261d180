//! The clock of the embedded store, passed in so that a test can turn it.
//!
//! Entry ids and the ends of leases are written in milliseconds of this clock. All processes that
//! share a file run on one machine and so share its wall clock. When that clock is set back, ids
//! keep growing (they take the last id's millisecond) and leases last longer by the difference;
//! when it is set forward, leases end early and their owners learn it from
//! [`Error::LeaseLost`](crate::Error). Neither breaks a promise, because an epoch and not a time
//! decides who may write.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Unix time in milliseconds.
    fn now_ms(&self) -> u64;
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        // A clock before 1970 reads as 0: ids and epochs still grow.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, whole_ms)
    }
}

/// A clock that stands still until it is turned.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows this time.
    #[must_use]
    pub const fn new(now_ms: u64) -> Self {
        Self(AtomicU64::new(now_ms))
    }

    /// Turns the clock to a time, which may be an earlier one.
    pub fn set(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(whole_ms(by), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A duration in whole milliseconds; one that is too long for a `u64` is cut.
pub(super) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
