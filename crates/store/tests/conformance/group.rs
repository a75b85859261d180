//! Consumer groups: delivery, pending entries, acknowledgement.

use tidegate_store::{EntryId, Fetch, ReadLimit};

use crate::site::{ALL, Site, append, ids, lag, numbers, own, partition, succeed, texts};

pub(crate) async fn a_new_group_begins_at_the_beginning_of_the_stream(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    assert_eq!(
        texts(&store.fetch(&lease, Fetch::New, ALL).await.unwrap()),
        numbers(0..10)
    );
}

pub(crate) async fn what_was_fetched_is_not_delivered_again(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    assert_eq!(store.fetch(&lease, Fetch::New, ALL).await.unwrap(), []);
    append(&*store, &partition(0), 10..15).await;
    assert_eq!(
        texts(&store.fetch(&lease, Fetch::New, ALL).await.unwrap()),
        numbers(10..15)
    );
}

pub(crate) async fn fetch_limit_by_entries_is_exact(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    let limit = ReadLimit { entries: 4, ..ALL };
    for expected in [0..4, 4..8, 8..10] {
        let fetched = store.fetch(&lease, Fetch::New, limit).await.unwrap();
        assert_eq!(texts(&fetched), numbers(expected));
    }
}

pub(crate) async fn pending_entries_come_first_for_a_new_owner(site: Site) {
    let (one, other) = (site.open().await, site.open().await);
    append(&*one, &partition(0), 0..10).await;
    let lease = own(&*one, "readers", &partition(0)).await;
    let fetched = one
        .fetch(&lease, Fetch::New, ReadLimit { entries: 6, ..ALL })
        .await
        .unwrap();
    one.acknowledge(&lease, &ids(&fetched)[..2]).await.unwrap();

    let next = succeed(&*other, &lease).await;
    let pending = other
        .fetch(&next, Fetch::Pending(EntryId::ZERO), ALL)
        .await
        .unwrap();
    assert_eq!(pending, fetched[2..]);
    assert_eq!(
        texts(&other.fetch(&next, Fetch::New, ALL).await.unwrap()),
        numbers(6..10)
    );
}

pub(crate) async fn pending_is_read_page_by_page(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    let mut after = EntryId::ZERO;
    let mut read = Vec::new();
    loop {
        let limit = ReadLimit { entries: 3, ..ALL };
        let page = store
            .fetch(&lease, Fetch::Pending(after), limit)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 3);
        after = last.id;
        read.extend(texts(&page));
    }
    assert_eq!(read, numbers(0..10));
}

pub(crate) async fn acknowledged_entries_are_not_pending(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..5).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    let fetched = store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    let (first, third) = (fetched[0].id, fetched[2].id);
    assert_eq!(store.acknowledge(&lease, &[third, first]).await.unwrap(), 2);
    let pending = store
        .fetch(&lease, Fetch::Pending(EntryId::ZERO), ALL)
        .await
        .unwrap();
    assert_eq!(texts(&pending), ["1", "3", "4"]);
    assert_eq!(lag(&*store, "readers", &partition(0)).await.pending, 3);
}

pub(crate) async fn acknowledge_counts_only_what_was_pending(site: Site) {
    let store = site.open().await;
    let appended = append(&*store, &partition(0), 0..5).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    assert_eq!(
        store.acknowledge(&lease, &appended).await.unwrap(),
        0,
        "nothing was fetched"
    );
    store
        .fetch(&lease, Fetch::New, ReadLimit { entries: 3, ..ALL })
        .await
        .unwrap();
    assert_eq!(store.acknowledge(&lease, &appended).await.unwrap(), 3);
    assert_eq!(
        store.acknowledge(&lease, &appended).await.unwrap(),
        0,
        "a repetition is harmless"
    );
    assert_eq!(store.acknowledge(&lease, &[]).await.unwrap(), 0);
    assert_eq!(
        texts(&store.fetch(&lease, Fetch::New, ALL).await.unwrap()),
        numbers(3..5)
    );
}

pub(crate) async fn groups_are_independent(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..5).await;
    let one = own(&*store, "one", &partition(0)).await;
    let other = own(&*store, "other", &partition(0)).await;
    let fetched = store.fetch(&one, Fetch::New, ALL).await.unwrap();
    store.acknowledge(&one, &ids(&fetched)).await.unwrap();
    assert_eq!(
        texts(&store.fetch(&other, Fetch::New, ALL).await.unwrap()),
        numbers(0..5)
    );
    assert_eq!(lag(&*store, "one", &partition(0)).await.pending, 0);
    assert_eq!(lag(&*store, "other", &partition(0)).await.pending, 5);
}

pub(crate) async fn acknowledge_through_moves_the_group_position(site: Site) {
    let store = site.open().await;
    let appended = append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    store
        .acknowledge_through(&lease, appended[5])
        .await
        .unwrap();
    let lag = lag(&*store, "readers", &partition(0)).await;
    assert_eq!(lag.delivered_through, appended[5]);
    assert_eq!((lag.pending, lag.undelivered), (0, 4));
    assert_eq!(
        texts(&store.fetch(&lease, Fetch::New, ALL).await.unwrap()),
        numbers(6..10)
    );
}

pub(crate) async fn acknowledge_through_may_move_backwards(site: Site) {
    let store = site.open().await;
    let appended = append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    store
        .acknowledge_through(&lease, appended[8])
        .await
        .unwrap();
    store
        .acknowledge_through(&lease, appended[2])
        .await
        .unwrap();
    let lag = lag(&*store, "readers", &partition(0)).await;
    assert_eq!((lag.delivered_through, lag.undelivered), (appended[2], 7));
    assert_eq!(
        texts(&store.fetch(&lease, Fetch::New, ALL).await.unwrap()),
        numbers(3..10)
    );
}

pub(crate) async fn acknowledge_through_leaves_nothing_pending(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    let fetched = store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    store
        .acknowledge_through(&lease, fetched[4].id)
        .await
        .unwrap();
    assert_eq!(
        store
            .fetch(&lease, Fetch::Pending(EntryId::ZERO), ALL)
            .await
            .unwrap(),
        []
    );
    assert_eq!(lag(&*store, "readers", &partition(0)).await.pending, 0);
    assert_eq!(
        texts(&store.fetch(&lease, Fetch::New, ALL).await.unwrap()),
        numbers(5..10)
    );
}
