//! Members: who is alive.

use std::sync::Arc;

use tidegate_store::{Entry, Store, StreamName, WorkerId};

use crate::site::{LONG, SHORT, Site, eventually, group, own, partition, read_all};

fn stream() -> StreamName {
    partition(0).stream
}

async fn beat(store: &Arc<dyn Store>, worker: WorkerId) -> Vec<WorkerId> {
    store
        .beat(&stream(), &group("readers"), worker, LONG)
        .await
        .unwrap()
}

async fn workers(store: &Arc<dyn Store>) -> Vec<WorkerId> {
    store.workers(&stream(), &group("readers")).await.unwrap()
}

pub(crate) async fn beat_lists_live_workers_and_forgets_dead_ones(site: Site) {
    let (one, other) = (site.open().await, site.open().await);
    let (alive, dead) = (WorkerId::random(), WorkerId::random());
    other
        .beat(&stream(), &group("readers"), dead, SHORT)
        .await
        .unwrap();
    eventually("the dead worker is forgotten", || async {
        (beat(&one, alive).await == [alive]).then_some(())
    })
    .await;
    assert_eq!(workers(&other).await, [alive]);
}

pub(crate) async fn a_beat_keeps_a_worker_alive(site: Site) {
    let store = site.open().await;
    let worker = WorkerId::random();
    store
        .beat(&stream(), &group("readers"), worker, SHORT)
        .await
        .unwrap();
    beat(&store, worker).await;
    // Another worker with a shorter life dies after the first beat of `worker` would have ended.
    let witness = WorkerId::random();
    store
        .beat(&stream(), &group("readers"), witness, SHORT)
        .await
        .unwrap();
    eventually("the witness is forgotten", || async {
        (!workers(&store).await.contains(&witness)).then_some(())
    })
    .await;
    assert_eq!(workers(&store).await, [worker]);
}

pub(crate) async fn workers_are_sorted(site: Site) {
    let store = site.open().await;
    let mut all: Vec<_> = (0..20).map(|_| WorkerId::random()).collect();
    let mut listed = Vec::new();
    for worker in &all {
        listed = beat(&store, *worker).await;
    }
    all.sort();
    assert_eq!(listed, all);
    assert_eq!(workers(&store).await, all);
}

pub(crate) async fn a_worker_that_left_is_not_listed(site: Site) {
    let (one, other) = (site.open().await, site.open().await);
    let (stays, goes) = (WorkerId::random(), WorkerId::random());
    beat(&one, stays).await;
    beat(&other, goes).await;
    other
        .leave(&stream(), &group("readers"), goes)
        .await
        .unwrap();
    assert_eq!(workers(&one).await, [stays]);
    other
        .leave(&stream(), &group("readers"), goes)
        .await
        .unwrap();
}

pub(crate) async fn leaving_does_not_touch_leases(site: Site) {
    let store = site.open().await;
    let lease = own(&*store, "readers", &partition(0)).await;
    beat(&store, lease.worker).await;
    store
        .leave(&stream(), &group("readers"), lease.worker)
        .await
        .unwrap();
    assert_eq!(store.renew_leases(&[lease], LONG).await.unwrap(), [true]);
}

pub(crate) async fn members_of_groups_and_streams_are_apart(site: Site) {
    let store = site.open().await;
    let worker = WorkerId::random();
    beat(&store, worker).await;
    let elsewhere = StreamName::new("refunds").unwrap();
    assert_eq!(
        store.workers(&stream(), &group("others")).await.unwrap(),
        []
    );
    assert_eq!(
        store.workers(&elsewhere, &group("readers")).await.unwrap(),
        []
    );
}

/// What was announced on the control stream of an app's group.
async fn announced(store: &dyn Store, stream: &StreamName) -> Vec<(String, String)> {
    let control = stream.control(&group("readers")).unwrap();
    let messages = read_all(store, &control.partition(0)).await;
    let text = |message: &Entry, name: &[u8]| {
        String::from_utf8(message.field(name).unwrap().to_vec()).unwrap()
    };
    messages
        .iter()
        .map(|message| (text(message, b"reason"), text(message, b"executor_ids")))
        .collect()
}

pub(crate) async fn joins_leaves_and_deaths_are_announced_once(site: Site) {
    let (one, other) = (site.open().await, site.open().await);
    let stream = StreamName::of_app("shop", "orders").unwrap();
    let (stays, goes, dies) = (WorkerId::random(), WorkerId::random(), WorkerId::random());
    let beat = async |store: &Arc<dyn Store>, worker, ttl| {
        store
            .beat(&stream, &group("readers"), worker, ttl)
            .await
            .unwrap()
    };
    for store in [&one, &other] {
        beat(store, stays, LONG).await;
    }
    beat(&other, goes, LONG).await;
    other.leave(&stream, &group("readers"), goes).await.unwrap();
    beat(&other, dies, SHORT).await;
    eventually("the dead worker is forgotten", || async {
        let alive = beat(&one, stays, LONG).await;
        (beat(&other, stays, LONG).await == [stays] && alive == [stays]).then_some(())
    })
    .await;
    let message = |reason: &str, id: WorkerId| (reason.to_owned(), format!("[\"{id}\"]"));
    assert_eq!(
        announced(&*one, &stream).await,
        [
            message("join", stays),
            message("join", goes),
            message("leave", goes),
            message("join", dies),
            message("dead", dies),
        ]
    );
}

pub(crate) async fn a_control_stream_is_bounded(site: Site) {
    let store = site.open().await;
    let stream = StreamName::of_app("shop", "orders").unwrap();
    let worker = WorkerId::random();
    for _ in 0..1_300 {
        store
            .leave(&stream, &group("readers"), worker)
            .await
            .unwrap();
    }
    // Redis deletes in blocks.
    let left = announced(&*store, &stream).await.len();
    assert!((1_000..1_200).contains(&left), "{left}");
}
