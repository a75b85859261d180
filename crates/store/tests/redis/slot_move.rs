//! A slot of a Cluster that is handed over, key by key, while its partition is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tidegate_store::{EntryId, Fetch, RedisStore, Store as _};
use tidegate_testkit::{RedisCluster, poll_until};

use crate::site::{
    DEADLINE, LIMIT, TTL, acquire, drain, entry, open, read_all, shard, until_available,
};

/// How many entries each producer appends in a phase at least.
const PER_PHASE: u32 = 20;
/// How many entries of a batch there are.
const BATCH: u32 = 3;

/// Appends numbered entries until it is told to stop: one, then a batch, and so on. None may fail.
struct Producer {
    store: RedisStore,
    appended: AtomicU32,
    is_enough: AtomicBool,
}

impl Producer {
    async fn run(&self) {
        let mut next = 0;
        while !self.is_enough.load(Ordering::SeqCst) {
            let len = if next % 2 == 0 { 1 } else { BATCH };
            let numbers = next..next + len;
            let entries = numbers.map(|number| entry(0, &number.to_string()));
            let appended = self.store.append(entries.collect()).await;
            appended.expect("a single key's commands follow its slot");
            next += len;
            self.appended.store(next, Ordering::SeqCst);
        }
    }

    /// Waits until some more have been appended.
    async fn goes_on(&self) {
        let before = self.appended.load(Ordering::SeqCst);
        let more = poll_until(DEADLINE, async || {
            self.appended.load(Ordering::SeqCst) >= before + PER_PHASE
        });
        more.await.expect("entries flow");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_flow_while_their_slot_is_handed_over() {
    let cluster = RedisCluster::start_patient().await.unwrap();
    let store = open(&cluster.url()).await.unwrap();
    let lease = acquire(&store, &drain(), &shard(0)).await.unwrap();
    let producer = Arc::new(Producer {
        store: open(&cluster.url()).await.unwrap(),
        appended: AtomicU32::new(0),
        is_enough: AtomicBool::new(false),
    });
    let running = Arc::clone(&producer);
    let running = tokio::spawn(async move { running.run().await });
    producer.goes_on().await;
    let fetched = store.fetch(&lease, Fetch::New, LIMIT).await.unwrap();
    assert!(!fetched.is_empty());

    let handover = cluster.begin_slot_move("{shard_0}_DRAINER_STREAM").await;
    let handover = handover.unwrap();
    producer.goes_on().await;
    assert!(handover.move_keys().await.unwrap() >= 3);
    // Now the old master answers ASK, and the new one wants to be asked.
    producer.goes_on().await;
    let held = read_all(&store, &shard(0)).await.unwrap();
    assert!(held.len() >= fetched.len());
    // What has never been anywhere is asked for at the new master too: it stays there.
    let nothing_left = handover.move_keys().await.unwrap();
    assert_eq!(nothing_left, 0, "nothing new begins at the old master");
    handover.finish().await.unwrap();
    producer.goes_on().await;

    // The lease and what is pending have come along.
    let ids: Vec<EntryId> = fetched.iter().map(|entry| entry.id).collect();
    let acknowledged = until_available(async || store.acknowledge(&lease, &ids).await).await;
    assert_eq!(acknowledged, ids.len() as u64);
    let renewed = store.renew_leases(std::slice::from_ref(&lease), TTL).await;
    assert_eq!(renewed.unwrap(), [true]);

    producer.is_enough.store(true, Ordering::SeqCst);
    running.await.unwrap();
    let sent = producer.appended.load(Ordering::SeqCst);
    let held = read_everything(&store).await;
    let expected: Vec<String> = (0..sent).map(|number| number.to_string()).collect();
    assert_eq!(held, expected, "in order, none lost, none twice");
}

/// The texts of all entries, however many there are.
async fn read_everything(store: &RedisStore) -> Vec<String> {
    let (mut texts, mut after) = (Vec::new(), EntryId::ZERO);
    loop {
        let page = store.read_after(&shard(0), after, LIMIT).await.unwrap();
        let Some(last) = page.last() else {
            return texts;
        };
        after = last.id;
        let text = |field: &[u8]| String::from_utf8(field.to_vec()).unwrap();
        texts.extend(page.iter().map(|it| text(it.field(b"typed_sql").unwrap())));
    }
}
