//! The worker: takes tasks from its queues and runs them.
//!
//! ```text
//!              ┌────────────── room ◄───────────────┐
//! store ─► fetcher ─► an attempt each (spawned) ─► leave ─► finisher of the queue ─► store
//!              ▲            ▲ cut
//!           news (wait)   heart of the queue ─► store       ticker ─► store
//! ```
//!
//! The fetcher is the only one who takes; it owns the room. Each queue has a heart, which gives signs
//! of life, and a finisher; the ticker enqueues what is scheduled. At a shutdown the fetcher stops
//! first, what has not begun is given back, what runs has its time, and is then cut; the hearts beat
//! until the last attempt has ended. If the process dies, its signs of life end, and other workers
//! get what it had in hand.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tidegate_store::WorkerId;
use tidegate_store::task::{Limits, QueueName};
use tidegate_streams::StateMap;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::attempt::{Executor, Runnable};
use crate::client::TaskClient;
use crate::counts::Metrics;
use crate::fetcher::{Fetcher, Source};
use crate::finisher::{FINISH_PENDING_MAX, Finisher};
use crate::heart::Heart;
use crate::in_hand::{Cut, InHand};
pub use crate::prefetch::PREFETCH_MAX;
use crate::task::Registered;
use crate::ticker::Ticker;
use crate::{Error, Result};

/// The most tasks that a worker runs at once.
pub const CONCURRENCY_MAX: usize = 100_000;
/// How many workers may die with a task in hand unless said otherwise.
pub const LOST_MAX: u32 = 5;
/// How long cut attempts have until they are given up: one that blocks its thread can't be dropped.
const CUT_GRACE: Duration = Duration::from_secs(2);
/// How long the last ends may take to be told at a shutdown.
const TELL_GRACE: Duration = Duration::from_secs(10);

/// How a worker works.
#[derive(Clone, Debug)]
pub struct Options {
    /// The queues that it takes from, in whichever app its client has; those of its tasks where
    /// none is named.
    pub queues: Vec<String>,
    /// How many tasks run at once: 1 to [`CONCURRENCY_MAX`].
    pub concurrency: usize,
    /// The most tasks that it takes ahead of what it can run. Fewer are taken where tasks are long,
    /// none from queues with limits.
    pub prefetch_max: usize,
    /// How long it is alive after each sign of life: at least a second.
    pub life: Duration,
    /// How long tasks may go on after a shutdown was asked for; then they are dropped.
    pub grace: Duration,
    /// The limits of queues, by their names. All workers of a queue should have the same.
    pub limits: BTreeMap<String, Limits>,
    /// How many workers may die with a task in hand before it is dead itself, so that one that kills
    /// its workers does not do so for ever: at least 1.
    pub lost_max: u32,
    /// Whether it enqueues what is scheduled.
    pub schedules: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            concurrency: 100,
            prefetch_max: PREFETCH_MAX,
            life: Duration::from_secs(15),
            grace: Duration::from_secs(10),
            limits: BTreeMap::new(),
            lost_max: LOST_MAX,
            schedules: true,
        }
    }
}

impl Options {
    fn check(&self) -> Result<()> {
        let invalid = |why: String| Err(Error::Invalid(why));
        if !(1..=CONCURRENCY_MAX).contains(&self.concurrency) {
            return invalid(format!(
                "a concurrency of {}: use 1 to {CONCURRENCY_MAX}",
                self.concurrency
            ));
        }
        if self.life < Duration::from_secs(1) {
            return invalid(format!("a life of {:?}: use at least a second", self.life));
        }
        if self.lost_max == 0 {
            return invalid("a lost_max of 0: use at least 1".to_owned());
        }
        for limits in self.limits.values() {
            limits.check()?;
        }
        Ok(())
    }
}

/// Runs tasks.
#[derive(Debug)]
pub struct Worker {
    client: TaskClient,
    tasks: Vec<Registered>,
    state: Arc<StateMap>,
    options: Options,
    id: WorkerId,
    metrics: Metrics,
}

impl Worker {
    /// A worker for these tasks; nothing happens before [`run`](Self::run).
    ///
    /// # Errors
    /// [`Error::Invalid`] for an option out of its bounds, two tasks of one name, a schedule that
    /// can't be read, and a state that a function asks for and nobody provides.
    pub fn new(
        client: TaskClient,
        tasks: Vec<Registered>,
        state: Arc<StateMap>,
        options: Options,
    ) -> Result<Self> {
        options.check()?;
        for (place, task) in tasks.iter().enumerate() {
            let name = task.options.name;
            if tasks.iter().take(place).any(|it| it.options.name == name) {
                return Err(Error::Invalid(format!(
                    "two tasks are named {name:?}: name one of them"
                )));
            }
            task.check(&state)?;
            crate::ticks::Schedule::of(&task.options)?;
        }
        Ok(Self {
            client,
            tasks,
            state,
            options,
            id: WorkerId::random(),
            metrics: Metrics::default(),
        })
    }

