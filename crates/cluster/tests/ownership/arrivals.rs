//! Idle owners sleep until there is something for them.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::Arrivals;
use tidegate_store::{EntryId, NewEntry, SqliteStore, Store, StreamName};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What a test waits for at most before it fails.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn owners_of_two_groups_sleep_on_one_partition_and_both_are_woken() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(&directory.path().join("store.sqlite")).await;
    let store: Arc<dyn Store> = Arc::new(store.expect("a new file can be opened"));
    let (arrivals, end) = (Arc::new(Arrivals::default()), CancellationToken::new());
    let running = tokio::spawn({
        let (arrivals, store, end) = (arrivals.clone(), store.clone(), end.clone());
        async move { arrivals.run(store, end).await }
    });
    let partition = StreamName::new("orders").expect("a name").partition(0);
    let both = async {
        let one = arrivals.sleep(&partition, EntryId::ZERO, DEADLINE * 2);
        let other = arrivals.sleep(&partition, EntryId::ZERO, DEADLINE * 2);
        let append = async {
            let fields = vec![("data".into(), "x".into())];
            let entry = NewEntry::new(partition.clone(), fields);
            store.append(vec![entry]).await.expect("it is appended");
        };
        tokio::join!(one, other, append);
    };
    // Beside them sleeps one for which there is nothing.
    let never = EntryId::new(u64::MAX, 0);
    tokio::select! {
        woken = timeout(DEADLINE, both) => woken.expect("both are woken"),
        () = arrivals.sleep(&partition, never, DEADLINE * 2) => panic!("woken by nothing"),
    }
    end.cancel();
    running.await.expect("no panic");
}
