//! What bounds the tasks that are taken, across all workers of a queue.

use std::time::Duration;

use crate::{Error, Result};

/// Limits of a queue, as the worker that takes has them. Workers of one queue should all have the
/// same; each take goes by its own.
///
/// A task counts as running from the moment it is taken: a worker that takes ahead of what it can
/// run uses up the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// How many tasks of the queue run at once.
    pub running_max: Option<u32>,
    /// How many tasks of one limit key run at once.
    pub running_per_key_max: Option<u32>,
    /// How often tasks of the queue begin.
    pub rate: Option<Rate>,
    /// How often tasks of one limit key begin.
    pub rate_per_key: Option<Rate>,
}

/// A token bucket: it holds up to `burst` tokens, gets `count` of them evenly spread over each
/// `per`, and gives one to each task that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many tasks begin in `per`; at least 1.
    pub count: u32,
    /// In what time; at least a millisecond.
    pub per: Duration,
    /// How many may begin at once after a pause; at least 1.
    pub burst: u32,
}

/// The longest time over which a rate counts.
pub const RATE_PER_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

impl Limits {
    /// Looks whether something could ever be taken under these limits.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a limit of none and a rate that can't be counted.
    pub fn check(&self) -> Result<()> {
        if self.running_max == Some(0) || self.running_per_key_max == Some(0) {
            return Err(Error::Invalid(
                "a limit of 0 running tasks lets none begin; pause the queue instead".into(),
            ));
        }
        for rate in [self.rate, self.rate_per_key].into_iter().flatten() {
            let per_is_good = (Duration::from_millis(1)..=RATE_PER_MAX).contains(&rate.per);
            if rate.count == 0 || rate.burst == 0 || !per_is_good {
                return Err(Error::Invalid(format!(
                    "a rate of {} tasks in {:?}, at most {} at once: each must be at least 1, and \
                     the time between a millisecond and a year",
                    rate.count, rate.per, rate.burst
                )));
            }
        }
        Ok(())
    }
}
