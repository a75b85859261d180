//! Which times of a schedule are to be run now. Pure: the clock is given.
//!
//! Every worker asks here with what the store knows of the schedule, and tries each tick; the store
//! takes the first who tries. Nothing is kept here.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidegate_streams::schedule::CATCH_UP_MAX;
use tidegate_streams::{Missed, Overlap, When};

use crate::options::{TaskOptions, Times};
use crate::{Error, Result};

/// Up to here a tick is only late, and runs; later it was missed, and the schedule's policy decides.
pub const LATE_MAX: Duration = Duration::from_secs(5);

/// The times of a task, read.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    when: When,
    pub(crate) overlap: Overlap,
    missed: Missed,
}

impl Schedule {
    /// The schedule of a task, if it has one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for times that can't be read, and an unknown time zone.
    pub(crate) fn of(options: &TaskOptions) -> Result<Option<Self>> {
        let Some(schedule) = options.schedule else {
            return Ok(None);
        };
        let when = match schedule.times {
            Times::Cron {
                expression,
                time_zone,
            } => When::cron(expression, time_zone),
            Times::Every(interval) => Ok(When::Every(interval)),
        };
        let when =
            when.map_err(|error| Error::Invalid(format!("task {}: {error}", options.name)))?;
        Ok(Some(Self {
            when,
            overlap: schedule.overlap,
            missed: schedule.missed,
        }))
    }

    /// The first tick after the last one.
    pub(crate) fn next_after(&self, last: Timestamp) -> Option<Timestamp> {
        self.when.next_after(last)
    }

    /// The ticks after the last one that are to be run now, the oldest first.
    pub(crate) fn due(&self, last: Timestamp, now: Timestamp) -> Vec<Timestamp> {
        let most = match self.missed {
            Missed::RunAll { max } => max.clamp(1, CATCH_UP_MAX),
            Missed::Skip | Missed::RunOnce => CATCH_UP_MAX,
        };
        let late = SignedDuration::try_from(LATE_MAX).unwrap_or(SignedDuration::MAX);
        let since = match self.missed {
            Missed::RunAll { .. } => last,
            // What is older is one run at most: its newest is enough.
            Missed::Skip | Missed::RunOnce => now.checked_sub(late).map_or(last, |it| it.max(last)),
        };
        let due = self.when_newest(since, last, now, most as usize);
        if due.is_empty() && self.missed == Missed::RunOnce {
            return self.when.newest(last, now, 1);
        }
        due
    }

    /// The newest ticks after `since`, of those that are counted from `last`.
    fn when_newest(
        &self,
        since: Timestamp,
        last: Timestamp,
        now: Timestamp,
        count: usize,
    ) -> Vec<Timestamp> {
        let newest = self.when.newest(last, now, count).into_iter();
        newest.filter(|tick| *tick > since).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ScheduleOptions;
    use proptest::prelude::*;

    fn schedule(missed: Missed) -> Schedule {
        let options = TaskOptions {
            schedule: Some(ScheduleOptions {
                times: Times::Cron {
                    expression: "*/10 * * * * *",
                    time_zone: "UTC",
                },
                overlap: Overlap::Skip,
                missed,
            }),
            ..TaskOptions::UNDECLARED
        };
        Schedule::of(&options).expect("valid").expect("there")
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in the calendar")
    }

    #[test]
    fn what_nobody_could_run_is_left_out_run_once_or_run_each() {
        let (last, now) = (second(1_000), second(1_038));
        assert!(schedule(Missed::Skip).due(last, now).is_empty());
        assert_eq!(schedule(Missed::RunOnce).due(last, now), [second(1_030)]);
        let all = schedule(Missed::RunAll { max: 2 }).due(last, now);
        assert_eq!(all, [second(1_020), second(1_030)]);
    }

    #[test]
    fn what_is_only_late_runs_whatever_the_policy() {
        for missed in [Missed::Skip, Missed::RunOnce, Missed::RunAll { max: 9 }] {
            let due = schedule(missed).due(second(1_000), second(1_012));
            assert_eq!(due, [second(1_010)], "{missed:?}");
        }
    }

    #[test]
    fn an_unknown_time_zone_is_refused() {
        let options = TaskOptions {
            schedule: Some(ScheduleOptions {
                times: Times::Cron {
                    expression: "* * * * *",
                    time_zone: "Europe/Atlantis",
                },
                overlap: Overlap::Skip,
                missed: Missed::Skip,
            }),
            ..TaskOptions::UNDECLARED
        };
        let refusal = Schedule::of(&options).unwrap_err().to_string();
        assert!(refusal.contains("Europe/Atlantis"), "{refusal}");
    }

    proptest! {
        #[test]
        fn whoever_asks_again_after_each_tick_gets_no_tick_twice(
            start in 1_600_000_000_i64..1_700_000_000, steps in prop::collection::vec(0_i64..60, 1..20),
            which in 0_usize..3,
        ) {
            let missed = [Missed::Skip, Missed::RunOnce, Missed::RunAll { max: 5 }][which];
            let schedule = schedule(missed);
            let (mut last, mut now) = (second(start), second(start));
            let mut all = Vec::new();
            for step in steps {
                now = now.checked_add(SignedDuration::from_secs(step)).expect("in the calendar");
                for tick in schedule.due(last, now) {
                    prop_assert!(tick > last && tick <= now);
                    last = tick;
                    all.push(tick);
                }
            }
            let mut sorted = all.clone();
            sorted.dedup();
            prop_assert_eq!(all, sorted);
        }
    }
}
