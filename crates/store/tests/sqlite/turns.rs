//! Turns: a busy writer lets others in, and readers never wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tidegate_store::{EntryId, SqliteStore, Store};
use tokio::task::JoinHandle;

use crate::words::{ALL, DEADLINE, entry, open, own, partition, place};

/// Callers that append without a pause, so that the writer always has work waiting.
struct Load {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<u64>>,
}

impl Load {
    fn start(store: &Arc<SqliteStore>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let callers = (0..4)
            .map(|caller| {
                let (store, stop) = (Arc::clone(store), Arc::clone(&stop));
                tokio::spawn(async move {
                    let mut calls = 0;
                    while !stop.load(Ordering::SeqCst) {
                        let entries = (0..500).map(|n| entry(caller, n)).collect();
                        store.append(entries).await.unwrap();
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        Self { stop, callers }
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        let mut calls = 0;
        for caller in self.callers {
            calls += caller.await.unwrap();
        }
        calls
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_handle_renews_its_lease_beside_a_busy_writer() {
    let (_directory, path) = place();
    let (busy, other) = (open(&path).await, open(&path).await);
    let lease = own(&other, 0, DEADLINE * 10).await;
    let load = Load::start(&busy);
    let began = Instant::now();
    for _ in 0..50 {
        let held = other
            .renew_leases(std::slice::from_ref(&lease), DEADLINE * 10)
            .await
            .unwrap();
        assert_eq!(held, [true]);
    }
    assert!(
        began.elapsed() < DEADLINE / 2,
        "50 renewals took {:?}",
        began.elapsed()
    );
    assert!(load.stop().await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_with_a_patient_connection_gets_its_turn() {
    let (_directory, path) = place();
    let busy = open(&path).await;
    let mut sink = Connection::open(&path).unwrap();
    sink.busy_handler(Some(|_| {
        std::thread::sleep(Duration::from_millis(1));
        true
    }))
    .unwrap();
    sink.execute_batch("CREATE TABLE payment (id INTEGER)")
        .unwrap();
    let load = Load::start(&busy);
    let took = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        for id in 0..50 {
            let transaction = sink
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .unwrap();
            transaction
                .execute("INSERT INTO payment VALUES (?1)", [id])
                .unwrap();
            transaction.commit().unwrap();
        }
        began.elapsed()
    })
    .await
    .unwrap();
    assert!(took < DEADLINE / 2, "50 transactions took {took:?}");
    assert!(load.stop().await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_do_not_wait_for_a_writer_that_holds_the_lock() {
    let (_directory, path) = place();
    let store = open(&path).await;
    store.append(vec![entry(0, "one")]).await.unwrap();
    let mut sink = Connection::open(&path).unwrap();
    let transaction = sink
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let partition = partition(0);
    let read = store.read_after(&partition, EntryId::ZERO, ALL);
    let read = tokio::time::timeout(DEADLINE / 6, read)
        .await
        .expect("the read waits")
        .unwrap();
    assert_eq!(read.len(), 1);
    store.ping().await.unwrap();
    transaction.rollback().unwrap();
}
