//! Takes tasks as far as there is room, and sleeps exactly until there may be more.
//!
//! ```text
//! room? ─► the next hungry queue ─► take ─► spawn an attempt for each
//!   │                └── none is hungry: wait for news, or until something is due
//!   └── none: until an attempt ends
//! ```
//!
//! A queue is hungry until a take says that there is no more, and again after news. Queues take
//! turns. While the store is away it asks again with growing pauses. What a take whose answer was lost
//! has put into these hands is taken back before the next one. If the process dies after a take, what
//! was taken is recovered by others.

use std::sync::Arc;
use std::time::Duration;

use tidegate_store::WorkerId;
use tidegate_store::task::{Fence, Limits, QueueName, Take};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::attempt::Executor;
use crate::counts::Counts;
use crate::prefetch;
use crate::{Error, Result};

/// The most tasks of one take.
const TAKE_MAX: usize = 512;
/// Without news each queue is looked at this often, for what nobody told of.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A command whose connection was cut can reach the store late, when the take after it has been answered.
const TAKE_BACK_EVERY: Duration = Duration::from_secs(30);
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What the fetcher knows of a queue.
#[derive(Debug)]
pub(crate) struct Source {
    limits: Limits,
    is_hungry: bool,
    /// When there may be more without any news.
    look_at: Option<Instant>,
    /// The largest fence that a take has told of.
    known: Fence,
    /// When it is asked whether the store gave anything that no take has told of: at once after a
    /// take that failed, whose answer may be lost, and else now and then.
    take_back_at: Instant,
}

impl Source {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            is_hungry: true,
            look_at: None,
            known: Fence::default(),
            take_back_at: Instant::now() + TAKE_BACK_EVERY,
        }
    }

    /// A task that is taken ahead uses up a limit.
    fn is_limited(&self) -> bool {
        self.limits != Limits::default()
    }
}

/// The one who takes.
pub(crate) struct Fetcher {
    pub(crate) worker: WorkerId,
    pub(crate) life: Duration,
    pub(crate) concurrency: usize,
    pub(crate) prefetch_max: usize,
    pub(crate) queues: Vec<QueueName>,
    pub(crate) sources: Vec<Source>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) attempts: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Fetcher {
    /// Takes until `stop`.
    ///
    /// # Errors
    /// What the store refuses and time won't mend.
    pub(crate) async fn run(mut self) -> Result<()> {
        let stop = self.stop.clone();
        let interrupt = Arc::new(Notify::new());
        let interrupting = async {
            stop.cancelled().await;
            interrupt.notify_one();
            // A wait that begins just now misses no interrupt: the permit is kept for it.
        };
        let news = Arc::clone(&interrupt);
        let (fetched, ()) = tokio::join!(
            async {
                let fetched = self.fetch(&news).await;
                self.stop.cancel();
                fetched
            },
            interrupting
        );
        fetched
    }

    async fn fetch(&mut self, interrupt: &Notify) -> Result<()> {
        let mut turn = 0;
        let mut pause = PAUSE_MIN;
        while !self.stop.is_cancelled() {
            let Some(room) = self.room() else {
                tokio::select! {
                    () = self.executor.in_hand.until_one_leaves() => {}
                    () = self.stop.cancelled() => {}
                }
                continue;
            };
            self.look_at_the_clock();
            let count = self.sources.len();
            let hungry = (turn..turn + count).map(|it| it % count);
            let mut hungry =
                hungry.filter(|it| self.sources.get(*it).is_some_and(|it| it.is_hungry));
            let done = match hungry.next() {
                Some(queue) => {
                    turn = queue + 1;
                    self.take(queue, room).await
                }
                None => self.wait(interrupt).await,
            };
            match done {
                Ok(()) => pause = PAUSE_MIN,
                Err(error) if error.is_transient() => {
                    if pause == PAUSE_MIN {
                        warn!(%error, "the store is away; no tasks are taken");
                    }
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = self.stop.cancelled() => {}
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(error) => return Err(Error::Store(error)),
            }
        }
        Ok(())
    }

    /// For how many tasks there is room; none where a take would not be worth it.
    fn room(&self) -> Option<usize> {
        let in_hand = self.executor.in_hand.count();
        let mean = self.executor.counts.mean();
        let most = prefetch::in_hand_max(self.concurrency, self.prefetch_max, mean);
        let room = most.saturating_sub(in_hand);
        // With enough taken ahead, fewer and larger takes cost the store less.
        let worth_it = ((most - self.concurrency) / 4).max(1);
        (room >= worth_it).then_some(room)
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        for source in &mut self.sources {
            if source.look_at.is_some_and(|it| it <= now) {
                source.is_hungry = true;
                source.look_at = None;
            }
        }
    }

    async fn take(&mut self, queue: usize, room: usize) -> tidegate_store::Result<()> {
        let (Some(name), Some(source)) = (self.queues.get(queue), self.sources.get_mut(queue))
        else {
            return Ok(());
        };
        let store = Arc::clone(self.executor.client.store());
        if source.take_back_at <= Instant::now() {
            let back = store.take_back(name, self.worker, source.known).await?;
            if back > 0 {
                info!(queue = %name, tasks = back, "the answer of a take was lost; taken back");
            }
            source.take_back_at = Instant::now() + TAKE_BACK_EVERY;
        }
        let in_hand = self.executor.in_hand.count();
        let places = self.concurrency.saturating_sub(in_hand).max(1);
        // Of a queue with limits nothing is taken ahead: it would use them up.
        let most = if source.is_limited() { places } else { room };
        let limits = source.limits;
        let taken = store
            .take(name, self.worker, most.min(TAKE_MAX), &limits)
            .await;
        let Take {
            tasks,
            has_more,
            next_in,
        } = match taken {
            Err(tidegate_store::Error::WorkerLost { .. }) => {
                info!(queue = %name, worker = %self.worker, "taken for dead; alive again");
                store.beat(name, self.worker, self.life).await?;
                return Ok(());
            }
            Err(error) => {
                source.take_back_at = Instant::now();
                return Err(error);
            }
            Ok(taken) => taken,
        };
        if let Some(known) = tasks.iter().map(|it| it.fence).max() {
            source.known = source.known.max(known);
        }
        source.is_hungry = has_more;
        source.look_at =
            (!has_more).then(|| Instant::now() + next_in.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN));
        Counts::add(&self.executor.counts.taken, tasks.len());
        let attempts = tasks.iter().map(|task| (task.id, task.fence));
        let held = self.executor.in_hand.enter(queue, attempts);
        for (taken, held) in tasks.into_iter().zip(held) {
            let executor = Arc::clone(&self.executor);
            self.attempts.spawn(executor.attempt(queue, taken, held));
        }
        Ok(())
    }

    async fn wait(&mut self, interrupt: &Notify) -> tidegate_store::Result<()> {
        let now = Instant::now();
        let look_at = self.sources.iter().filter_map(|it| it.look_at).min();
        let timeout = look_at.map_or(LOOK_AGAIN, |it| it.saturating_duration_since(now));
        let store = self.executor.client.store();
        let news = store.wait(&self.queues, timeout, interrupt).await?;
        for queue in news {
            if let Some(source) = self.sources.get_mut(queue) {
                source.is_hungry = true;
            }
        }
        Ok(())
    }
}
