//! Lag: exact counts, whatever was trimmed.

use tidegate_store::{EntryId, Fetch, Lag, ReadLimit};

use crate::site::{ALL, Site, append, group, ids, lag, own, partition};

pub(crate) async fn lag_counts(site: Site) {
    let store = site.open().await;
    let appended = append(&*store, &partition(0), 0..10).await;
    let untouched = Lag {
        appended: 10,
        held: 10,
        last_id: appended[9],
        delivered_through: EntryId::ZERO,
        pending: 0,
        undelivered: 10,
        is_sealed: false,
    };
    assert_eq!(lag(&*store, "readers", &partition(0)).await, untouched);

    let lease = own(&*store, "readers", &partition(0)).await;
    let some = ReadLimit { entries: 7, ..ALL };
    let fetched = store.fetch(&lease, Fetch::New, some).await.unwrap();
    store
        .acknowledge(&lease, &ids(&fetched)[..2])
        .await
        .unwrap();
    let expected = Lag {
        delivered_through: appended[6],
        pending: 5,
        undelivered: 3,
        ..untouched
    };
    assert_eq!(lag(&*store, "readers", &partition(0)).await, expected);
    assert_eq!(lag(&*store, "others", &partition(0)).await, untouched);
}

pub(crate) async fn lag_counts_after_trim(site: Site) {
    let store = site.open().await;
    let appended = append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    store
        .acknowledge_through(&lease, appended[5])
        .await
        .unwrap();
    store.trim(&lease, 0).await.unwrap();
    let expected = Lag {
        appended: 10,
        held: 4,
        last_id: appended[9],
        delivered_through: appended[5],
        pending: 0,
        undelivered: 4,
        is_sealed: false,
    };
    assert_eq!(lag(&*store, "readers", &partition(0)).await, expected);

    store
        .acknowledge_through(&lease, appended[9])
        .await
        .unwrap();
    store.trim(&lease, 0).await.unwrap();
    let empty = Lag {
        held: 0,
        undelivered: 0,
        delivered_through: appended[9],
        ..expected
    };
    assert_eq!(lag(&*store, "readers", &partition(0)).await, empty);
}

pub(crate) async fn lag_of_an_unknown_stream_is_zero(site: Site) {
    let store = site.open().await;
    assert_eq!(lag(&*store, "readers", &partition(0)).await, Lag::default());
}

pub(crate) async fn lag_answers_in_the_order_of_the_question(site: Site) {
    let store = site.open().await;
    for index in 0..4 {
        append(&*store, &partition(index), 0..index).await;
    }
    let asked = [2, 0, 3, 1].map(partition);
    let lags = store.lag(&group("readers"), &asked).await.unwrap();
    assert_eq!(
        lags.iter().map(|lag| lag.held).collect::<Vec<_>>(),
        [2, 0, 3, 1]
    );
    assert_eq!(store.lag(&group("readers"), &[]).await.unwrap(), []);
}
