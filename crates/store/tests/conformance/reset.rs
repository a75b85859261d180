//! Reset: a group begins again elsewhere, and its present owner has to notice.

use tidegate_store::{EntryId, Epoch, Error, Fetch, ReadLimit, Start, WorkerId};

use crate::site::{
    ALL, LONG, Site, append, eventually, group, ids, lag, numbers, own, partition, read_all, texts,
};

/// What a new owner reads after a reset of a group that had read all of ten entries, twice five
/// that lie some milliseconds apart.
async fn read_after_reset(site: &Site, start: impl FnOnce(&[EntryId]) -> Start) -> Vec<String> {
    let store = site.open().await;
    let mut appended = append(&*store, &partition(0), 0..5).await;
    let ms = appended.last().expect("five entries").ms;
    // The next five are of a later time as soon as the store's own clock says so.
    eventually("a later millisecond", || async {
        let id = append(&*store, &partition(1), 0..1).await[0];
        (id.ms > ms).then_some(())
    })
    .await;
    appended.extend(append(&*store, &partition(0), 5..10).await);
    let lease = own(&*store, "readers", &partition(0)).await;
    let fetched = store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    store
        .acknowledge(&lease, &ids(&fetched)[..3])
        .await
        .unwrap();
    store
        .reset_group(&group("readers"), &partition(0), start(&appended))
        .await
        .unwrap();
    let next = own(&*store, "readers", &partition(0)).await;
    let pending = Fetch::Pending(EntryId::ZERO);
    assert!(store.fetch(&next, pending, ALL).await.unwrap().is_empty());
    texts(&store.fetch(&next, Fetch::New, ALL).await.unwrap())
}

pub(crate) async fn a_reset_group_reads_from_the_beginning(site: Site) {
    let read = read_after_reset(&site, |_| Start::Beginning).await;
    assert_eq!(read, numbers(0..10));
}

pub(crate) async fn a_reset_group_reads_after_an_entry(site: Site) {
    let read = read_after_reset(&site, |appended| Start::After(appended[6])).await;
    assert_eq!(read, numbers(7..10));
}

pub(crate) async fn a_reset_group_reads_from_a_time(site: Site) {
    let read = read_after_reset(&site, |appended| Start::Time(appended[5].ms)).await;
    assert_eq!(read, numbers(5..10));
}

pub(crate) async fn a_reset_group_reads_only_what_is_new(site: Site) {
    assert!(read_after_reset(&site, |_| Start::End).await.is_empty());
    let store = site.open().await;
    let lag = lag(&*store, "readers", &partition(0)).await;
    assert_eq!((lag.pending, lag.undelivered), (0, 0));
}

pub(crate) async fn a_reset_takes_the_lease_from_a_running_owner(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    let fetched = store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    store
        .reset_group(&group("readers"), &partition(0), Start::Beginning)
        .await
        .unwrap();
    let lost = store.acknowledge(&lease, &ids(&fetched)).await;
    assert!(matches!(lost, Err(Error::LeaseLost { .. })), "{lost:?}");
    let next = store
        .try_acquire_lease(&lease.group, &lease.partition, lease.worker, LONG, Epoch(0))
        .await
        .unwrap()
        .expect("nobody holds it");
    assert!(
        next.epoch.0 > lease.epoch.0 + 1,
        "the epoch in between is used up"
    );
    let some = ReadLimit { entries: 2, ..ALL };
    assert_eq!(
        texts(&store.fetch(&next, Fetch::New, some).await.unwrap()),
        numbers(0..2)
    );
}

pub(crate) async fn a_group_that_never_read_can_be_reset(site: Site) {
    let store = site.open().await;
    let readers = group("readers");
    store
        .reset_group(&readers, &partition(3), Start::End)
        .await
        .unwrap();
    append(&*store, &partition(3), 0..2).await;
    let lease = store
        .try_acquire_lease(&readers, &partition(3), WorkerId::random(), LONG, Epoch(0))
        .await
        .unwrap()
        .unwrap();
    let fetched = store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    assert_eq!(texts(&fetched), numbers(0..2));
    assert_eq!(read_all(&*store, &partition(3)).await, fetched);
}
