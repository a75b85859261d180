//! Park: an entry is pending or parked, never both and never neither.

use bytes::Bytes;
use tidegate_store::{
    Entry, EntryId, Error, Fetch, Lease, ParkedEntry, Partition, Store, StreamName,
};

use crate::site::{ALL, Site, append, entry, group, ids, lag, own, read_all, succeed, texts};

fn orders(index: u32) -> Partition {
    StreamName::of_app("shop", "orders")
        .unwrap()
        .partition(index)
}

fn parked(index: u32) -> Partition {
    let stream = orders(index).stream.parked(&group("settle")).unwrap();
    stream.partition(index)
}

fn to_park(entry: &Entry) -> ParkedEntry {
    ParkedEntry {
        id: entry.id,
        key: Bytes::from_static(b"'abc'"),
        reason: "no such account".into(),
        fields: entry.fields.clone(),
    }
}

/// The owner of a partition that has ten entries, all of them delivered.
async fn owner(store: &dyn Store) -> (Lease, Vec<Entry>) {
    append(store, &orders(2), 0..10).await;
    let lease = own(store, "settle", &orders(2)).await;
    let fetched = store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    (lease, fetched)
}

pub(crate) async fn parked_entries_keep_their_order_and_fields(site: Site) {
    let store = site.open().await;
    let (lease, fetched) = owner(&*store).await;
    let some = [3, 5, 8].map(|i| to_park(&fetched[i]));
    store.park(&lease, some.to_vec()).await.unwrap();

    let found = read_all(&*store, &parked(2)).await;
    assert_eq!(texts(&found), ["3", "5", "8"]);
    let back: Option<Vec<_>> = found.iter().map(ParkedEntry::from_entry).collect();
    assert_eq!(back.unwrap(), some);
    assert!(
        found[0]
            .field(b"parked_at")
            .is_some_and(|at| at.len() == 13)
    );
    assert_eq!(lag(&*store, "settle", &orders(2)).await.pending, 7);
    assert_eq!(
        read_all(&*store, &orders(2)).await,
        fetched,
        "the log itself is as it was"
    );
    assert!(read_all(&*store, &parked(1)).await.is_empty());
}

pub(crate) async fn only_pending_entries_are_parked(site: Site) {
    let store = site.open().await;
    let (lease, fetched) = owner(&*store).await;
    store.acknowledge(&lease, &[fetched[0].id]).await.unwrap();
    let some: Vec<_> = fetched[..3].iter().map(to_park).collect();
    for _ in 0..2 {
        store.park(&lease, some.clone()).await.unwrap();
    }
    assert_eq!(texts(&read_all(&*store, &parked(2)).await), ["1", "2"]);

    let fresh = own(&*store, "settle", &orders(3)).await;
    store.park(&fresh, some).await.unwrap();
    assert!(read_all(&*store, &parked(3)).await.is_empty());
}

pub(crate) async fn a_stale_owner_parks_and_unparks_nothing(site: Site) {
    let store = site.open().await;
    let (stale, fetched) = owner(&*store).await;
    store
        .park(&stale, vec![to_park(&fetched[0])])
        .await
        .unwrap();
    let next = succeed(&*store, &stale).await;
    let kept = read_all(&*store, &parked(2)).await;

    let lost = store.park(&stale, vec![to_park(&fetched[1])]).await;
    assert!(matches!(lost, Err(Error::LeaseLost { .. })), "{lost:?}");
    let lost = store.unpark(&stale, &ids(&kept)).await;
    assert!(matches!(lost, Err(Error::LeaseLost { .. })), "{lost:?}");
    assert_eq!(read_all(&*store, &parked(2)).await, kept);
    assert_eq!(lag(&*store, "settle", &orders(2)).await.pending, 9);
    store.park(&next, vec![to_park(&fetched[1])]).await.unwrap();
    assert_eq!(texts(&read_all(&*store, &parked(2)).await), ["0", "1"]);
}

pub(crate) async fn unparked_entries_are_gone(site: Site) {
    let store = site.open().await;
    let (lease, fetched) = owner(&*store).await;
    let all = fetched.iter().map(to_park).collect();
    store.park(&lease, all).await.unwrap();
    let found = ids(&read_all(&*store, &parked(2)).await);
    let held = async || {
        let [lag] = store.lag(&group("any"), &[parked(2)]).await.unwrap()[..] else {
            panic!("one answer for one partition")
        };
        lag.held
    };
    assert_eq!(held().await, 10);
    assert_eq!(store.unpark(&lease, &found[3..5]).await.unwrap(), 2);
    let gone = [found[3], found[9], EntryId::new(1, 1)];
    assert_eq!(store.unpark(&lease, &gone).await.unwrap(), 1);
    assert_eq!(held().await, 7);
    let left = read_all(&*store, &parked(2)).await;
    assert_eq!(texts(&left), ["0", "1", "2", "5", "6", "7", "8"]);
}

pub(crate) async fn many_entries_are_parked_at_once(site: Site) {
    let store = site.open().await;
    let entries = (0..1_200).map(|number| entry(&orders(0), number)).collect();
    store.append(entries).await.unwrap();
    let lease = own(&*store, "settle", &orders(0)).await;
    let fetched = store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    let all = fetched.iter().map(to_park).collect();
    store.park(&lease, all).await.unwrap();
    let found = read_all(&*store, &parked(0)).await;
    assert_eq!(texts(&found), texts(&fetched));
    assert_eq!(store.unpark(&lease, &ids(&found)).await.unwrap(), 1_200);
}

pub(crate) async fn only_an_apps_stream_can_be_parked(site: Site) {
    let store = site.open().await;
    let shard = StreamName::new("DRAINER").unwrap().partition(0);
    let lease = own(&*store, "drain", &shard).await;
    let refused = store.park(&lease, Vec::new()).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
}
