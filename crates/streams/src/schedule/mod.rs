//! Schedules: functions that run at their times, on every worker or on the one that leads.
//!
//! ```text
//! Schedule ─► Scheduler ─┬─ of every worker ─────────────► runner ─► the user's function
//!                        └─ of the leader ─► leadership ─► runner ─► …
//! ```
//!
//! It stands beside the processors in a worker. In the order of the flow:
//!
//! * `when` and `cron` say at which moments a schedule happens,
//! * `plan` decides what starts, waits and is left out,
//! * `last_runs` is where a leader keeps how far it is,
//! * `job` is the user's function,
//! * `runner` is the life of one schedule,
//! * `leader` says which worker it is.
//!
//! A schedule of the leader runs at most once per occurrence as long as no worker dies in the
//! middle of it; what happens then, and what happens to occurrences that nobody could start,
//! [`Missed`] says. If the process dies, another worker leads when the lease has ended.

mod cron;
mod job;
mod last_runs;
mod leader;
mod plan;
mod runner;
mod when;

use std::any::type_name;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::Arrivals;
use tidegate_store::{Clock, Store, StreamName, SystemClock, WorkerId};
use tokio_util::sync::CancellationToken;

pub use self::cron::Cron;
use self::job::{Erased, Job};
pub use self::job::{FromRun, ScheduledFn, ScheduledRun};
pub use self::last_runs::last_runs;
use self::leader::Leader;
pub use self::plan::{CATCH_UP_MAX, LATE_MAX, Missed, Overlap, RUNS_MAX};
use self::runner::{Ending, Surroundings};
pub use self::when::{INTERVAL_MAX, INTERVAL_MIN, When};
use crate::state::StateMap;
use crate::{Error, Result};

/// The most bytes a schedule's name may have.
pub const NAME_BYTES_MAX: usize = 100;
/// The most schedules of one worker.
pub const SCHEDULES_MAX: usize = 1000;

/// On which workers a schedule runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// On each of them, with its own clock, counted from its start. Nothing is kept.
    #[default]
    EveryWorker,
    /// On the one that leads.
    Leader,
}

/// A function and its times.
#[derive(Clone)]
pub struct Schedule {
    name: Arc<str>,
    when: When,
    place: Place,
    overlap: Overlap,
    missed: Missed,
    job: Arc<dyn Job>,
}

impl Schedule {
    /// A schedule that runs `function` on every worker, named after the function.
    ///
    /// # Examples
    /// ```
    /// use tidegate_streams::schedule::{Schedule, ScheduledRun, When};
    ///
    /// async fn report(run: ScheduledRun) -> Result<(), std::io::Error> {
    ///     println!("the report of {}", run.planned_at);
    ///     Ok(())
    /// }
    ///
    /// let schedule = Schedule::new(When::cron("30 2 * * *", "Europe/Berlin")?, report).on_leader();
    /// assert_eq!(schedule.name(), "report");
    /// # Ok::<(), tidegate_streams::Error>(())
    /// ```
    #[must_use]
    pub fn new<Function, Args>(when: When, function: Function) -> Self
    where
        Function: ScheduledFn<Args>,
        Args: 'static,
    {
        let path = type_name::<Function>();
        let name = path.rsplit("::").next().unwrap_or(path);
        Self {
            name: name.into(),
            when,
            place: Place::default(),
            overlap: Overlap::default(),
            missed: Missed::default(),
            job: Arc::new(Erased {
                function,
                arguments: PhantomData,
            }),
        }
    }

    /// Another name. A closure needs one; a leader's schedule that gets another name begins anew.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Runs it on the one worker that leads.
    #[must_use]
    pub fn on_leader(mut self) -> Self {
        self.place = Place::Leader;
        self
    }

    /// What happens to an occurrence that finds a former run still under way.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// What happens to occurrences that nobody could start in time.
    #[must_use]
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// On which workers it runs.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    fn check(&self, state: &StateMap) -> Result<()> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        let name = &self.name;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(allowed) {
            return Err(Error::Invalid(format!(
                "schedule {name:?}: name it with 1 to {NAME_BYTES_MAX} letters, digits, '_', '-', \
                 '.' or ':'"
            )));
        }
        if let Missed::RunAll { max } = self.missed
            && !(1..=CATCH_UP_MAX).contains(&max)
        {
            return Err(Error::Invalid(format!(
                "schedule {name:?}: {max} missed runs: use 1 to {CATCH_UP_MAX}"
            )));
        }
        self.when.clone().checked()?;
        self.job.check(state)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("name", &self.name)
            .field("when", &self.when)
            .field("place", &self.place)
            .field("overlap", &self.overlap)
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}

