//! Members: who is alive.

use std::sync::Arc;

use tidegate_store::{Store, StreamName, WorkerId};

use crate::site::{LONG, SHORT, Site, eventually, group, own, partition};

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
