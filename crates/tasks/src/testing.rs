//! Tasks in users' unit tests: without a store, or with one in memory.
//!
//! ```text
//! call ─► one attempt, inline
//! TestTasks ─► a store in memory ─► run_all: until nothing waits any more
//! ```
//!
//! [`run_all`](TestTasks::run_all) is a worker like any other: retries, groups, callbacks and limits are
//! as in production. Only time is short: what waits for its time is due at once. All is gone with the
//! process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tidegate_store::task::{
    Counts, Fence, MemoryTaskStore, OnLost, Page, Priority, State, Taken, TaskId, TaskName,
};
use tidegate_streams::{BoxError, StateMap};
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::client::TaskClient;
use crate::context::TaskContext;
use crate::draft::Header;
use crate::task::{Registered, Task};
use crate::worker::{Options, Worker};

/// The app of tests.
const APP: &str = "test";
/// How often it is looked whether something waits.
const LOOK: Duration = Duration::from_millis(2);
/// How many scheduled tasks are made due at once.
const DUE_AT_ONCE: usize = 500;

/// Calls a task's function once, inline, as its first attempt, and answers with its result.
///
/// # Errors
/// The function's own error; a state that nobody provides.
///
/// # Examples
/// ```ignore
/// let mut state = StateMap::new();
/// state.insert(FakeBank::default());
/// let receipt: Receipt = testing::call(&pay, payment, &state).await?;
/// ```
pub async fn call<T: Task, R: DeserializeOwned>(
    task: &T,
    arguments: T::Arguments,
    state: &StateMap,
) -> Result<R, BoxError> {
    task.check(state)?;
    let options = task.options();
    let client = TaskClient::new(Arc::new(MemoryTaskStore::new()), APP)?;
    let taken = Taken {
        id: TaskId::fresh(),
        name: TaskName::new(options.name)?,
        payload: Bytes::new(),
        options: Bytes::new(),
        attempt: 1,
        lost: 0,
        fence: Fence(1),
        priority: Priority::Normal,
        ordering_key: None,
        limit_key: None,
        tenant: None,
        on_lost: OnLost::Repeat,
        enqueued_at_ms: 0,
        taken_at_ms: 0,
    };
    let queue = client.queue(options.queue)?;
    let cancelled = CancellationToken::new();
    let context = TaskContext::new(queue, &taken, Header::default(), cancelled, client);
    let result = task.call(context, arguments, state).await?;
    let text: &[u8] = if result.is_empty() { b"null" } else { &result };
    Ok(serde_json::from_slice(text)?)
}

/// Tasks over a store in memory.
#[derive(Debug)]
pub struct TestTasks {
    client: TaskClient,
    tasks: Vec<Registered>,
    state: Arc<StateMap>,
    options: Options,
}

impl TestTasks {
    /// Tasks over a store of their own, with the values that they ask for.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error) as for a [`Worker`].
    pub fn new(tasks: Vec<Registered>, state: StateMap) -> Result<Self> {
        let client = TaskClient::new(Arc::new(MemoryTaskStore::new()), APP)?;
        let options = Options {
            schedules: false,
            ..Options::default()
        };
        let state = Arc::new(state);
        Worker::new(
            client.clone(),
            tasks.clone(),
            Arc::clone(&state),
            options.clone(),
        )?;
        Ok(Self {
            client,
            tasks,
            state,
            options,
        })
    }

    /// Other options of the worker: limits, concurrency.
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Another client, with middleware or a keyring; it may be over any store.
    #[must_use]
    pub fn with_client(mut self, client: TaskClient) -> Self {
        self.client = client;
        self
    }

    /// What sends to the store.
    #[must_use]
    pub fn client(&self) -> &TaskClient {
        &self.client
    }

    /// Runs all that was sent, and all that follows from it, until nothing waits any more. What
    /// waits for its time, retries included, is due at once. Answers with the sum of the queues:
    /// what is dead or unknown is there.
    ///
    /// # Errors
    /// As a [`Worker`]'s.
    pub async fn run_all(&self) -> Result<Counts> {
        let shutdown = CancellationToken::new();
        let worker = Worker::new(
            self.client.clone(),
            self.tasks.clone(),
            Arc::clone(&self.state),
            self.options.clone(),
        )?;
        let watching = async {
            let ended = self.until_nothing_waits().await;
            shutdown.cancel();
            ended
        };
        let (worked, counts) = tokio::join!(Box::pin(worker.run(shutdown.clone())), watching);
        worked?;
        counts
    }

    async fn until_nothing_waits(&self) -> Result<Counts> {
        loop {
            let mut sum = Counts::default();
            let store = self.client.store();
            for queue in store.queues(self.client.app()).await? {
                let page = Page {
                    offset: 0,
                    limit: DUE_AT_ONCE,
                };
                let scheduled = store.list(&queue, State::Scheduled, page).await?;
                let ids: Vec<TaskId> = scheduled.iter().map(|view| view.id).collect();
                store.make_due(&queue, &ids).await?;
                add(&mut sum, &store.status(&queue).await?.counts);
            }
            if sum.waiting() + sum.running == 0 {
                return Ok(sum);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The tasks that are dead, with their last errors.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error).
    pub async fn dead(&self) -> Result<Vec<(String, String)>> {
        let mut dead = Vec::new();
        let store = self.client.store();
        for queue in store.queues(self.client.app()).await? {
            let page = Page {
                offset: 0,
                limit: DUE_AT_ONCE,
            };
            for view in store.list(&queue, State::Dead, page).await? {
                let error = view.failure.map(|failure| failure.error);
                dead.push((view.name.to_string(), error.unwrap_or_default()));
            }
        }
        Ok(dead)
    }
}

fn add(sum: &mut Counts, counts: &Counts) {
    sum.enqueued += counts.enqueued;
    sum.done += counts.done;
    sum.cancelled += counts.cancelled;
    sum.discarded += counts.discarded;
    sum.scheduled += counts.scheduled;
    sum.ready += counts.ready;
    sum.blocked += counts.blocked;
    sum.running += counts.running;
    sum.dead += counts.dead;
    sum.unknown += counts.unknown;
    sum.held += counts.held;
}
