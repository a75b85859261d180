//! Where the tasks of one test live, and the words that the tests share.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tidegate_store::task::{
    Counts, Failure, Finished, Label, Limits, MemoryTaskStore, NewTask, Outcome, QueueName, State,
    Take, Taken, TaskId, TaskName, TaskStore,
};
use tidegate_store::{Result, StoreUrl, WorkerId, connect_tasks};
use tidegate_testkit::{Distribution, RedisCluster, RedisServer, poll_until};

/// What a test waits for at most before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A time that does not end during a test.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

/// A sign of life that runs out soon.
pub(crate) const SHORT: Duration = Duration::from_millis(50);

/// One set of data, on which any number of handles can be opened. It is gone when it is dropped.
pub(crate) struct Site {
    place: Place,
    _keeper: Keeper,
}

enum Place {
    Url(StoreUrl),
    Memory(MemoryTaskStore),
}

#[expect(dead_code, reason = "a keeper is only held, for what its drop removes")]
enum Keeper {
    Nothing,
    Directory(TempDir),
    Server(Box<RedisServer>),
    Shared(Arc<Shared>),
}

/// What cases share that run one after the other.
pub(crate) enum Shared {
    Server(Box<RedisServer>),
    Cluster(RedisCluster),
}

impl Shared {
    async fn of(distribution: Distribution) -> Arc<Self> {
        let server = RedisServer::of(distribution).start().await.unwrap();
        Arc::new(Self::Server(Box::new(server)))
    }

    pub(crate) async fn redis_8() -> Arc<Self> {
        Self::of(Distribution::Redis8).await
    }

    pub(crate) async fn valkey_9() -> Arc<Self> {
        Self::of(Distribution::Valkey9).await
    }

    pub(crate) async fn cluster() -> Arc<Self> {
        // A failover in the middle of a case would take what it has written along.
        let cluster = RedisCluster::start_patient().await.unwrap();
        Arc::new(Self::Cluster(cluster))
    }

    /// All of it, emptied, for the next case.
    pub(crate) async fn site(self: &Arc<Self>) -> Site {
        let url = match &**self {
            Self::Server(server) => {
                server.clear().await.unwrap();
                server.url()
            }
            Self::Cluster(cluster) => {
                cluster.clear().await.unwrap();
                cluster.url()
            }
        };
        Site {
            place: Place::Url(StoreUrl::parse(&url).unwrap()),
            _keeper: Keeper::Shared(Arc::clone(self)),
        }
    }
}

impl Site {
    #[expect(clippy::unused_async, reason = "the other backends start a server")]
    pub(crate) async fn memory() -> Self {
        Self {
            place: Place::Memory(MemoryTaskStore::new()),
            _keeper: Keeper::Nothing,
        }
    }

    #[expect(clippy::unused_async, reason = "the other backends start a server")]
    pub(crate) async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(directory.path().join("store.sqlite"));
        Self {
            place: Place::Url(url),
            _keeper: Keeper::Directory(directory),
        }
    }

    pub(crate) async fn redis() -> Self {
        let server = RedisServer::start().await.unwrap();
        let url = StoreUrl::parse(&server.url()).unwrap();
        Self {
            place: Place::Url(url),
            _keeper: Keeper::Server(Box::new(server)),
        }
    }

    /// Another handle on the same data.
    pub(crate) async fn open(&self) -> Arc<dyn TaskStore> {
        match &self.place {
            Place::Url(url) => connect_tasks(url).await.unwrap(),
            Place::Memory(store) => Arc::new(store.clone()),
        }
    }

    /// A worker that is alive for the whole test.
    pub(crate) async fn worker(&self) -> Desk {
        self.worker_for(LONG).await
    }

    /// A worker that has given one sign of life for so long.
    pub(crate) async fn worker_for(&self, ttl: Duration) -> Desk {
        let desk = Desk {
            store: self.open().await,
            worker: WorkerId::random(),
        };
        desk.store.beat(&queue(), desk.worker, ttl).await.unwrap();
        desk
    }
}

/// A worker at a queue.
pub(crate) struct Desk {
    pub(crate) store: Arc<dyn TaskStore>,
    pub(crate) worker: WorkerId,
}

impl Desk {
    /// Enqueues tasks, none of which is there.
    pub(crate) async fn enqueue(&self, tasks: Vec<NewTask>) -> Vec<TaskId> {
        let ids = tasks.iter().map(|it| it.id).collect();
        for result in self.store.enqueue(&queue(), tasks).await {
            assert_eq!(
                result.unwrap(),
                tidegate_store::task::Enqueued::Accepted,
                "a task that should not be there"
            );
        }
        ids
    }

    pub(crate) async fn take(&self, max: usize) -> Vec<Taken> {
        self.take_within(max, &Limits::default()).await.tasks
    }

    pub(crate) async fn take_within(&self, max: usize, limits: &Limits) -> Take {
        self.store
            .take(&queue(), self.worker, max, limits)
            .await
            .unwrap()
    }

    /// Takes one task, which must be there.
    pub(crate) async fn take_one(&self) -> Taken {
        let mut taken = self.take(1).await;
        assert_eq!(taken.len(), 1, "nothing to take");
        taken.remove(0)
    }

    pub(crate) async fn finish(&self, taken: &Taken, outcome: Outcome) -> Result<State> {
        let finished = Finished {
            id: taken.id,
            fence: taken.fence,
            outcome,
            result: None,
        };
        let mut results = self.store.finish(&queue(), vec![finished]).await;
        results.remove(0)
    }

    pub(crate) async fn done(&self, taken: &Taken) {
        let state = self.finish(taken, Outcome::Done).await.unwrap();
        assert_eq!(state, State::Done);
    }

    /// How many tasks are where; whatever has happened, they are balanced.
    pub(crate) async fn counts(&self) -> Counts {
        let counts = self.store.status(&queue()).await.unwrap().counts;
        assert!(counts.is_balanced(), "{counts:?}");
        counts
    }
}

/// The queue that most tests use.
pub(crate) fn queue() -> QueueName {
    QueueName::of_app("shop", "work").unwrap()
}

pub(crate) fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

/// A plain task with this text for its payload.
pub(crate) fn task(text: impl ToString) -> NewTask {
    let name = TaskName::new("work").unwrap();
    NewTask::plain(name, Bytes::from(text.to_string()))
}

/// Plain tasks with the numbers of a range for their payloads.
pub(crate) fn tasks(range: std::ops::Range<u32>) -> Vec<NewTask> {
    range.map(task).collect()
}

pub(crate) fn failure(reason: &str) -> Failure {
    Failure {
        reason: reason.into(),
        error: format!("{reason}: the details"),
    }
}

/// The payloads of what was taken, with a space between.
pub(crate) fn payloads(taken: &[Taken]) -> String {
    let text = |it: &Taken| String::from_utf8(it.payload.to_vec()).unwrap();
    taken.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// Asks again and again until there is an answer, and fails at the deadline.
pub(crate) async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let mut answer = None;
    let answered = poll_until(DEADLINE, async || {
        answer = ask().await;
        answer.is_some()
    });
    let answered = answered.await;
    answer.unwrap_or_else(|| panic!("{what}: {answered:?}"))
}
