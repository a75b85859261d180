//! When the store is asked again, and how long its answers are trusted. Pure: the clock is given.
//!
//! Every duration is a part of the lease's time to live, so that one option sets the pace:
//!
//! ```text
//! renewal sent       next renewal                                   trusted until   lease ends
//!      ├─────────────────┼─────────────────┼─────────────────┼─────────────┤·········┤
//!      0                ¼ ttl             ½ ttl             ¾ ttl         ⅞ ttl     ttl
//! ```
//!
//! It guarantees that trust in a lease ends before the lease does: it is counted from before the
//! call was sent, and the store counts from later. Nothing here outlives the process.

use std::time::Duration;

use tokio::time::Instant;

/// The pause before the second look at the store while a partition is not where it belongs; it
/// doubles with each further look. Most handovers take no longer than one or two of them.
const UNSETTLED_PAUSE_FIRST: Duration = Duration::from_millis(10);
/// The longest such pause.
const UNSETTLED_PAUSE_MAX: Duration = Duration::from_millis(250);
/// The pause after the first failure; it doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// The durations that follow from a lease's time to live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) lease_ttl: Duration,
}

impl Timing {
    /// Between two renewals, and between two beats.
    pub(crate) fn renewal_pause(self) -> Duration {
        self.lease_ttl / 4
    }

    /// Between two looks at who is alive and who holds what.
    pub(crate) fn survey_pause(self, settled: bool) -> Duration {
        if settled {
            self.renewal_pause()
        } else {
            self.renewal_pause().min(UNSETTLED_PAUSE_MAX)
        }
    }

    /// The same, after so many looks in a row at which a partition was not where it belongs.
    pub(crate) fn unsettled_pause(self, looks: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(looks.saturating_sub(1));
        UNSETTLED_PAUSE_FIRST
            .saturating_mul(doubled)
            .min(self.survey_pause(false))
    }

    /// How long after it was sent a call that gave a lease a new `ttl` is believed. The rest of
    /// the lease is the time that an owner has to stop.
    pub(crate) fn trust(self) -> Duration {
        self.lease_ttl - self.lease_ttl / 8
    }

    /// How long a call may take. A renewal that found no answer can be tried once more before
    /// the trust in the lease ends.
    pub(crate) fn call_timeout(self) -> Duration {
        self.lease_ttl / 3
    }

    /// The pause after `failures` calls in a row that failed. It stays short enough for several
    /// attempts within what is left of a lease.
    fn backoff(self, failures: u32) -> Duration {
        let longest = self.lease_ttl / 8;
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        BACKOFF_FIRST.saturating_mul(doubled).min(longest)
    }
}

/// A call that is made again and again, one at a time.
#[derive(Debug)]
pub(crate) struct Recurring {
    timing: Timing,
    due_at: Instant,
    in_flight: bool,
    /// When the call that is under way is to be followed by another at the latest.
    again_at: Option<Instant>,
    failures: u32,
}

impl Recurring {
    /// A call that is due at once.
    pub(crate) fn new(timing: Timing, now: Instant) -> Self {
        Self {
            timing,
            due_at: now,
            in_flight: false,
            again_at: None,
            failures: 0,
        }
    }

    /// Starts the call if it is due. It is then under way until it has succeeded or failed.
    pub(crate) fn try_start(&mut self, now: Instant) -> bool {
        let starts = !self.in_flight && self.due_at <= now;
        self.in_flight |= starts;
        starts
    }

    /// Whether the call is under way.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight
    }

    /// When to look here again; never while the call is under way.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        (!self.in_flight).then_some(self.due_at)
    }

    /// The call has been answered; the next one is due at `next_at`.
    pub(crate) fn succeeded(&mut self, next_at: Instant) {
        *self = Self {
            due_at: self.again_at.map_or(next_at, |at| at.min(next_at)),
            in_flight: false,
            again_at: None,
            failures: 0,
            ..*self
        };
    }

    /// The call has failed; the next one is due after a pause.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.in_flight = false;
        self.again_at = None;
        self.due_at = now + self.timing.backoff(self.failures);
    }

    /// Something has changed: the next call is due at `at`, if not earlier. One that is under way
    /// may have been too early to see it.
    pub(crate) fn hurry(&mut self, at: Instant) {
        if self.in_flight {
            self.again_at = Some(self.again_at.map_or(at, |again_at| again_at.min(at)));
        } else {
            self.due_at = self.due_at.min(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TTL: Duration = Duration::from_secs(8);

    proptest! {
        #[test]
        fn failed_calls_are_repeated_within_the_time_a_lease_is_trusted(
            ttl_ms in 100_u64..3_600_000, failures in 0_u32..100,
        ) {
            let timing = Timing { lease_ttl: Duration::from_millis(ttl_ms) };
            // The last answered renewal, the next one that stays without answer, the pause.
            let retried_after =
                timing.renewal_pause() + timing.call_timeout() + timing.backoff(failures);
            prop_assert!(retried_after < timing.trust());
            prop_assert!(timing.trust() < timing.lease_ttl);
        }
    }

    #[test]
    fn one_call_at_a_time() {
        let now = Instant::now();
        let mut call = Recurring::new(Timing { lease_ttl: TTL }, now);
        assert!(call.try_start(now));
        assert!(!call.try_start(now + TTL));
        call.succeeded(now + TTL);
        assert!(!call.try_start(now));
        assert!(call.try_start(now + TTL));
    }

    #[test]
    fn a_hurry_during_a_call_makes_the_next_one_due_after_it() {
        let now = Instant::now();
        let mut call = Recurring::new(Timing { lease_ttl: TTL }, now);
        assert!(call.try_start(now));
        call.hurry(now);
        assert_eq!(call.wake_at(), None);
        call.succeeded(now + TTL);
        assert!(call.try_start(now));
        call.succeeded(now + TTL);
        assert!(!call.try_start(now));
    }

    #[test]
    fn unsettled_pauses_grow_up_to_the_longest() {
        let timing = Timing { lease_ttl: TTL };
        let pauses_ms = [1, 2, 3, 5, 6, 100].map(|n| timing.unsettled_pause(n).as_millis());
        assert_eq!(pauses_ms, [10, 20, 40, 160, 250, 250]);
    }

    #[test]
    fn pauses_double_and_end_with_the_first_success() {
        let now = Instant::now();
        let mut call = Recurring::new(Timing { lease_ttl: TTL }, now);
        for (failure, pause_ms) in [(1, 50), (2, 100), (3, 200), (4, 400), (5, 800), (6, 1000)] {
            call.failed(now);
            assert_eq!(
                call.due_at,
                now + Duration::from_millis(pause_ms),
                "failure {failure}"
            );
        }
        call.succeeded(now);
        call.failed(now);
        assert_eq!(call.due_at, now + BACKOFF_FIRST);
    }
}
