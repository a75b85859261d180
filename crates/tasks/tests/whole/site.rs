//! What the tests share: a store, a client, workers, and tasks that write down what they see.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_store::task::{Counts, QueueName, State, TaskView};
use tidegate_store::{StoreUrl, connect_tasks};
use tidegate_tasks::worker::Options;
use tidegate_tasks::{Registered, StateMap, TaskClient, TaskId, Worker};
use tidegate_testkit::{RedisServer, poll_until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Long enough for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) const QUEUE: &str = "work";

/// What the tasks of a test write down.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn write(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    pub(crate) fn read(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) async fn wait_for(&self, count: usize) -> Vec<String> {
        let written = poll_until(SOON, async || self.read().len() >= count).await;
        let notes = self.read();
        assert!(written.is_ok(), "{count} notes of {notes:?}");
        notes
    }
}

pub(crate) struct Site {
    _redis: RedisServer,
    pub(crate) client: TaskClient,
    pub(crate) notes: Notes,
}

/// A worker in this process.
pub(crate) struct Hand {
    pub(crate) shutdown: CancellationToken,
    worker: JoinHandle<tidegate_tasks::Result<()>>,
}

impl Hand {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(SOON, self.worker)
            .await
            .expect("the worker ends")
            .expect("it does not panic")
            .expect("it ends well");
    }
}

impl Site {
    pub(crate) async fn new() -> Self {
        let redis = RedisServer::start().await.unwrap();
        let client = Self::client_of(&redis).await;
        Self {
            _redis: redis,
            client,
            notes: Notes::default(),
        }
    }

    pub(crate) async fn client_of(redis: &RedisServer) -> TaskClient {
        let url = StoreUrl::parse(&redis.url()).unwrap();
        let store = connect_tasks(&url).await.unwrap();
        TaskClient::new(store, "shop").unwrap()
    }

    pub(crate) fn hire(&self, tasks: Vec<Registered>) -> Hand {
        self.hire_with(tasks, Options::default())
    }

    pub(crate) fn hire_with(&self, tasks: Vec<Registered>, options: Options) -> Hand {
        self.hire_as(self.client.clone(), tasks, options)
    }

    pub(crate) fn hire_as(
        &self,
        client: TaskClient,
        tasks: Vec<Registered>,
        options: Options,
    ) -> Hand {
        let mut state = StateMap::new();
        state.insert(self.notes.clone());
        let worker = Worker::new(client, tasks, Arc::new(state), options).unwrap();
        let shutdown = CancellationToken::new();
        let worker = tokio::spawn(worker.run(shutdown.clone()));
        Hand { shutdown, worker }
    }

    pub(crate) fn queue(&self) -> QueueName {
        self.client.queue(QUEUE).unwrap()
    }

    pub(crate) async fn counts(&self) -> Counts {
        let status = self.client.store().status(&self.queue()).await.unwrap();
        let counts = status.counts;
        assert!(counts.is_balanced(), "{counts:?}");
        counts
    }

    /// Waits until the counts are so.
    pub(crate) async fn until(&self, is_so: impl Fn(&Counts) -> bool) -> Counts {
        let found = poll_until(SOON, async || is_so(&self.counts().await)).await;
        let counts = self.counts().await;
        assert!(found.is_ok(), "{counts:?}");
        counts
    }

    pub(crate) async fn show(&self, id: TaskId) -> Option<TaskView> {
        self.client.store().show(&self.queue(), id).await.unwrap()
    }

    /// Waits until a task is in this state.
    pub(crate) async fn until_in(&self, id: TaskId, state: State) -> TaskView {
        let found = poll_until(SOON, async || {
            self.show(id).await.is_some_and(|view| view.state == state)
        })
        .await;
        let view = self.show(id).await;
        assert!(found.is_ok(), "{view:?}");
        view.expect("the queue holds it")
    }
}
