//! Marks: small facts, written by the owner or by an operator.

use bytes::Bytes;
use tidegate_store::mark::{MARK_BYTES_MAX, MARKS_MAX};
use tidegate_store::{Error, Store, StreamName};

use crate::site::{Site, group, own, partition, succeed};

async fn marks(store: &dyn Store) -> Vec<(String, Bytes)> {
    let marks = store.marks(&group("readers"), &partition(0)).await;
    marks.unwrap().into_iter().collect()
}

fn mark(name: &str, value: &'static str) -> (String, Bytes) {
    (name.to_owned(), Bytes::from(value))
}

pub(crate) async fn a_mark_is_read_back_until_it_is_cleared(site: Site) {
    let (store, operator) = (site.open().await, site.open().await);
    let lease = own(&*store, "readers", &partition(0)).await;
    assert!(marks(&*store).await.is_empty());
    for value in ["old", "{\"reason\":\"bad\"}"] {
        store
            .put_mark(&lease, "quarantine", Some(value.into()))
            .await
            .unwrap();
    }
    store
        .put_mark(&lease, "a b", Some(Bytes::from_static(b"\xff\0")))
        .await
        .unwrap();
    store
        .put_mark(&lease, "gone", Some("x".into()))
        .await
        .unwrap();
    store.put_mark(&lease, "gone", None).await.unwrap();
    let binary = ("a b".to_owned(), Bytes::from_static(b"\xff\0"));
    let quarantine = mark("quarantine", "{\"reason\":\"bad\"}");
    assert_eq!(marks(&*operator).await, [binary.clone(), quarantine]);

    let (readers, partition) = (group("readers"), partition(0));
    let clear = async |name| {
        operator
            .clear_mark(&readers, &partition, name)
            .await
            .unwrap()
    };
    assert!(clear("quarantine").await);
    assert!(!clear("quarantine").await);
    assert_eq!(marks(&*store).await, [binary]);
}

pub(crate) async fn marks_outlive_their_owner_and_a_stale_one_writes_none(site: Site) {
    let store = site.open().await;
    let lease = own(&*store, "readers", &partition(0)).await;
    store
        .put_mark(&lease, "kept", Some("x".into()))
        .await
        .unwrap();
    let next = succeed(&*store, &lease).await;
    for value in [None, Some("late".into())] {
        let lost = store.put_mark(&lease, "kept", value).await;
        assert!(matches!(lost, Err(Error::LeaseLost { .. })), "{lost:?}");
    }
    assert_eq!(marks(&*store).await, [mark("kept", "x")]);
    store.put_mark(&next, "kept", None).await.unwrap();
    assert!(marks(&*store).await.is_empty());
}

pub(crate) async fn an_operator_writes_marks_without_a_lease(site: Site) {
    let store = site.open().await;
    let (readers, partition) = (group("readers"), partition(0));
    store
        .set_mark(&readers, &partition, "release:7", "now".into())
        .await
        .unwrap();
    assert_eq!(marks(&*store).await, [mark("release:7", "now")]);
    let elsewhere = store.marks(&group("others"), &partition).await.unwrap();
    assert!(elsewhere.is_empty());
}

pub(crate) async fn a_leader_has_marks_too(site: Site) {
    let store = site.open().await;
    let leadership = StreamName::leadership("shop").unwrap().partition(0);
    let lease = own(&*store, "one", &leadership).await;
    store
        .put_mark(&lease, "ran:report", Some("17".into()))
        .await
        .unwrap();
    let marks = store.marks(&group("other"), &leadership).await.unwrap();
    assert_eq!(
        marks.into_iter().collect::<Vec<_>>(),
        [mark("ran:report", "17")]
    );
}

pub(crate) async fn marks_are_bounded_in_size_and_number(site: Site) {
    let store = site.open().await;
    let lease = own(&*store, "readers", &partition(0)).await;
    let put = async |name: &str, bytes| {
        let value = Bytes::from(vec![b'x'; bytes]);
        store.put_mark(&lease, name, Some(value)).await
    };
    assert!(put("m", MARK_BYTES_MAX - 1).await.is_ok());
    for (name, bytes) in [("m", MARK_BYTES_MAX), ("", 1)] {
        let refused = put(name, bytes).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    for number in 1..MARKS_MAX {
        put(&number.to_string(), 1).await.unwrap();
    }
    let refused = put("one more", 1).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    assert!(
        put("m", 3).await.is_ok(),
        "one that is there can be changed"
    );
    assert_eq!(marks(&*store).await.len(), MARKS_MAX);
}
