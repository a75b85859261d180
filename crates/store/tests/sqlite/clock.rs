//! The clock: exact ends of leases, and ids that grow though it is set back.

use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{Clock, EntryId, Epoch, Error, Fetch, ManualClock, Store, WorkerId};

use crate::words::{ALL, entry, group, open_with, own, partition, place};

const TTL: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_lease_ends_at_its_millisecond() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new(1_000));
    let store = open_with(&path, &clock).await;
    let lease = own(&store, 0, TTL).await;
    clock.advance(TTL - Duration::from_millis(1));
    let holder = store
        .lease_holders(&group(), &[partition(0)])
        .await
        .unwrap()[0]
        .unwrap();
    assert_eq!(holder.ends_in_ms, 1);
    store.fetch(&lease, Fetch::New, ALL).await.unwrap();

    clock.advance(Duration::from_millis(1));
    assert_eq!(
        store
            .lease_holders(&group(), &[partition(0)])
            .await
            .unwrap(),
        [None]
    );
    let lost = store.fetch(&lease, Fetch::New, ALL).await;
    assert!(matches!(lost, Err(Error::LeaseLost { .. })), "{lost:?}");
    assert_eq!(
        store
            .renew_leases(std::slice::from_ref(&lease), TTL)
            .await
            .unwrap(),
        [false]
    );
    assert!(own(&store, 0, TTL).await.epoch > lease.epoch);
}

#[tokio::test]
async fn a_renewal_counts_from_now() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new(1_000));
    let store = open_with(&path, &clock).await;
    let lease = own(&store, 0, TTL).await;
    for _ in 0..5 {
        clock.advance(TTL * 2 / 3);
        assert_eq!(
            store
                .renew_leases(std::slice::from_ref(&lease), TTL)
                .await
                .unwrap(),
            [true]
        );
    }
}

#[tokio::test]
async fn ids_follow_the_clock_and_grow_though_it_is_set_back() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new(5_000));
    let store = open_with(&path, &clock).await;
    let append = || async {
        store
            .append(vec![entry(0, ""), entry(0, "")])
            .await
            .unwrap()
    };
    assert_eq!(
        append().await,
        [EntryId::new(5_000, 0), EntryId::new(5_000, 1)]
    );
    clock.set(4_000);
    assert_eq!(
        append().await,
        [EntryId::new(5_000, 2), EntryId::new(5_000, 3)]
    );
    clock.set(6_000);
    assert_eq!(
        append().await,
        [EntryId::new(6_000, 0), EntryId::new(6_000, 1)]
    );
}

#[tokio::test]
async fn a_first_entry_is_after_zero_even_at_the_beginning_of_time() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new(0));
    let store = open_with(&path, &clock).await;
    assert!(store.append(vec![entry(0, "")]).await.unwrap()[0] > EntryId::ZERO);
    assert_eq!(
        store
            .read_after(&partition(0), EntryId::ZERO, ALL)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn epochs_and_members_outlive_the_handle_and_end_by_the_clock() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new(1_000));
    let stream = partition(0).stream;
    let worker = WorkerId::random();
    let before = {
        let store = open_with(&path, &clock).await;
        store.beat(&stream, &group(), worker, TTL).await.unwrap();
        own(&store, 0, TTL).await
    };
    let store = open_with(&path, &clock).await;
    assert_eq!(store.workers(&stream, &group()).await.unwrap(), [worker]);
    let early = store
        .try_acquire_lease(&group(), &partition(0), WorkerId::random(), TTL, Epoch(0))
        .await
        .unwrap();
    assert_eq!(early, None);
    clock.set(clock.now_ms() + 10_000);
    assert_eq!(store.workers(&stream, &group()).await.unwrap(), []);
    assert!(own(&store, 0, TTL).await.epoch > before.epoch);
}
