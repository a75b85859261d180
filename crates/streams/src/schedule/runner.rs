//! The life of one schedule in one worker: it sleeps until something is due, keeps how far it is,
//! and starts the runs.
//!
//! ```text
//! clock ─► Plan ─ starting ─► runs, each a task ─► ended ─► Plan ─ settled ─► last_runs
//! ```
//!
//! One task owns the plan and its runs. A run that fails or panics is told in the log, and the
//! schedule goes on. While the store is away, runs wait that have to be kept before they start,
//! and no other schedule waits with them. If the process dies here, the next leader goes on from
//! what was kept; see [`Missed`](super::Missed).

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use tidegate_store::{Clock, Lease, Store};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::Schedule;
use super::job::ScheduledRun;
use super::last_runs;
use super::plan::{LATE_MAX, Occurrence, Plan};
use crate::state::StateMap;
use crate::{Error, Result};

/// The longest sleep: a clock that is set meanwhile is noticed after it.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// The pause before a store that is away is asked again.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// The leadership under which a schedule runs.
#[derive(Clone, Debug)]
pub(super) struct Tenure {
    pub(super) lease: Lease,
    pub(super) store: Arc<dyn Store>,
    /// What former leaders have kept, by the schedule's name.
    pub(super) last_runs: Arc<BTreeMap<String, Timestamp>>,
}

/// What all schedules of a worker share.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) state: Arc<StateMap>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Surroundings {
    pub(super) fn now(&self) -> Timestamp {
        let now_ms = i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::MAX)
    }
}

/// How a schedule is told to end.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    /// Start nothing more, and end with the last run.
    pub(super) stop: CancellationToken,
    /// End now; what runs is cut short.
    pub(super) cancel: CancellationToken,
}

/// Why a schedule has ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Told,
    LeaseLost,
}

pub(super) struct Runner {
    schedule: Arc<Schedule>,
    tenure: Option<Tenure>,
    surroundings: Surroundings,
    ending: Ending,
    plan: Plan,
    kept: Option<Timestamp>,
    runs: JoinSet<Timestamp>,
}

/// Runs a schedule until it is told to end or the leadership is lost.
///
/// # Errors
/// What the store refuses and time won't mend.
pub(super) async fn run(
    schedule: Arc<Schedule>,
    tenure: Option<Tenure>,
    surroundings: Surroundings,
    ending: Ending,
) -> Result<Ended> {
    let cancel = ending.cancel.clone();
    let kept = tenure
        .as_ref()
        .and_then(|tenure| tenure.last_runs.get(&*schedule.name).copied());
    let plan = Plan::new(
        schedule.when.clone(),
        schedule.overlap,
        schedule.missed,
        kept,
        surroundings.now(),
    );
    let mut runner = Runner {
        schedule,
        tenure,
        surroundings,
        ending,
        plan,
        kept,
        runs: JoinSet::new(),
    };
    let ended = tokio::select! {
        biased;
        () = cancel.cancelled() => Ok(Ended::Told),
        ended = runner.go_on() => ended,
    };
    // Nobody else may lead before the runs have really stopped.
    runner.runs.shutdown().await;
    ended
}

impl Runner {
    async fn go_on(&mut self) -> Result<Ended> {
        loop {
            let stopping = self.ending.stop.is_cancelled();
            let starting = if stopping {
                Vec::new()
            } else {
                self.plan.advance(self.surroundings.now())
            };
            if !self.keep().await? {
                return Ok(Ended::LeaseLost);
            }
            for occurrence in starting {
                self.start(occurrence);
            }
            if stopping && self.runs.is_empty() {
                return Ok(Ended::Told);
            }
            let pause = self.pause();
            tokio::select! {
                Some(ended) = self.runs.join_next() => {
                    // A run is never aborted and doesn't panic, so that there is always an answer.
                    if let Ok(planned_at) = ended {
                        self.plan.ended(planned_at);
                    }
                }
                () = self.ending.stop.cancelled(), if !stopping => {}
                () = sleep(pause), if !stopping => {}
            }
        }
    }

    fn pause(&self) -> Duration {
        let Some(wake_at) = self.plan.wake_at() else {
            return SLEEP_MAX;
        };
        let pause = wake_at.duration_since(self.surroundings.now());
        // A negative pause is none.
        Duration::try_from(pause).unwrap_or_default().min(SLEEP_MAX)
    }

    /// Keeps how far the schedule is, if it is a leader's. Returns false when the leadership is
    /// lost.
    async fn keep(&mut self) -> Result<bool> {
        let Some(tenure) = &self.tenure else {
            return Ok(true);
        };
        let settled = self.plan.settled();
        if self.kept == Some(settled) {
            return Ok(true);
        }
        let name = &self.schedule.name;
        loop {
            match last_runs::keep(&*tenure.store, &tenure.lease, name, settled).await {
                Ok(()) => {
                    self.kept = Some(settled);
                    return Ok(true);
                }
                Err(error) => {
                    if !outlasts(error)? {
                        return Ok(false);
                    }
                }
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    fn start(&mut self, occurrence: Occurrence) {
        let Occurrence { planned_at, missed } = occurrence;
        let late = self.surroundings.now().duration_since(planned_at) > LATE_MAX;
        if late && self.plan.settles_first() {
            warn!(schedule = %self.schedule.name, %planned_at, "left out: the store was away");
            self.plan.ended(planned_at);
            return;
        }
        let run = ScheduledRun {
            name: self.schedule.name.clone(),
            planned_at,
            missed,
            lease: self.tenure.as_ref().map(|tenure| tenure.lease.clone()),
            cancelled: self.ending.cancel.child_token(),
        };
        let (schedule, state) = (self.schedule.clone(), self.surroundings.state.clone());
        self.runs.spawn(async move {
            perform(&schedule, &run, &state).await;
            planned_at
        });
    }
}

/// One run. Whatever becomes of it is told here, once.
async fn perform(schedule: &Schedule, run: &ScheduledRun, state: &StateMap) {
    let ScheduledRun {
        name,
        planned_at,
        missed,
        ..
    } = run;
    debug!(schedule = %name, %planned_at, missed, "runs");
    // The function itself may panic before it has made its future.
    let running = AssertUnwindSafe(async { schedule.job.call(run, state)?.await });
    match running.catch_unwind().await {
        Ok(Ok(())) => debug!(schedule = %name, %planned_at, "ended"),
        Ok(Err(failure)) => {
            error!(schedule = %name, %planned_at, %failure, "a scheduled run failed");
        }
        Err(_) => error!(schedule = %name, %planned_at, "a scheduled run panicked"),
    }
}

/// Whether to ask again: not when the leadership is lost.
pub(super) fn outlasts(error: Error) -> Result<bool> {
    match error {
        Error::Store(tidegate_store::Error::LeaseLost { .. }) => Ok(false),
        Error::Store(store) if store.is_transient() => Ok(true),
        other => Err(other),
    }
}
