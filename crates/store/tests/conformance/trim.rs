//! Trim: what every group has acknowledged, and nothing else.

use tidegate_store::{Fetch, ReadLimit};

use crate::site::{ALL, Site, append, ids, lag, numbers, own, partition, read_all, texts};

pub(crate) async fn trim_deletes_what_every_group_has_acknowledged(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..10).await;
    let one = own(&*store, "one", &partition(0)).await;
    let other = own(&*store, "other", &partition(0)).await;
    for lease in [&one, &other] {
        let fetched = store.fetch(lease, Fetch::New, ALL).await.unwrap();
        store.acknowledge(lease, &ids(&fetched)).await.unwrap();
    }
    assert_eq!(store.trim(&one, 0).await.unwrap(), 10);
    assert_eq!(read_all(&*store, &partition(0)).await, []);
    assert_eq!(store.trim(&other, 0).await.unwrap(), 0);
}

pub(crate) async fn trim_spares_what_a_slower_group_has_not_acknowledged(site: Site) {
    let store = site.open().await;
    let appended = append(&*store, &partition(0), 0..10).await;
    let fast = own(&*store, "fast", &partition(0)).await;
    let slow = own(&*store, "slow", &partition(0)).await;
    store.acknowledge_through(&fast, appended[9]).await.unwrap();
    store.acknowledge_through(&slow, appended[3]).await.unwrap();
    assert_eq!(store.trim(&fast, 0).await.unwrap(), 4);
    assert_eq!(
        texts(&read_all(&*store, &partition(0)).await),
        numbers(4..10)
    );
    assert_eq!(
        texts(&store.fetch(&slow, Fetch::New, ALL).await.unwrap()),
        numbers(4..10)
    );
}

pub(crate) async fn trim_spares_pending_entries(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    let fetched = store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    let mut acknowledged = ids(&fetched);
    acknowledged.remove(3);
    store.acknowledge(&lease, &acknowledged).await.unwrap();
    assert_eq!(store.trim(&lease, 0).await.unwrap(), 3);
    assert_eq!(
        texts(&read_all(&*store, &partition(0)).await),
        numbers(3..10)
    );
    let pending = Fetch::Pending(tidegate_store::EntryId::ZERO);
    assert_eq!(
        store.fetch(&lease, pending, ALL).await.unwrap(),
        fetched[3..4]
    );
}

pub(crate) async fn trim_spares_what_was_not_delivered(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    let some = ReadLimit { entries: 6, ..ALL };
    let fetched = store.fetch(&lease, Fetch::New, some).await.unwrap();
    store.acknowledge(&lease, &ids(&fetched)).await.unwrap();
    assert_eq!(store.trim(&lease, 0).await.unwrap(), 6);
    assert_eq!(
        texts(&read_all(&*store, &partition(0)).await),
        numbers(6..10)
    );
}

pub(crate) async fn trim_before_any_fetch_deletes_nothing(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    assert_eq!(store.trim(&lease, 0).await.unwrap(), 0);
    assert_eq!(read_all(&*store, &partition(0)).await.len(), 10);
}

pub(crate) async fn trim_follows_acknowledge_through(site: Site) {
    let store = site.open().await;
    let appended = append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    store
        .acknowledge_through(&lease, appended[3])
        .await
        .unwrap();
    assert_eq!(store.trim(&lease, 0).await.unwrap(), 4);
    store
        .acknowledge_through(&lease, appended[9])
        .await
        .unwrap();
    assert_eq!(store.trim(&lease, 0).await.unwrap(), 6);
    assert_eq!(read_all(&*store, &partition(0)).await, []);
}

pub(crate) async fn trim_leaves_other_partitions_alone(site: Site) {
    let store = site.open().await;
    for index in 0..3 {
        append(&*store, &partition(index), 0..5).await;
    }
    let lease = own(&*store, "readers", &partition(1)).await;
    let fetched = store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    store.acknowledge(&lease, &ids(&fetched)).await.unwrap();
    assert_eq!(store.trim(&lease, 0).await.unwrap(), 5);
    for (index, left) in [(0, 5), (1, 0), (2, 5)] {
        assert_eq!(read_all(&*store, &partition(index)).await.len(), left);
    }
}

pub(crate) async fn trim_of_many_entries(site: Site) {
    let store = site.open().await;
    let appended = append(&*store, &partition(0), 0..20_000).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    store
        .acknowledge_through(&lease, appended[19_989])
        .await
        .unwrap();
    assert_eq!(store.trim(&lease, 0).await.unwrap(), 19_990);
    assert_eq!(
        texts(&read_all(&*store, &partition(0)).await),
        numbers(19_990..20_000)
    );
}

pub(crate) async fn ids_grow_past_trimmed_entries(site: Site) {
    let store = site.open().await;
    let appended = append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    store
        .acknowledge_through(&lease, appended[9])
        .await
        .unwrap();
    store.trim(&lease, 0).await.unwrap();
    assert_eq!(
        lag(&*store, "readers", &partition(0)).await.last_id,
        appended[9]
    );
    let later = append(&*store, &partition(0), 10..11).await;
    assert!(later[0] > appended[9]);
    assert_eq!(
        texts(&store.fetch(&lease, Fetch::New, ALL).await.unwrap()),
        ["10"]
    );
}

pub(crate) async fn trim_leaves_what_is_to_be_kept(site: Site) {
    let store = site.open().await;
    let appended = append(&*store, &partition(0), 0..6_000).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    store
        .acknowledge_through(&lease, appended[4_999])
        .await
        .unwrap();
    assert_eq!(store.trim(&lease, 6_000).await.unwrap(), 0);
    assert_eq!(store.trim(&lease, 9_000).await.unwrap(), 0);
    // A block is left over at most.
    store.trim(&lease, 1_500).await.unwrap();
    let left = read_all(&*store, &partition(0)).await.len();
    assert!((1_500..1_700).contains(&left), "{left}");
    // What the group needs is kept in any case.
    store.trim(&lease, 10).await.unwrap();
    let left = read_all(&*store, &partition(0)).await.len();
    assert!((1_000..1_200).contains(&left), "{left}");
    store.trim(&lease, 0).await.unwrap();
    assert_eq!(
        texts(&read_all(&*store, &partition(0)).await),
        numbers(5_000..6_000)
    );
}
