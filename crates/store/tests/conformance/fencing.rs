//! Fencing: who has lost a lease changes nothing.

use std::fmt::Debug;

use tidegate_store::{Epoch, Error, Fetch, Lease, Result, Store, WorkerId};

use crate::site::{
    ALL, LONG, SHORT, Site, append, eventually, group, ids, lag, own, partition, read_all, succeed,
};

#[track_caller]
fn assert_lost<T: Debug>(answer: Result<T>, lease: &Lease) {
    match answer {
        Err(Error::LeaseLost { partition, epoch }) => {
            assert_eq!((&partition, epoch), (&lease.partition, lease.epoch));
        }
        other => panic!("expected LeaseLost, found {other:?}"),
    }
}

/// Ten entries, five of them fetched under a lease that another worker has since taken over.
async fn stale_owner(store: &dyn Store) -> (Lease, Lease) {
    append(store, &partition(0), 0..5).await;
    let lease = own(store, "readers", &partition(0)).await;
    store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    append(store, &partition(0), 5..10).await;
    let next = succeed(store, &lease).await;
    (lease, next)
}

pub(crate) async fn stale_owner_cannot_acknowledge(site: Site) {
    let store = site.open().await;
    let (stale, next) = stale_owner(&*store).await;
    let all = ids(&read_all(&*store, &partition(0)).await);
    assert_lost(store.acknowledge(&stale, &all).await, &stale);
    assert_eq!(lag(&*store, "readers", &partition(0)).await.pending, 5);
    assert_eq!(store.acknowledge(&next, &all).await.unwrap(), 5);
}

pub(crate) async fn stale_owner_cannot_acknowledge_through(site: Site) {
    let store = site.open().await;
    let (stale, next) = stale_owner(&*store).await;
    let all = ids(&read_all(&*store, &partition(0)).await);
    let before = lag(&*store, "readers", &partition(0)).await;
    assert_lost(store.acknowledge_through(&stale, all[9]).await, &stale);
    assert_eq!(lag(&*store, "readers", &partition(0)).await, before);
    store.acknowledge_through(&next, all[9]).await.unwrap();
}

pub(crate) async fn stale_owner_cannot_fetch(site: Site) {
    let store = site.open().await;
    let (stale, next) = stale_owner(&*store).await;
    assert_lost(store.fetch(&stale, Fetch::New, ALL).await, &stale);
    let pending = Fetch::Pending(tidegate_store::EntryId::ZERO);
    assert_lost(store.fetch(&stale, pending, ALL).await, &stale);
    let lag = lag(&*store, "readers", &partition(0)).await;
    assert_eq!(
        (lag.pending, lag.undelivered),
        (5, 5),
        "nothing became pending"
    );
    assert_eq!(store.fetch(&next, Fetch::New, ALL).await.unwrap().len(), 5);
}

pub(crate) async fn stale_owner_cannot_trim(site: Site) {
    let store = site.open().await;
    let (stale, next) = stale_owner(&*store).await;
    let all = ids(&read_all(&*store, &partition(0)).await);
    store.acknowledge_through(&next, all[9]).await.unwrap();
    assert_lost(store.trim(&stale, 0).await, &stale);
    assert_eq!(read_all(&*store, &partition(0)).await.len(), 10);
    assert_eq!(store.trim(&next, 0).await.unwrap(), 10);
}

pub(crate) async fn an_owner_that_released_cannot_acknowledge(site: Site) {
    let store = site.open().await;
    let appended = append(&*store, &partition(0), 0..5).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    store.release_lease(&lease).await.unwrap();
    assert_lost(store.acknowledge(&lease, &appended).await, &lease);
    assert_eq!(lag(&*store, "readers", &partition(0)).await.pending, 5);
}

pub(crate) async fn an_owner_whose_lease_has_ended_cannot_fetch(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..5).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    assert_eq!(
        store
            .renew_leases(std::slice::from_ref(&lease), SHORT)
            .await
            .unwrap(),
        [true]
    );
    let lost = eventually("the lease ends though nobody takes it", || async {
        store.fetch(&lease, Fetch::New, ALL).await.err()
    })
    .await;
    assert_lost(Err::<(), _>(lost), &lease);
}

pub(crate) async fn another_worker_with_the_same_epoch_cannot_acknowledge(site: Site) {
    let store = site.open().await;
    let appended = append(&*store, &partition(0), 0..5).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    let forged = Lease {
        worker: WorkerId::random(),
        ..lease.clone()
    };
    assert_lost(store.acknowledge(&forged, &appended).await, &forged);
    let misplaced = Lease {
        group: group("other"),
        ..lease
    };
    assert_lost(store.acknowledge(&misplaced, &appended).await, &misplaced);
}

pub(crate) async fn an_older_epoch_of_the_same_worker_cannot_acknowledge(site: Site) {
    let store = site.open().await;
    let appended = append(&*store, &partition(0), 0..5).await;
    let older = own(&*store, "readers", &partition(0)).await;
    store.fetch(&older, Fetch::New, ALL).await.unwrap();
    store.release_lease(&older).await.unwrap();
    let newer = store
        .try_acquire_lease(&older.group, &older.partition, older.worker, LONG, Epoch(0))
        .await
        .unwrap()
        .unwrap();
    assert_lost(store.acknowledge(&older, &appended).await, &older);
    assert_eq!(
        store
            .renew_leases(&[older, newer.clone()], LONG)
            .await
            .unwrap(),
        [false, true]
    );
    assert_eq!(store.acknowledge(&newer, &appended).await.unwrap(), 5);
}
