//! A worker: takes messages out of Dramatiq's queues, and calls their actors.
//!
//! ```text
//! for each queue: arrivals ─► intake ─► backlog (by priority) ─► calls ─► settle
//!                 arrivals ─► delays (file, promote) ─► queue
//! for the process: beats; recovery of what dead brokers had in hand
//! ```
//!
//! In the order of the flow:
//!
//! * `arrivals` tells when there may be something in a list,
//! * `intake` fetches, and makes dead letters of what can't be decoded,
//! * `backlog` holds what is in hand and has not begun, the most urgent first,
//! * `calls` calls actors, and settles what comes of it,
//! * `delays` moves messages when they are due,
//! * `upkeep` beats and recovers.
//!
//! It guarantees that a message is in the worker's hands, on the server, until all that follows from
//! it is there as well. If the process dies, what was in its hands goes back to its queue when its
//! last beat is too old, and is worked on again.

mod arrivals;
mod backlog;
mod calls;
mod delays;
mod intake;
mod upkeep;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tidegate_store::dramatiq::{Broker, QueueName, Settlement};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::backlog::Backlog;
use crate::actor::Actors;
use crate::outcome::Circumstances;
use crate::results::ResultKeys;

/// The first and the longest pause after an error of the server.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How a worker works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerOptions {
    /// How many calls run at once.
    pub concurrency: usize,
    /// How many messages it has in hand at once, those that run among them.
    pub prefetch: usize,
    /// How long it waits for running calls when it is to stop; what still runs then is stopped, and
    /// its messages go back to their queues.
    pub grace: Duration,
    /// How the keys of results are made.
    pub result_keys: ResultKeys,
    /// How long a group's barrier is kept after each member.
    pub barrier_lifetime: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            concurrency: 64,
            prefetch: 256,
            grace: Duration::from_secs(30),
            result_keys: ResultKeys::default(),
            barrier_lifetime: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// A worker of some queues.
#[derive(Debug)]
pub struct Worker {
    broker: Arc<Broker>,
    actors: Actors,
    queues: Vec<QueueName>,
    options: WorkerOptions,
}

/// What all parts of a worker know.
struct Shared {
    broker: Arc<Broker>,
    actors: Actors,
    options: WorkerOptions,
    backlog: Backlog,
    /// One permit for each message in hand.
    room: Arc<Semaphore>,
    /// Nothing more is begun.
    stop: CancellationToken,
    /// What runs is to end at once.
    abort: CancellationToken,
}

impl Worker {
    /// A worker of all queues of these actors.
    #[must_use]
    pub fn new(broker: Arc<Broker>, actors: Actors, options: WorkerOptions) -> Self {
        let queues = actors.queues();
        Self {
            broker,
            actors,
            queues,
            options,
        }
    }

    /// This worker, on these queues only.
    #[must_use]
    pub fn queues(mut self, queues: Vec<QueueName>) -> Self {
        self.queues = queues;
        self
    }

    /// Works until `stop` ends, and then until nothing is in its hands but delayed messages. While the
    /// server is away it waits for it.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self {
            broker,
            actors,
            queues,
            options,
        } = self;
        let prefetch = options.prefetch.max(options.concurrency).max(1);
        let grace = options.grace;
        let shared = Arc::new(Shared {
            broker,
            actors,
            options,
            backlog: Backlog::default(),
            room: Arc::new(Semaphore::new(prefetch.min(Semaphore::MAX_PERMITS))),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
        });
        let tracker = TaskTracker::new();
        let ended = CancellationToken::new();
        // Whoever gives this future up ends the tasks as well.
        let _guards = [&shared.stop, &shared.abort, &ended].map(|it| it.clone().drop_guard());
        let upkeep = TaskTracker::new();
        upkeep.spawn(
            ended
                .clone()
                .run_until_cancelled_owned(upkeep::beat(Arc::clone(&shared))),
        );
        let recovery = upkeep::recover(Arc::clone(&shared), queues.clone());
        tracker.spawn(shared.stop.clone().run_until_cancelled_owned(recovery));
        for queue in queues {
            tracker.spawn(intake::run(Arc::clone(&shared), queue.clone()));
            tracker.spawn(delays::run(Arc::clone(&shared), queue));
        }
        tracker.spawn(calls::run(Arc::clone(&shared)));
        tracker.close();
        stop.await;
        shared.stop.cancel();
        if timeout(grace, tracker.wait()).await.is_err() {
            shared.abort.cancel();
            tracker.wait().await;
        }
        // An intake may have brought something after the calls had heard of the stop.
        calls::give_back_all(&shared).await;
        ended.cancel();
        upkeep.close();
        upkeep.wait().await;
    }
}

impl Shared {
    fn circumstances(&self) -> Circumstances<'_> {
        Circumstances {
            actors: &self.actors,
            result_keys: &self.options.result_keys,
            barrier_lifetime: self.options.barrier_lifetime,
            now_ms: now_ms(),
            chance: rand::random(),
        }
    }

    /// Settles, and asks again while the server is away; asking twice does it once. After the
    /// grace of a stop it gives up: what is in hand goes back when the beats have ended.
    async fn settle(&self, settlement: Settlement) {
        let mut pause = Pause::default();
        loop {
            match self.broker.settle(&settlement).await {
                Ok(true) => return,
                Ok(false) => {
                    // After an answer that was lost this is no surprise; else somebody has taken
                    // this worker for dead, and the message is worked on again.
                    tracing::warn!(id = %String::from_utf8_lossy(&settlement.id),
                        queue = %settlement.queue, "the message was no longer in this worker's hands");
                    return;
                }
                Err(error) if error.is_transient() && !self.abort.is_cancelled() => {
                    pause.after(&error).await;
                }
                Err(error) => {
                    tracing::error!(%error, queue = %settlement.queue,
                        "a message could not be settled; it goes back when the beats have ended");
                    return;
                }
            }
        }
    }
}

/// Pauses that grow while a server is away.
#[derive(Default)]
struct Pause(Option<Duration>);

impl Pause {
    /// Says once that there is an error, and pauses.
    async fn after(&mut self, error: &tidegate_store::Error) {
        let pause = match self.0 {
            None => {
                tracing::warn!(%error, "Dramatiq's queues can't be reached; trying again");
                PAUSE_MIN
            }
            Some(last) => (2 * last).min(PAUSE_MAX),
        };
        self.0 = Some(pause);
        sleep(pause).await;
    }

    /// There is no error any more.
    fn is_over(&mut self) {
        self.0 = None;
    }
}

/// The time, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
