//! Where the data of one test lives, and the words that the tests share.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use tidegate_store::{
    Entry, EntryId, Epoch, GroupName, Lag, Lease, NewEntry, Partition, ReadLimit, Store, StoreUrl,
    StreamName, WorkerId, connect,
};
use tidegate_testkit::{RedisCluster, RedisServer};

/// What a test waits for at most before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

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
    Shared(Arc<RedisCluster>),
}

pub(crate) async fn start_cluster() -> Arc<RedisCluster> {
    Arc::new(RedisCluster::start().await.unwrap())
}

impl Site {
    pub(crate) fn sqlite() -> Self {
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

    /// The data of a Cluster, which is emptied first.
    pub(crate) async fn cluster(cluster: &Arc<RedisCluster>) -> Self {
        cluster.clear().await.unwrap();
        Self {
            url: StoreUrl::parse(&cluster.url()).unwrap(),
            _keeper: Keeper::Shared(Arc::clone(cluster)),
        }
    }

    /// Another handle on the same data.
    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        connect(&self.url).await.unwrap()
    }
}

tokio::task_local! {
    /// Is there where a test is about an app's stream.
    pub(crate) static OF_APP: ();
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
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            began.elapsed() < DEADLINE,
            "{what}: not within {DEADLINE:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
