//! The plan of the crashes: at which points of the day the worker is killed.
//!
//! The day is cut into equal parts. In each but the last the worker is killed once, at a random
//! point, and the feed does not go beyond the part before that has happened; so even a short day
//! has its crashes, and each time there is something to recover.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How often the worker is killed.
const KILLS: u64 = 5;
/// How often in a day of few operations.
const KILLS_OF_FEW: u64 = 3;
/// Up to here a day has few operations.
const FEW_OPERATIONS: u64 = 20_000;
/// The longest pause between the point and the kill. Without one the worker would always be hit
/// at the same step: right after a commit was seen.
const PAUSE_MS_MAX: u64 = 40;

/// One crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kill {
    /// It is due when so many operations are settled.
    pub(super) settled_min: u64,
    /// Then this long is waited.
    pub(super) pause: Duration,
    /// Before it has happened, not more operations than this are sent.
    pub(super) sent_max: u64,
}

/// The crashes of a day of so many operations, in their order.
pub(super) fn plan(seed: u64, operations: u64) -> Vec<Kill> {
    let kills = if operations > FEW_OPERATIONS {
        KILLS
    } else {
        KILLS_OF_FEW
    };
    let mut random = StdRng::seed_from_u64(seed);
    let part_end = |part: u64| operations.saturating_mul(part).div_ceil(kills + 1).max(1);
    (1..=kills)
        .map(|part| {
            let (begin, end) = (part_end(part - 1), part_end(part));
            // In the middle of the part, so that there is work left when the worker is hit.
            let quarter = (end - begin) / 4;
            Kill {
                settled_min: random.random_range(begin + quarter..=end - quarter),
                pause: Duration::from_millis(random.random_range(0..=PAUSE_MS_MAX)),
                sent_max: end,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_its_crashes() {
        for operations in [1, 2, 3, 7, 100, 3_000, 20_001, 1_000_000] {
            let kills = plan(1, operations);
            assert!(kills.len() >= 3, "{operations}");
            for kill in &kills {
                // Otherwise the feed and the kill would wait for each other.
                assert!(kill.settled_min <= kill.sent_max, "{operations}: {kill:?}");
                assert!(
                    (1..=operations).contains(&kill.sent_max),
                    "{operations}: {kill:?}"
                );
            }
            assert!(kills.is_sorted_by_key(|kill| (kill.sent_max, kill.settled_min)));
        }
        assert_eq!(plan(1, 100_000).len(), 5);
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(plan(1, 100_000), plan(1, 100_000));
        assert_ne!(plan(1, 100_000), plan(2, 100_000));
    }
}
