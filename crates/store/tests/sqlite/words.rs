//! The words that these tests share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_store::{
    Epoch, GroupName, Lease, ManualClock, NewEntry, Partition, ReadLimit, SqliteStore, Store,
    StreamName, WorkerId,
};

/// What a test waits for at most before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A limit that no test reaches.
pub(crate) const ALL: ReadLimit = ReadLimit {
    entries: 10_000_000,
    bytes: usize::MAX,
};

/// A directory of the test's own, with a path for the store.
pub(crate) fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite");
    (directory, path)
}

pub(crate) async fn open(path: &std::path::Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(path).await.unwrap())
}

pub(crate) async fn open_with(path: &std::path::Path, clock: &Arc<ManualClock>) -> SqliteStore {
    let clock = Arc::clone(clock);
    SqliteStore::open_with_clock(path, clock).await.unwrap()
}

pub(crate) fn partition(index: u32) -> Partition {
    StreamName::new("payments").unwrap().partition(index)
}

pub(crate) fn group() -> GroupName {
    GroupName::new("readers").unwrap()
}

/// An entry with this text in its one field.
pub(crate) fn entry(index: u32, text: impl ToString) -> NewEntry {
    let value = Bytes::from(text.to_string());
    let fields = vec![(Bytes::from_static(b"data"), value)];
    NewEntry::new(partition(index), fields)
}

pub(crate) async fn own(store: &SqliteStore, index: u32, ttl: Duration) -> Lease {
    store
        .try_acquire_lease(
            &group(),
            &partition(index),
            WorkerId::random(),
            ttl,
            Epoch(0),
        )
        .await
        .unwrap()
        .expect("nobody holds the lease")
}
