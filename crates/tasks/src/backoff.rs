//! The pause before a task is tried again. Pure: randomness is given.

use std::time::Duration;

/// The shortest and the longest pause of a task's retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// No pause is shorter.
    pub min: Duration,
    /// No pause is longer.
    pub max: Duration,
}

impl Backoff {
    /// The pause before the `retry`-th retry (from 1): somewhere between `min` and `min` doubled with
    /// each retry, and no longer than `max`. `chance` is random, from 0 to 1: pauses have full
    /// jitter, so that many tasks which failed together don't come back together.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use tidegate_tasks::Backoff;
    /// let backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_secs(60) };
    /// assert_eq!(backoff.pause(3, 1.0), Duration::from_secs(8));
    /// assert_eq!(backoff.pause(30, 1.0), Duration::from_secs(60));
    /// assert_eq!(backoff.pause(30, 0.0), Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn pause(&self, retry: u32, chance: f64) -> Duration {
        let max = self.max.max(self.min);
        let doubled = 2_u32.saturating_pow(retry);
        let longest = self.min.saturating_mul(doubled).min(max);
        self.min + (longest - self.min).mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pause_is_within_its_bounds_and_grows(
            retry in 1_u32..200, min_ms in 1_u64..100_000, more_ms in 0_u64..10_000_000,
            chance in 0.0_f64..=1.0,
        ) {
            let backoff = Backoff {
                min: Duration::from_millis(min_ms),
                max: Duration::from_millis(min_ms + more_ms),
            };
            let pause = backoff.pause(retry, chance);
            prop_assert!(pause >= backoff.min && pause <= backoff.max, "{:?}", pause);
            prop_assert!(backoff.pause(retry + 1, chance) >= pause);
        }
    }
}
