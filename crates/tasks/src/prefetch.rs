//! How many tasks a worker has in hand. Pure.
//!
//! A worker that runs `concurrency` tasks at once takes some ahead, so that none of its places is
//! empty while it asks for more. How many is a matter of how long tasks take: of short ones many, so
//! that one call of the store brings enough for a while; of long ones none, for another worker that
//! has nothing to do could run them at once.

use std::time::Duration;

/// The most tasks that a worker takes ahead of what it can run.
pub const PREFETCH_MAX: usize = 2_000;
/// For so long the tasks that were taken ahead should last.
const AHEAD: Duration = Duration::from_millis(50);

/// How many tasks may be in hand, those that run included, when a task takes `mean` on average.
#[must_use]
pub(crate) fn in_hand_max(concurrency: usize, prefetch_max: usize, mean: Duration) -> usize {
    let mean_ns = mean.as_nanos().max(1);
    let rounds = usize::try_from(AHEAD.as_nanos() / mean_ns).unwrap_or(usize::MAX);
    let ahead = concurrency.saturating_mul(rounds).min(prefetch_max);
    concurrency.saturating_add(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_tasks_are_taken_ahead_and_long_ones_are_not() {
        let ms = Duration::from_millis;
        assert_eq!(in_hand_max(10, PREFETCH_MAX, ms(1_000)), 10);
        assert_eq!(in_hand_max(10, PREFETCH_MAX, ms(60)), 10);
        assert_eq!(in_hand_max(10, PREFETCH_MAX, ms(25)), 30);
        assert_eq!(
            in_hand_max(10, PREFETCH_MAX, Duration::ZERO),
            10 + PREFETCH_MAX
        );
        assert_eq!(in_hand_max(10, 0, Duration::ZERO), 10);
    }
}
