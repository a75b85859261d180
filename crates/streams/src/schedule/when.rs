//! When a schedule happens: after equal intervals, or at the times of a cron expression. Pure.
//!
//! `plan` asks here which moments have come. Nothing is kept here, so that there is nothing to
//! lose when the process dies.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::cron::Cron;
use crate::{Error, Result};

/// The shortest interval. A shorter one is a loop, not a schedule.
pub const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// The longest interval.
pub const INTERVAL_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// How far back the first search for the newest occurrences goes; each further one goes this many
/// times as far.
const LOOK_BACK_FIRST: SignedDuration = SignedDuration::from_secs(60);
const LOOK_BACK_FACTOR: i32 = 16;

/// When a schedule happens.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Again and again after this long, counted from the start and not from the end of a run.
    Every(Duration),
    /// At the times of a cron expression.
    Cron(Box<Cron>),
}

impl When {
    /// Reads an interval such as `10s`, `5m`, `1h30m` or `250ms`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for any other text, and for an interval outside of [`INTERVAL_MIN`] to
    /// [`INTERVAL_MAX`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use tidegate_streams::schedule::When;
    ///
    /// assert_eq!(When::every("1h30m")?, When::Every(Duration::from_secs(5400)));
    /// assert!(When::every("soon").is_err());
    /// # Ok::<(), tidegate_streams::Error>(())
    /// ```
    pub fn every(text: &str) -> Result<Self> {
        let parsed: SignedDuration = text.parse().map_err(|why| {
            Error::Invalid(format!(
                "the interval {text:?}: {why}; use a text such as 250ms, 10s, 5m or 1h30m"
            ))
        })?;
        let interval = Duration::try_from(parsed).unwrap_or_default();
        Self::Every(interval).checked()
    }

    /// Takes a cron expression and a time zone; see [`Cron::parse`].
    ///
    /// # Errors
    /// [`Error::Invalid`] as there.
    ///
    /// # Examples
    /// ```
    /// use tidegate_streams::schedule::When;
    ///
    /// When::cron("30 2 * * MON-FRI", "Europe/Berlin")?;
    /// # Ok::<(), tidegate_streams::Error>(())
    /// ```
    pub fn cron(expression: &str, time_zone: &str) -> Result<Self> {
        Cron::parse(expression, time_zone).map(|cron| Self::Cron(Box::new(cron)))
    }

    /// Itself, if it is within its bounds.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an interval that isn't.
    pub(super) fn checked(self) -> Result<Self> {
        match &self {
            Self::Every(interval) if !(INTERVAL_MIN..=INTERVAL_MAX).contains(interval) => {
                Err(Error::Invalid(format!(
                    "an interval of {interval:?}: use {INTERVAL_MIN:?} to {INTERVAL_MAX:?}"
                )))
            }
            _ => Ok(self),
        }
    }

    /// The first occurrence after `after`, which is an occurrence itself or the beginning; none
    /// where the calendar ends.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(interval) => after.checked_add(*interval).ok(),
            Self::Cron(cron) => cron.next_after(after),
        }
    }

    /// The newest occurrences after `after` and through `now`, at most `count` of them, the
    /// oldest first. The work doesn't grow with the time between the two.
    #[must_use]
    pub fn newest(&self, after: Timestamp, now: Timestamp, count: usize) -> Vec<Timestamp> {
        match self {
            Self::Every(interval) => newest_interval(*interval, after, now, count),
            Self::Cron(cron) => newest_cron(cron, after, now, count),
        }
    }
}

fn newest_interval(
    interval: Duration,
    after: Timestamp,
    now: Timestamp,
    count: usize,
) -> Vec<Timestamp> {
    let (Ok(passed), Ok(interval)) = (
        u128::try_from(now.as_nanosecond() - after.as_nanosecond()),
        SignedDuration::try_from(interval),
    ) else {
        return Vec::new();
    };
    let Ok(step) = u128::try_from(interval.as_nanos().max(1)) else {
        return Vec::new();
    };
    let newest = passed / step;
    let oldest = newest.saturating_sub(count as u128) + 1;
    (oldest..=newest)
        .filter_map(|n| {
            let offset = i128::try_from(n * step).ok()?;
            Timestamp::from_nanosecond(after.as_nanosecond() + offset).ok()
        })
        .collect()
}

fn newest_cron(cron: &Cron, after: Timestamp, now: Timestamp, count: usize) -> Vec<Timestamp> {
    let mut look_back = LOOK_BACK_FIRST;
    loop {
        let from = now
            .checked_sub(look_back)
            .map_or(after, |from| from.max(after));
        let mut newest = VecDeque::new();
        let mut moment = from;
        while let Some(next) = cron.next_after(moment).filter(|next| *next <= now) {
            if newest.len() == count {
                newest.pop_front();
            }
            newest.push_back(next);
            moment = next;
        }
        if newest.len() == count || from <= after {
            return newest.into();
        }
        look_back = look_back.saturating_mul(LOOK_BACK_FACTOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("within the calendar")
    }

    /// What [`When::newest`] promises, told plainly.
    fn all_between(when: &When, after: Timestamp, now: Timestamp) -> Vec<Timestamp> {
        std::iter::successors(when.next_after(after), |last| when.next_after(*last))
            .take_while(|moment| *moment <= now)
            .collect()
    }

    #[test]
    fn intervals_are_read_from_text() {
        for (text, ms) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
        ] {
            let when = When::every(text).unwrap();
            assert_eq!(when, When::Every(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "10", "soon", "-5s", "0s", "1ms", "9000h"] {
            assert!(When::every(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn the_newest_are_the_last_of_all(
            start in 1_400_000_000_i64..1_900_000_000, length in 0_i64..500_000, count in 1_usize..20,
            which in 0_usize..4,
        ) {
            let when = match which {
                0 => When::every("7m"),
                1 => When::cron("*/13 * * * *", "America/New_York"),
                2 => When::cron("30 2 * * *", "Europe/Berlin"),
                _ => When::cron("0 5 1 1 *", "UTC"),
            }.expect("valid");
            let (after, now) = (second(start), second(start + length));
            let all = all_between(&when, after, now);
            let expected = all.iter().rev().take(count).rev().copied().collect::<Vec<_>>();
            prop_assert_eq!(when.newest(after, now, count), expected);
        }
    }

    #[test]
    fn a_year_of_seconds_is_passed_at_once() {
        let every_second = When::cron("* * * * * *", "UTC").unwrap();
        let (after, now) = (second(1_600_000_000), second(1_631_536_000));
        assert_eq!(
            every_second.newest(after, now, 2),
            [second(1_631_535_999), now]
        );
    }
}
