//! Policies: what becomes of an event whose processing fails. Pure: randomness is given.
//!
//! A policy is asked about exactly one event, after those that were in hand with it have been
//! handed out again one by one. Nothing here outlives the process: the number of failures is
//! counted anew by the next owner.

use std::time::Duration;

/// The most tries that a policy may ask for.
pub const ATTEMPTS_MAX: u32 = 10_000;

/// What becomes of an event that fails.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Policy {
    /// The worker stops with an error that names the entry, which stays the first of its
    /// partition. For whoever can't go on without it.
    #[default]
    Halt,
    /// The partition stands still, for every owner, until a person releases it.
    Quarantine,
    /// The event is acknowledged and its id is logged.
    Ignore,
    /// The entry is stored with its reason in the stream of dead letters and acknowledged.
    DeadLetter,
    /// The entry and all later ones of its key wait, in order, until a person releases the key;
    /// the other keys of the partition go on.
    ParkKey,
    /// The event is tried again in place, which holds its partition (or lane) up.
    Retry {
        /// How often it is tried in all: 1 to [`ATTEMPTS_MAX`].
        attempts: u32,
        /// The longest pause after the first failure; it doubles with each further one.
        min: Duration,
        /// The longest pause of all.
        max: Duration,
        /// What happens when the last try has failed.
        then: Box<Self>,
    },
}

/// What to do now with an event that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Halt,
    Quarantine,
    Ignore,
    DeadLetter,
    ParkKey,
    RetryAfter(Duration),
}

impl Policy {
    /// Says what to do after an event's `failures`-th failure (from 1). `chance` is random, from
    /// 0 to 1: pauses have full jitter, so that many partitions which failed together don't come
    /// back together.
    pub(crate) fn decide(&self, failures: u32, chance: f64) -> Verdict {
        match self {
            Self::Halt => Verdict::Halt,
            Self::Quarantine => Verdict::Quarantine,
            Self::Ignore => Verdict::Ignore,
            Self::DeadLetter => Verdict::DeadLetter,
            Self::ParkKey => Verdict::ParkKey,
            Self::Retry {
                attempts,
                min,
                max,
                then,
            } => {
                if failures < *attempts {
                    Verdict::RetryAfter(pause(failures, *min, *max, chance))
                } else {
                    then.decide(failures - (*attempts).min(failures) + 1, chance)
                }
            }
        }
    }

    /// Says what is wrong with the policy's numbers, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self::Retry {
            attempts,
            min,
            max,
            then,
        } = self
        else {
            return None;
        };
        if !(1..=ATTEMPTS_MAX).contains(attempts) {
            return Some(format!("{attempts} attempts: use 1 to {ATTEMPTS_MAX}"));
        }
        if min > max {
            return Some(format!("pauses from {min:?} to {max:?}: turn them round"));
        }
        then.problem()
    }
}

/// Somewhere between nothing and `min`, doubled with each failure after the first, up to `max`.
pub(crate) fn pause(failures: u32, min: Duration, max: Duration, chance: f64) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    let longest = min.saturating_mul(doubled).min(max);
    longest.mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn retry(attempts: u32, then: Policy) -> Policy {
        Policy::Retry {
            attempts,
            min: SECOND,
            max: 60 * SECOND,
            then: Box::new(then),
        }
    }

    #[test]
    fn the_last_failure_is_left_to_what_comes_then() {
        let policy = retry(3, Policy::DeadLetter);
        assert_eq!(policy.decide(1, 1.0), Verdict::RetryAfter(SECOND));
        assert_eq!(policy.decide(2, 1.0), Verdict::RetryAfter(2 * SECOND));
        assert_eq!(policy.decide(3, 1.0), Verdict::DeadLetter);
        assert_eq!(policy.decide(4, 1.0), Verdict::DeadLetter);
    }

    #[test]
    fn retries_can_follow_retries() {
        let policy = retry(2, retry(2, Policy::Halt));
        assert_eq!(policy.decide(1, 1.0), Verdict::RetryAfter(SECOND));
        assert_eq!(policy.decide(2, 1.0), Verdict::RetryAfter(SECOND));
        assert_eq!(policy.decide(3, 1.0), Verdict::Halt);
    }

    #[test]
    fn wrong_numbers_are_named() {
        assert!(retry(0, Policy::Halt).problem().is_some());
        assert!(retry(2, retry(0, Policy::Halt)).problem().is_some());
        assert!(retry(2, Policy::Halt).problem().is_none());
    }

    proptest! {
        #[test]
        fn a_pause_is_never_longer_than_the_longest(
            failures in 1_u32..100, min_ms in 0_u64..10_000, more_ms in 0_u64..100_000,
            chance in 0.0_f64..=1.0,
        ) {
            let (min, max) =
                (Duration::from_millis(min_ms), Duration::from_millis(min_ms + more_ms));
            prop_assert!(pause(failures, min, max, chance) <= max);
            prop_assert!(pause(1, min, max, chance) <= min);
        }
    }
}