/// Where and how fast a [`Scheduler`] works.
#[derive(Clone, Debug)]
pub struct Options {
    /// The stream whose one partition is the leadership.
    pub leadership: StreamName,
    /// How long a leader that has died still counts as one. It is renewed four times as often.
    pub lease_ttl: Duration,
    /// How long runs have to end at a shutdown, or when the leadership is to be handed over. They
    /// are cut short after that.
    pub grace: Duration,
}

/// All schedules of a worker.
pub struct Scheduler {
    leader: Option<Leader>,
    of_every_worker: Vec<Arc<Schedule>>,
    surroundings: Surroundings,
    grace: Duration,
}

impl Scheduler {
    /// Prepares the schedules; nothing happens before [`run`](Self::run).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a setting out of its bounds, two schedules of one name, and a state
    /// that a function asks for and nobody provides.
    pub fn new(
        store: Arc<dyn Store>,
        worker: WorkerId,
        schedules: Vec<Schedule>,
        state: Arc<StateMap>,
        options: Options,
    ) -> Result<Self> {
        if schedules.len() > SCHEDULES_MAX {
            let given = schedules.len();
            return Err(Error::Invalid(format!(
                "{given} schedules: use at most {SCHEDULES_MAX}"
            )));
        }
        let mut names = BTreeSet::new();
        for schedule in &schedules {
            schedule.check(&state)?;
            if !names.insert(schedule.name.clone()) {
                return Err(Error::Invalid(format!(
                    "two schedules are named {:?}: name one of them",
                    schedule.name
                )));
            }
        }
        let (of_leader, of_every_worker): (Vec<_>, Vec<_>) = schedules
            .into_iter()
            .map(Arc::new)
            .partition(|schedule| schedule.place == Place::Leader);
        let surroundings = Surroundings {
            state,
            clock: Arc::new(SystemClock),
        };
        let leader = (!of_leader.is_empty()).then(|| Leader {
            store,
            stream: options.leadership,
            worker,
            lease_ttl: options.lease_ttl,
            grace: options.grace,
            schedules: of_leader,
            surroundings: surroundings.clone(),
            arrivals: None,
        });
        Ok(Self {
            leader,
            of_every_worker,
            surroundings,
            grace: options.grace,
        })
    }

    /// Lets it hear at once when a leader goes, through the arrivals of the
    /// [worker](crate::Worker::arrivals) beside which it runs. Without, it looks now and then.
    #[must_use]
    pub fn with_arrivals(mut self, arrivals: Arc<Arrivals>) -> Self {
        if let Some(leader) = &mut self.leader {
            leader.arrivals = Some(arrivals);
        }
        self
    }

    /// Another clock than the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        if let Some(leader) = &mut self.leader {
            leader.surroundings.clock = clock.clone();
        }
        self.surroundings.clock = clock;
        self
    }

    /// Runs the schedules until `shutdown`, and then lets the runs under way end within the
    /// grace. Without schedules it ends at once.
    ///
    /// # Errors
    /// What the store refuses and time won't mend. A run that fails is no error here.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let stop = shutdown.child_token();
        let ending = Ending {
            stop: stop.clone(),
            cancel: CancellationToken::new(),
        };
        // Whether it is the shutdown or a failure, when one side ends the other one does as well.
        let of_every_worker = async {
            let (schedules, surroundings) = (&self.of_every_worker, &self.surroundings);
            let ended = leader::run_all(schedules, None, surroundings, &ending, self.grace).await;
            if ended.is_err() {
                stop.cancel();
            }
            ended
        };
        let leading = async {
            let led = match self.leader {
                Some(leader) => leader.run(stop.clone()).await,
                None => return Ok(()),
            };
            stop.cancel();
            led
        };
        let (of_every_worker, led) = tokio::join!(of_every_worker, leading);
        of_every_worker.and(led)
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let led = self.leader.as_ref().map(|leader| &leader.schedules);
        f.debug_struct("Scheduler")
            .field("of_every_worker", &self.of_every_worker)
            .field("of_leader", &led)
            .finish_non_exhaustive()
    }
}
