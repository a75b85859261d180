//! Where the data of one test lives, and the words that the tests share.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tidegate_store::{
    Entry, EntryId, Epoch, GroupName, Lag, Lease, NewEntry, Partition, ReadLimit, Store, StoreUrl,
    StreamName, WorkerId, connect,
};
use tidegate_testkit::{Distribution, RedisCluster, RedisServer, poll_until};

/// What a test waits for at most before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A lease that does not end during a test.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// A lease that ends soon.
pub(crate) const SHORT: Duration = Duration::from_millis(100);

/// A limit that no test reaches.
pub(crate) const ALL: ReadLimit = ReadLimit {
    entries: 100_000,
    bytes: usize::MAX,
};

/// One set of data, on which any number of handles can be opened. It is gone when it is dropped.
pub(crate) struct Site {
    url: StoreUrl,
    _keeper: Keeper,
}

#[expect(dead_code, reason = "a keeper is only held, for what its drop removes")]
enum Keeper {
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

    pub(crate) async fn redis() -> Arc<Self> {
        Self::of(Distribution::System).await
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
            url: StoreUrl::parse(&url).unwrap(),
            _keeper: Keeper::Shared(Arc::clone(self)),
        }
    }
}

/// Runs a case, about the streams of an app or about others.
pub(crate) async fn run(is_of_app: bool, case: impl Future<Output = ()>) {
    if is_of_app {
        OF_APP.scope((), case).await;
    } else {
        case.await;
    }
}

impl Site {
    #[expect(clippy::unused_async, reason = "the other backends start a server")]
    pub(crate) async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(directory.path().join("store.sqlite"));
        Self {
            url,
            _keeper: Keeper::Directory(directory),
        }
    }

    pub(crate) async fn redis() -> Self {
        let server = RedisServer::start().await.unwrap();
        let url = StoreUrl::parse(&server.url()).unwrap();
        Self {
            url,
            _keeper: Keeper::Server(Box::new(server)),
        }
    }

    /// Another handle on the same data.
    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        connect(&self.url).await.unwrap()
    }
}

tokio::task_local! {
    /// Is there where a test is about an app's stream.
    static OF_APP: ();
}

/// Partition `index` of the stream that most tests use.
pub(crate) fn partition(index: u32) -> Partition {
    let stream = match OF_APP.try_with(|()| ()) {
        Ok(()) => StreamName::of_app("shop", "payments"),
        Err(_) => StreamName::new("payments"),
    };
    stream.unwrap().partition(index)
}

pub(crate) fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

/// An entry with this text in its one field.
pub(crate) fn entry(partition: &Partition, text: impl ToString) -> NewEntry {
    let value = Bytes::from(text.to_string());
    let fields = vec![(Bytes::from_static(b"data"), value)];
    NewEntry::new(partition.clone(), fields)
}

/// Appends entries with the numbers of a range as their texts.
pub(crate) async fn append(
    store: &dyn Store,
    partition: &Partition,
    numbers: std::ops::Range<u32>,
) -> Vec<EntryId> {
    let entries = numbers.map(|number| entry(partition, number)).collect();
    store.append(entries).await.unwrap()
}

/// The texts of entries that [`entry`] made.
pub(crate) fn texts(entries: &[Entry]) -> Vec<String> {
    entries
        .iter()
        .map(|entry| String::from_utf8(entry.field(b"data").unwrap().to_vec()).unwrap())
        .collect()
}

/// The texts of a range of numbers.
pub(crate) fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

pub(crate) fn ids(entries: &[Entry]) -> Vec<EntryId> {
    entries.iter().map(|entry| entry.id).collect()
}

/// The whole partition.
pub(crate) async fn read_all(store: &dyn Store, partition: &Partition) -> Vec<Entry> {
    store
        .read_after(partition, EntryId::ZERO, ALL)
        .await
        .unwrap()
}

/// A lease for a worker of its own that lasts for the whole test.
pub(crate) async fn own(store: &dyn Store, name: &str, partition: &Partition) -> Lease {
    store
        .try_acquire_lease(&group(name), partition, WorkerId::random(), LONG, Epoch(0))
        .await
        .unwrap()
        .expect("nobody holds the lease")
}

/// Gives a lease to another worker, so that `lease` is stale.
pub(crate) async fn succeed(store: &dyn Store, lease: &Lease) -> Lease {
    store.release_lease(lease).await.unwrap();
    own(store, lease.group.as_str(), &lease.partition).await
}

pub(crate) async fn lag(store: &dyn Store, name: &str, partition: &Partition) -> Lag {
    store
        .lag(&group(name), std::slice::from_ref(partition))
        .await
        .unwrap()[0]
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
