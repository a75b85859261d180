//! Append: order, ids, and fields that come back as they were.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_store::{Error, NewEntry};

use crate::site::{Site, append, entry, ids, numbers, partition, read_all, texts};

pub(crate) async fn append_keeps_order_in_each_partition(site: Site) {
    let store = site.open().await;
    let entries = (0..300)
        .map(|number| entry(&partition(number % 3), number / 3))
        .collect();
    store.append(entries).await.unwrap();
    for index in 0..3 {
        assert_eq!(
            texts(&read_all(&*store, &partition(index)).await),
            numbers(0..100)
        );
    }
}

pub(crate) async fn ids_come_back_in_the_order_of_the_call(site: Site) {
    let store = site.open().await;
    let entries = (0..30)
        .map(|number| entry(&partition(number % 3), number))
        .collect();
    let returned = store.append(entries).await.unwrap();
    for index in 0..3_u32 {
        let of_partition: Vec<_> = returned
            .iter()
            .skip(index as usize)
            .step_by(3)
            .copied()
            .collect();
        assert_eq!(
            ids(&read_all(&*store, &partition(index)).await),
            of_partition
        );
    }
}

pub(crate) async fn ids_only_grow(site: Site) {
    let (one, other) = (site.open().await, site.open().await);
    let mut all = Vec::new();
    for round in 0..10 {
        let store = if round % 2 == 0 { &one } else { &other };
        all.extend(append(&**store, &partition(0), 0..20).await);
    }
    assert!(
        all.is_sorted_by(|earlier, later| earlier < later),
        "{all:?}"
    );
}

pub(crate) async fn appending_nothing_returns_nothing(site: Site) {
    let store = site.open().await;
    assert_eq!(store.append(Vec::new()).await.unwrap(), []);
}

pub(crate) async fn an_entry_without_fields_is_refused(site: Site) {
    let store = site.open().await;
    let empty = NewEntry::new(partition(0), Vec::new());
    let refused = store.append(vec![entry(&partition(0), 1), empty]).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
}

pub(crate) async fn binary_and_empty_field_values_round_trip(site: Site) {
    let store = site.open().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let fields = vec![
        (Bytes::from_static(b"empty"), Bytes::new()),
        (Bytes::from(every_byte.clone()), Bytes::from(every_byte)),
        (
            Bytes::from_static(b"lines"),
            Bytes::from_static(b"\r\n$3\r\n\0"),
        ),
        (
            Bytes::from_static("schlüssel".as_bytes()),
            Bytes::from_static("€".as_bytes()),
        ),
        (Bytes::new(), Bytes::from_static(b"a name may be empty")),
    ];
    let new = NewEntry::new(partition(0), fields.clone());
    store.append(vec![new]).await.unwrap();
    assert_eq!(read_all(&*store, &partition(0)).await[0].fields, fields);
}

pub(crate) async fn a_field_name_may_occur_twice(site: Site) {
    let store = site.open().await;
    let field = |value| (Bytes::from_static(b"name"), Bytes::from_static(value));
    let fields = vec![field(b"first"), field(b"second")];
    let new = NewEntry::new(partition(0), fields.clone());
    store.append(vec![new]).await.unwrap();
    let read = read_all(&*store, &partition(0)).await;
    assert_eq!(read[0].fields, fields);
    assert_eq!(read[0].field(b"name").unwrap(), "first");
}

pub(crate) async fn large_entries(site: Site) {
    let store = site.open().await;
    let value = |byte: u8| Bytes::from(vec![byte; 3_000_000]);
    let new = |byte| {
        let fields = vec![(Bytes::from_static(b"data"), value(byte))];
        NewEntry::new(partition(0), fields)
    };
    store
        .append(vec![new(b'a'), new(b'b'), new(b'c')])
        .await
        .unwrap();
    let read = read_all(&*store, &partition(0)).await;
    let values: Vec<_> = read
        .iter()
        .map(|entry| entry.field(b"data").unwrap())
        .collect();
    // Not `assert_eq`, which would print megabytes.
    assert!(values == [&value(b'a'), &value(b'b'), &value(b'c')]);
}

pub(crate) async fn many_callers_append_at_once(site: Site) {
    let store = site.open().await;
    let callers: Vec<_> = (0..50)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0..10 {
                    let text = format!("{caller}/{number}");
                    store
                        .append(vec![entry(&partition(0), text)])
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let read = texts(&read_all(&*store, &partition(0)).await);
    assert_eq!(read.iter().collect::<BTreeSet<_>>().len(), 500);
    for caller in 0..50 {
        let prefix = format!("{caller}/");
        let own: Vec<_> = read
            .iter()
            .filter_map(|text| text.strip_prefix(&prefix))
            .collect();
        assert_eq!(
            own,
            numbers(0..10),
            "caller {caller} waited for each append"
        );
    }
}

pub(crate) async fn two_handles_append_to_one_partition(site: Site) {
    let (one, other) = (site.open().await, site.open().await);
    let both = [Arc::clone(&one), other].map(|store| {
        tokio::spawn(async move {
            for _ in 0..20 {
                append(&*store, &partition(0), 0..10).await;
            }
        })
    });
    for handle in both {
        handle.await.unwrap();
    }
    let read = read_all(&*one, &partition(0)).await;
    assert_eq!(read.len(), 400);
    assert!(ids(&read).is_sorted_by(|earlier, later| earlier < later));
}
