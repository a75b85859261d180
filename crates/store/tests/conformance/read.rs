//! Reading without a group.

use tidegate_store::{EntryId, ReadLimit, StreamName};

use crate::site::{ALL, Site, append, group, lag, numbers, partition, read_all, texts};

pub(crate) async fn unknown_stream_reads_empty(site: Site) {
    let store = site.open().await;
    assert_eq!(read_all(&*store, &partition(7)).await, []);
}

pub(crate) async fn read_starts_after_the_position(site: Site) {
    let store = site.open().await;
    let ids = append(&*store, &partition(0), 0..10).await;
    let rest = store.read_after(&partition(0), ids[3], ALL).await.unwrap();
    assert_eq!(texts(&rest), numbers(4..10));
    assert_eq!(
        store.read_after(&partition(0), ids[9], ALL).await.unwrap(),
        []
    );
    let end = EntryId::new(u64::MAX, u64::MAX);
    assert_eq!(store.read_after(&partition(0), end, ALL).await.unwrap(), []);
}

pub(crate) async fn read_limit_by_entries_is_exact(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..10).await;
    for entries in [1, 3, 10, 11] {
        let limit = ReadLimit { entries, ..ALL };
        let read = store
            .read_after(&partition(0), EntryId::ZERO, limit)
            .await
            .unwrap();
        assert_eq!(read.len(), entries.min(10));
    }
}

pub(crate) async fn read_limit_by_bytes_brings_one_entry_at_least(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..3).await;
    for bytes in [0, 1, 5] {
        let limit = ReadLimit { bytes, ..ALL };
        let read = store
            .read_after(&partition(0), EntryId::ZERO, limit)
            .await
            .unwrap();
        assert_eq!(texts(&read).first().unwrap(), "0");
    }
}

pub(crate) async fn pages_of_a_read_lose_nothing(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..1000).await;
    let mut read = Vec::new();
    let mut after = EntryId::ZERO;
    loop {
        let limit = ReadLimit {
            entries: 70,
            bytes: 300,
        };
        let page = store.read_after(&partition(0), after, limit).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.id;
        read.extend(texts(&page));
    }
    assert_eq!(read, numbers(0..1000));
}

pub(crate) async fn reading_has_no_side_effect(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..10).await;
    let before = lag(&*store, "readers", &partition(0)).await;
    let first = read_all(&*store, &partition(0)).await;
    assert_eq!(read_all(&*store, &partition(0)).await, first);
    assert_eq!(lag(&*store, "readers", &partition(0)).await, before);
}

pub(crate) async fn a_second_handle_reads_what_the_first_appended(site: Site) {
    let (one, other) = (site.open().await, site.open().await);
    for round in 0..20 {
        append(&*one, &partition(0), round..round + 1).await;
        assert_eq!(
            texts(&read_all(&*other, &partition(0)).await),
            numbers(0..round + 1)
        );
    }
}

pub(crate) async fn ping_answers(site: Site) {
    site.open().await.ping().await.unwrap();
}

pub(crate) async fn streams_of_different_kinds_are_apart(site: Site) {
    let store = site.open().await;
    let of_app = StreamName::of_app("shop", "orders").unwrap();
    let readers = group("readers");
    let streams = [
        StreamName::new("shop.orders").unwrap(),
        StreamName::prefixed("acme", "shop.orders").unwrap(),
        StreamName::prefixed("bank", "shop.orders").unwrap(),
        StreamName::new("acme:shop.orders").unwrap(),
        of_app.control(&readers).unwrap(),
        of_app.parked(&readers).unwrap(),
        of_app,
    ];
    for (number, stream) in (0..).zip(&streams) {
        append(&*store, &stream.partition(0), number..number + 1).await;
    }
    for (number, stream) in streams.iter().enumerate() {
        let found = read_all(&*store, &stream.partition(0)).await;
        assert_eq!(texts(&found), [number.to_string()], "{stream}");
    }
}
