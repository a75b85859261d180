//! The decision after an attempt: where the task goes from *running*. Pure: the clock and the
//! randomness are given.
//!
//! ```text
//! scheduled ─► ready ─► running ─┬─► done
//!     ▲          ▲               ├─► scheduled (another try, after a pause)
//!     │          └── returned ───┤
//!     └──────────────────────────┤
//!                                ├─► dead        (no try is left, or none makes sense)
//!                                ├─► cancelled
//!                                └─► unknown     (it may have had its effect)
//! ```
//!
//! The runner asks here once per attempt and the store carries the answer out in one atomic step,
//! if the attempt's fencing token is still the task's. It guarantees that a task whose rules say
//! `park` is never tried again after an attempt whose effect nobody knows. If the process dies before
//! the store has the answer, the attempt counts as lost, and the store decides by the same rules.
//! The whole machine is in `docs/state-machines.md`.

use std::fmt;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::failure::Advice;

/// What is done after an attempt of which nobody knows whether it had its effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknown {
    /// It is tried again as after any failure: for tasks whose effect may happen twice, or that fence
    /// it.
    #[default]
    Retry,
    /// The task is parked until a person, or a program that asks the other side, resolves it.
    Park,
}

/// What a task's declaration says about the end of its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How often it is tried again after its first attempt.
    pub max_retries: u32,
    /// The pauses before.
    pub backoff: Backoff,
    /// From its enqueuing on; older, it is not tried any more.
    pub max_age: Option<Duration>,
    /// After a time limit, a panic or a death.
    pub on_unknown: OnUnknown,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The function returned `Ok`.
    Done,
    /// The function returned an error, with what it advises.
    Failed(Advice),
    /// The declaration's `retry_when` says that the error is none to try again after.
    NotRetryable,
    /// The time limit was over: the function's future was dropped wherever it was.
    TimedOut,
    /// The function panicked.
    Panicked,
    /// Someone asked for its end while it ran: its future was dropped.
    Cancelled,
    /// It was not begun before the worker's shutdown.
    Returned,
    /// The worker's shutdown could not wait for its end: its future was dropped wherever it was.
    CutShort,
    /// Another attempt holds the task: this one was cut, and nothing is said of it.
    Lost,
    /// It was not begun since it was too old.
    TooOld,
    /// It was not begun, and never can be here: its arguments can't be read.
    Unreadable,
    /// It was not begun: this worker doesn't know its name. Another version of the program may.
    Unregistered,
}

/// Where the task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// To *done*.
    Done,
    /// To *scheduled*, after this pause; the attempt counts.
    Retry(Duration),
    /// To *dead*.
    Dead(Death),
    /// To *cancelled*.
    Cancelled,
    /// To *unknown*.
    Unknown,
    /// Back to *ready*; the attempt doesn't count.
    Returned,
}

/// Why a task is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Its last retry has failed.
    Exhausted,
    /// Its error, or its `retry_when`, says that trying again makes no sense.
    Permanent,
    /// It is too old, or would be at its next try.
    TooOld,
    /// Its arguments can't be read.
    Unreadable,
    /// No worker that took it knows its name.
    Unregistered,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exhausted => "retries exhausted",
            Self::Permanent => "not retryable",
            Self::TooOld => "too old",
            Self::Unreadable => "arguments unreadable",
            Self::Unregistered => "task not registered",
        })
    }
}

/// How often a task of an unknown name is offered again, so that a new version of the program can be
/// rolled out while workers of the former one take its tasks.
pub const UNREGISTERED_RETRIES: u32 = 10;
const UNREGISTERED_BACKOFF: Backoff = Backoff {
    min: Duration::from_secs(1),
    max: Duration::from_secs(60),
};

/// Says where a task goes after its `attempt`-th attempt (from 1). `age` is counted from its
/// enqueuing, `chance` is random, from 0 to 1.
#[must_use]
pub fn decide(
    ending: Ending,
    rules: &Rules,
    attempt: u32,
    age: Duration,
    chance: f64,
) -> Transition {
    let retry = |pause: Duration| {
        if attempt > rules.max_retries {
            Transition::Dead(Death::Exhausted)
        } else if rules.max_age.is_some_and(|max| age + pause > max) {
            Transition::Dead(Death::TooOld)
        } else {
            Transition::Retry(pause)
        }
    };
    let pause = rules.backoff.pause(attempt, chance);
    let unknown = || match rules.on_unknown {
        OnUnknown::Park => Transition::Unknown,
        OnUnknown::Retry => retry(pause),
    };
    match ending {
        Ending::Done => Transition::Done,
        Ending::Failed(Advice::Default) => retry(pause),
        Ending::Failed(Advice::RetryAfter(delay)) => retry(delay),
        Ending::Failed(Advice::Permanent) | Ending::NotRetryable => {
            Transition::Dead(Death::Permanent)
        }
        // The function itself says so, whatever is declared.
        Ending::Failed(Advice::Unknown) => Transition::Unknown,
        Ending::TimedOut | Ending::Panicked => unknown(),
        Ending::CutShort if rules.on_unknown == OnUnknown::Park => Transition::Unknown,
        Ending::Cancelled => Transition::Cancelled,
        Ending::CutShort | Ending::Returned | Ending::Lost => Transition::Returned,
        Ending::TooOld => Transition::Dead(Death::TooOld),
        Ending::Unreadable => Transition::Dead(Death::Unreadable),
        Ending::Unregistered if attempt > UNREGISTERED_RETRIES => {
            Transition::Dead(Death::Unregistered)
        }
        Ending::Unregistered => Transition::Retry(UNREGISTERED_BACKOFF.pause(attempt, chance)),
    }
}

#[cfg(test)]
mod tests;