    /// Which worker it is.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// A handle on what it does.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    fn queues(&self) -> Result<Vec<QueueName>> {
        let mut names: Vec<&str> = self.options.queues.iter().map(String::as_str).collect();
        if names.is_empty() {
            names = self.tasks.iter().map(|it| it.options.queue).collect();
        }
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|it| self.client.queue(it)).collect()
    }

    /// Works until `shutdown`, and then until what runs has ended, or its time has.
    ///
    /// # Errors
    /// What the store refuses and time won't mend. A task that fails is no error here.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let queues = self.queues()?;
        if queues.is_empty() {
            shutdown.cancelled().await;
            return Ok(());
        }
        for layer in self.client.middleware() {
            layer.before_worker_start(self.id);
        }
        let stop = shutdown.child_token();
        let ended = CancellationToken::new();
        let in_hand = Arc::new(InHand::default());
        let mut finishers = JoinSet::new();
        let mut hearts = JoinSet::new();
        let mut senders = Vec::new();
        for (place, queue) in queues.iter().enumerate() {
            let heart = self.heart(place, queue, &in_hand);
            heart.begin().await?;
            hearts.spawn(heart.run(ended.clone()));
            let (sender, ends) = mpsc::channel(FINISH_PENDING_MAX);
            senders.push((queue.clone(), sender));
            let finisher = Finisher {
                store: Arc::clone(self.client.store()),
                queue: queue.clone(),
                counts: Arc::clone(&self.metrics.counts),
                ends,
            };
            finishers.spawn(finisher.run());
        }
        let attempts = TaskTracker::new();
        let executor = Arc::new(self.executor(senders, &in_hand, &stop));
        let fetcher = self.fetcher(&queues, executor, &attempts, &stop);
        let ticker = Ticker::new(&self.client, &self.tasks, &queues, self.options.schedules)?;
        let names: Vec<&str> = queues.iter().map(QueueName::name).collect();
        info!(worker = %self.id, queues = names.join(","), concurrency = self.options.concurrency,
            "working on tasks");

        let ticking = ticker.run(stop.clone());
        let fetching = async {
            let fetched = fetcher.run().await;
            stop.cancel();
            fetched
        };
        let (fetched, ()) = tokio::join!(fetching, ticking);
        self.wind_down(&attempts, &in_hand).await;
        let told = async { while finishers.join_next().await.is_some() {} };
        if timeout(TELL_GRACE, told).await.is_err() {
            warn!("some ends could not be told; other workers get these tasks");
            finishers.abort_all();
        }
        ended.cancel();
        while hearts.join_next().await.is_some() {}
        for queue in &queues {
            if let Err(error) = self.client.store().leave(queue, self.id).await {
                warn!(%queue, %error, "the queue could not be left; it finds out by itself");
            }
        }
        for layer in self.client.middleware() {
            layer.after_worker_shutdown(self.id);
        }
        fetched
    }

    fn heart(&self, place: usize, queue: &QueueName, in_hand: &Arc<InHand>) -> Heart {
        Heart {
            client: self.client.clone(),
            queue: queue.clone(),
            place,
            worker: self.id,
            life: self.options.life,
            in_hand: Arc::clone(in_hand),
            lost_max: self.options.lost_max,
        }
    }

    fn executor(
        &self,
        queues: Vec<(QueueName, mpsc::Sender<tidegate_store::task::Finished>)>,
        in_hand: &Arc<InHand>,
        stop: &CancellationToken,
    ) -> Executor {
        let runnable = |task: &Registered| Runnable {
            task: task.clone(),
            places: task
                .options
                .concurrency
                .map(|places| Semaphore::new(places as usize)),
        };
        let tasks = self.tasks.iter();
        let tasks = tasks.map(|task| (task.options.name.to_owned(), runnable(task)));
        let tasks: HashMap<_, _> = tasks.collect();
        Executor {
            client: self.client.clone(),
            tasks,
            state: Arc::clone(&self.state),
            in_hand: Arc::clone(in_hand),
            counts: Arc::clone(&self.metrics.counts),
            places: Semaphore::new(self.options.concurrency),
            stop: stop.clone(),
            queues,
        }
    }

    fn fetcher(
        &self,
        queues: &[QueueName],
        executor: Arc<Executor>,
        attempts: &TaskTracker,
        stop: &CancellationToken,
    ) -> Fetcher {
        let source = |queue: &QueueName| {
            let limits = self.options.limits.get(queue.name());
            Source::new(limits.copied().unwrap_or_default())
        };
        Fetcher {
            worker: self.id,
            life: self.options.life,
            concurrency: self.options.concurrency,
            prefetch_max: self.options.prefetch_max,
            queues: queues.to_vec(),
            sources: queues.iter().map(source).collect(),
            executor,
            attempts: attempts.clone(),
            stop: stop.clone(),
        }
    }

    /// Lets what runs end in its time, and cuts what doesn't.
    async fn wind_down(&self, attempts: &TaskTracker, in_hand: &InHand) {
        for layer in self.client.middleware() {
            layer.before_worker_shutdown(self.id);
        }
        attempts.close();
        if timeout(self.options.grace, attempts.wait()).await.is_ok() {
            return;
        }
        let left = in_hand.count();
        warn!(
            left,
            "tasks are cut: they did not end within the grace of the shutdown"
        );
        in_hand.cut_all(Cut::Shutdown);
        if timeout(CUT_GRACE, attempts.wait()).await.is_err() {
            let left = in_hand.count();
            warn!(
                left,
                "tasks block their threads and can't be ended; the process has to"
            );
        }
    }
}
