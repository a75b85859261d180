//! The values of a `#[task(…)]`, as data.
//!
//! The attribute has checked them where they are written. Nothing happens here; if the process
//! dies, there is nothing to lose.

use std::time::Duration;

use tidegate_store::task::Priority;
use tidegate_streams::{BoxError, Missed, Overlap};

use crate::backoff::Backoff;
use crate::state::{OnUnknown, Rules};

/// The longest a task may run unless it is declared otherwise.
pub const TIME_LIMIT: Duration = Duration::from_secs(600);

/// Whether to try again after this error of the task's function.
pub type RetryWhen = fn(&BoxError) -> bool;

/// What a task is declared with.
#[derive(Clone, Copy, Debug)]
pub struct TaskOptions {
    /// Its name, under which workers know it. Tasks that are enqueued carry it.
    pub name: &'static str,
    /// Where it waits, unless it is enqueued elsewhere.
    pub queue: &'static str,
    /// How often it is tried again after its first attempt.
    pub max_retries: u32,
    /// The shortest and the longest pause before.
    pub backoff: (Duration, Duration),
    /// How long an attempt may run; then its future is dropped.
    pub time_limit: Duration,
    /// How long after it was enqueued an attempt may still begin.
    pub max_age: Option<Duration>,
    /// Which of the ready tasks of a queue go first.
    pub priority: Priority,
    /// After a time limit, a panic or a death of the process.
    pub on_unknown: OnUnknown,
    /// How long its result is kept; none to keep none.
    pub result_ttl: Option<Duration>,
    /// How many run at once in a worker; none for as many as the worker runs.
    pub concurrency: Option<u32>,
    /// Which errors are worth another try; all unless given.
    pub retry_when: Option<RetryWhen>,
    /// The times at which it is enqueued by itself.
    pub schedule: Option<ScheduleOptions>,
}

impl TaskOptions {
    /// Of a task that the worker doesn't know.
    pub(crate) const UNDECLARED: Self = Self {
        name: "",
        queue: "default",
        max_retries: 0,
        backoff: (Duration::ZERO, Duration::ZERO),
        time_limit: TIME_LIMIT,
        max_age: None,
        priority: Priority::Normal,
        on_unknown: OnUnknown::Retry,
        result_ttl: None,
        concurrency: None,
        retry_when: None,
        schedule: None,
    };

    /// The part that decides where the task goes after an attempt.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let (min, max) = self.backoff;
        Rules {
            max_retries: self.max_retries,
            backoff: Backoff { min, max },
            max_age: self.max_age,
            on_unknown: self.on_unknown,
        }
    }
}

/// When a task is enqueued by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleOptions {
    /// Its times.
    pub times: Times,
    /// What happens to a time that finds a former run still waiting or under way.
    pub overlap: Overlap,
    /// What happens to times at which no worker was there.
    pub missed: Missed,
}

/// The times of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Those of a cron expression in a time zone.
    Cron {
        /// Five fields, or six with the seconds first.
        expression: &'static str,
        /// Such as `Europe/Berlin`.
        time_zone: &'static str,
    },
    /// Every so often, counted from 1970, so that every process finds the same times.
    Every(Duration),
}
