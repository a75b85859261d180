//! Waiting for entries: it wakes for news, at the timeout and at the interrupt, and never early.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_store::{EntryId, Partition, Store};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::site::{DEADLINE, Site, append, partition, read_all};

/// No position has news. (`[]` alone has no type where other crates compare numbers too.)
const NONE: [usize; 0] = [];

/// How long a wait that must not return yet is watched.
const WATCHED: Duration = Duration::from_millis(60);

type Positions = Vec<(Partition, EntryId)>;

fn beginnings(indexes: std::ops::Range<u32>) -> Positions {
    indexes
        .map(|index| (partition(index), EntryId::ZERO))
        .collect()
}

/// A wait in a task of its own, which is seen to wait before it is returned.
async fn waiting(
    store: &Arc<dyn Store>,
    positions: Positions,
    interrupt: &Arc<Notify>,
) -> JoinHandle<Vec<usize>> {
    let (store, interrupt) = (Arc::clone(store), Arc::clone(interrupt));
    let mut task = tokio::spawn(async move {
        store
            .wait_for_entries(&positions, DEADLINE * 2, &interrupt)
            .await
            .unwrap()
    });
    let early = timeout(WATCHED, &mut task).await;
    assert!(
        early.is_err(),
        "it returned with nothing to tell: {early:?}"
    );
    task
}

async fn answer(task: JoinHandle<Vec<usize>>) -> Vec<usize> {
    timeout(DEADLINE, task)
        .await
        .expect("it still waits")
        .unwrap()
}

pub(crate) async fn wait_answers_at_once_for_entries_that_are_there(site: Site) {
    let store = site.open().await;
    let first = append(&*store, &partition(0), 0..2).await;
    append(&*store, &partition(2), 0..1).await;
    let never = Notify::new();
    let mut positions = beginnings(0..4);
    let found = store
        .wait_for_entries(&positions, DEADLINE, &never)
        .await
        .unwrap();
    assert_eq!(found, [0, 2]);
    positions[0].1 = first[0];
    positions[2].1 = EntryId::new(u64::MAX, u64::MAX);
    let found = store
        .wait_for_entries(&positions, DEADLINE, &never)
        .await
        .unwrap();
    assert_eq!(found, [0]);
}

pub(crate) async fn wait_wakes_on_append_from_another_handle(site: Site) {
    let (one, other) = (site.open().await, site.open().await);
    let never = Arc::default();
    let task = waiting(&one, beginnings(0..2), &never).await;
    append(&*other, &partition(1), 0..1).await;
    assert_eq!(answer(task).await, [1]);
}

pub(crate) async fn wait_wakes_on_append_of_the_same_handle(site: Site) {
    let store = site.open().await;
    let never = Arc::default();
    let task = waiting(&store, beginnings(0..2), &never).await;
    append(&*store, &partition(0), 0..1).await;
    assert_eq!(answer(task).await, [0]);
}

pub(crate) async fn wait_names_the_partition_that_has_news(site: Site) {
    let store = site.open().await;
    let mut positions = beginnings(0..16);
    for position in &mut positions {
        position.1 = append(&*store, &position.0, 0..3).await[2];
    }
    let never = Arc::default();
    let task = waiting(&store, positions, &never).await;
    append(&*store, &partition(40), 0..1).await;
    append(&*store, &partition(11), 3..4).await;
    assert_eq!(answer(task).await, [11]);
}

pub(crate) async fn wait_returns_none_after_the_timeout(site: Site) {
    let store = site.open().await;
    let never = Notify::new();
    for positions in [beginnings(0..2), Vec::new()] {
        let began = Instant::now();
        let wait = store.wait_for_entries(&positions, WATCHED, &never);
        assert_eq!(
            timeout(DEADLINE, wait)
                .await
                .expect("it still waits")
                .unwrap(),
            NONE
        );
        assert!(began.elapsed() >= WATCHED, "after {:?}", began.elapsed());
    }
}

pub(crate) async fn wait_returns_at_interrupt(site: Site) {
    let store = site.open().await;
    for all in [false, true] {
        let interrupt = Arc::new(Notify::new());
        let task = waiting(&store, beginnings(0..2), &interrupt).await;
        if all {
            interrupt.notify_waiters()
        } else {
            interrupt.notify_one()
        }
        assert_eq!(answer(task).await, NONE);
    }
    append(&*store, &partition(0), 0..1).await;
    assert_eq!(read_all(&*store, &partition(0)).await.len(), 1);
}

pub(crate) async fn an_interrupt_before_the_wait_counts(site: Site) {
    let store = site.open().await;
    let interrupt = Notify::new();
    interrupt.notify_one();
    let positions = beginnings(0..2);
    let wait = store.wait_for_entries(&positions, DEADLINE * 2, &interrupt);
    assert_eq!(
        timeout(DEADLINE, wait)
            .await
            .expect("it still waits")
            .unwrap(),
        NONE
    );
}

pub(crate) async fn wait_without_positions_waits_for_the_interrupt(site: Site) {
    let store = site.open().await;
    let interrupt = Arc::new(Notify::new());
    let task = waiting(&store, Vec::new(), &interrupt).await;
    interrupt.notify_one();
    assert_eq!(answer(task).await, NONE);
}

pub(crate) async fn waiters_of_one_handle_queue(site: Site) {
    let store = site.open().await;
    let never = Arc::default();
    let first = waiting(&store, beginnings(0..1), &never).await;
    let second = waiting(&store, beginnings(0..1), &never).await;
    append(&*store, &partition(0), 0..1).await;
    assert_eq!(answer(first).await, [0]);
    assert_eq!(answer(second).await, [0]);
}

pub(crate) async fn a_dropped_wait_does_not_disturb_the_next(site: Site) {
    let store = site.open().await;
    let never = Arc::default();
    let dropped = waiting(&store, beginnings(0..1), &never).await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    let next = waiting(&store, beginnings(1..2), &never).await;
    append(&*store, &partition(0), 0..1).await;
    append(&*store, &partition(1), 0..1).await;
    assert_eq!(answer(next).await, [0]);
}

pub(crate) async fn reads_and_writes_go_on_during_a_wait(site: Site) {
    let store = site.open().await;
    let interrupt = Arc::new(Notify::new());
    let task = waiting(&store, beginnings(0..1), &interrupt).await;
    timeout(DEADLINE, async {
        append(&*store, &partition(1), 0..10).await;
        assert_eq!(read_all(&*store, &partition(1)).await.len(), 10);
        store.ping().await.unwrap();
    })
    .await
    .expect("the wait holds up others");
    interrupt.notify_one();
    assert_eq!(answer(task).await, NONE);
}
