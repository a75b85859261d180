//! Append under promises: a bound, idempotence by request id, durability.

use std::time::Duration;

use tidegate_store::{AppendOptions, Appended, Bound, Durability, Error, Fetch, NewEntry, Result};

use crate::site::{ALL, Site, append, entry, eventually, numbers, own, partition, read_all, texts};

const WINDOW: Duration = Duration::from_secs(60);

fn bounded(bound: Bound) -> AppendOptions {
    AppendOptions {
        bound,
        ..AppendOptions::default()
    }
}

fn within(window: Duration) -> AppendOptions {
    AppendOptions {
        idempotence: Some(window),
        ..AppendOptions::default()
    }
}

/// Entries of partition 0 with these numbers for their texts and request ids.
fn requests(numbers: std::ops::Range<u32>) -> Vec<NewEntry> {
    numbers
        .map(|number| entry(&partition(0), number).with_request_id(format!("r{number}")))
        .collect()
}

fn entries(numbers: std::ops::Range<u32>) -> Vec<NewEntry> {
    numbers.map(|number| entry(&partition(0), number)).collect()
}

fn all_ok(results: Vec<Result<Appended>>) -> Vec<Appended> {
    results.into_iter().map(Result::unwrap).collect()
}

pub(crate) async fn each_entry_has_a_result_in_the_order_of_the_call(site: Site) {
    let store = site.open().await;
    let mixed = vec![
        entry(&partition(0), "a"),
        NewEntry::new(partition(0), Vec::new()),
        entry(&partition(1), "b"),
        entry(&partition(0), "c"),
    ];
    let results = store.append_with(mixed, &AppendOptions::default()).await;
    let [Ok(a), Err(Error::Invalid(_)), Ok(b), Ok(c)] = results.as_slice() else {
        panic!("{results:?}")
    };
    assert!(a.id < c.id && !a.duplicate && !b.duplicate);
    assert_eq!(texts(&read_all(&*store, &partition(0)).await), ["a", "c"]);
    assert_eq!(texts(&read_all(&*store, &partition(1)).await), ["b"]);
}

pub(crate) async fn a_full_partition_refuses_and_keeps_what_it_has(site: Site) {
    let store = site.open().await;
    let mark = bounded(Bound::HighWater(7));
    let results = store.append_with(entries(0..10), &mark).await;
    let appended: Vec<_> = results.iter().map(Result::is_ok).collect();
    assert_eq!(appended, [[true; 7].as_slice(), &[false; 3]].concat());
    let Err(Error::Full {
        partition: full,
        held: 7,
        high_water: 7,
    }) = &results[7]
    else {
        panic!("{results:?}")
    };
    assert_eq!(*full, partition(0));
    // Another partition has room, and another producer is refused as well.
    let other = store
        .append_with(vec![entry(&partition(1), "x")], &mark)
        .await;
    assert!(other[0].is_ok());
    let refused = site.open().await.append_with(entries(10..11), &mark).await;
    assert!(matches!(refused[0], Err(Error::Full { .. })), "{refused:?}");
    assert_eq!(
        texts(&read_all(&*store, &partition(0)).await),
        numbers(0..7)
    );
}

pub(crate) async fn a_full_partition_has_room_again_after_a_trim(site: Site) {
    let store = site.open().await;
    let mark = bounded(Bound::HighWater(5));
    let appended = all_ok(store.append_with(entries(0..5), &mark).await);
    assert!(store.append_with(entries(5..6), &mark).await[0].is_err());

    let lease = own(&*store, "g", &partition(0)).await;
    store
        .acknowledge_through(&lease, appended[2].id)
        .await
        .unwrap();
    assert_eq!(store.trim(&lease, 0).await.unwrap(), 3);
    let results = store.append_with(entries(5..10), &mark).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
    assert_eq!(
        texts(&read_all(&*store, &partition(0)).await),
        numbers(3..8)
    );
}

pub(crate) async fn producers_overshoot_a_high_water_mark_by_one_chunk_each_at_most(site: Site) {
    const CHUNK: u32 = 500;
    let (one, other) = (site.open().await, site.open().await);
    let mark = bounded(Bound::HighWater(2_000));
    // Both learn early that there is room, and then take turns without asking each time.
    let mut refused = [false; 2];
    for round in 0..200 {
        for (store, refused) in [&one, &other].into_iter().zip(&mut refused) {
            let results = store
                .append_with(entries(round * 20..round * 20 + 20), &mark)
                .await;
            *refused |= results.iter().any(Result::is_err);
        }
    }
    assert_eq!(refused, [true; 2]);
    let held = read_all(&*one, &partition(0)).await.len();
    let overshot = 2_000 + 2 * CHUNK as usize;
    assert!((2_000..=overshot).contains(&held), "{held}");
}

pub(crate) async fn drop_oldest_keeps_about_so_many_of_the_newest(site: Site) {
    let store = site.open().await;
    let newest = bounded(Bound::DropOldest(1_000));
    for round in 0..10 {
        let results = store
            .append_with(entries(round * 500..round * 500 + 500), &newest)
            .await;
        all_ok(results);
    }
    let read = texts(&read_all(&*store, &partition(0)).await);
    assert!((1_000..1_500).contains(&read.len()), "{}", read.len());
    let first = 5_000 - u32::try_from(read.len()).unwrap();
    assert_eq!(read, numbers(first..5_000));
}

pub(crate) async fn a_reader_of_what_was_dropped_goes_on_with_what_is_left(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "g", &partition(0)).await;
    let limit = tidegate_store::ReadLimit { entries: 5, ..ALL };
    store.fetch(&lease, Fetch::New, limit).await.unwrap();
    let newest = bounded(Bound::DropOldest(100));
    for round in 0..10 {
        all_ok(
            store
                .append_with(entries(10 + round * 100..110 + round * 100), &newest)
                .await,
        );
    }
    let rest = texts(&store.fetch(&lease, Fetch::New, ALL).await.unwrap());
    assert!(rest.len() < 1_000, "some were dropped unread");
    let first = 1_010 - u32::try_from(rest.len()).unwrap();
    assert_eq!(rest, numbers(first..1_010));
}

pub(crate) async fn the_same_request_is_appended_once(site: Site) {
    let (one, other) = (site.open().await, site.open().await);
    let first = all_ok(one.append_with(requests(0..700), &within(WINDOW)).await);
    assert!(first.iter().all(|appended| !appended.duplicate));
    // Another producer sends some of them again, together with new ones and one without an id.
    let mut again = requests(690..710);
    again.push(entry(&partition(0), 710));
    let second = all_ok(other.append_with(again, &within(WINDOW)).await);
    for (known, was) in second.iter().zip(&first[690..]) {
        assert!(known.duplicate);
        assert_eq!(known.id, was.id);
    }
    assert!(second[10..].iter().all(|appended| !appended.duplicate));
    assert_eq!(
        texts(&read_all(&*one, &partition(0)).await),
        numbers(0..711)
    );
}

pub(crate) async fn a_request_twice_in_one_call_is_appended_once(site: Site) {
    let store = site.open().await;
    let twice = [requests(1..3), requests(1..3)].concat();
    let results = all_ok(store.append_with(twice, &within(WINDOW)).await);
    let duplicates: Vec<_> = results.iter().map(|appended| appended.duplicate).collect();
    assert_eq!(duplicates, [false, false, true, true]);
    assert_eq!(results[0].id, results[2].id);
    assert_eq!(texts(&read_all(&*store, &partition(0)).await), ["1", "2"]);
}

pub(crate) async fn a_request_sent_by_many_at_once_is_appended_once(site: Site) {
    let store = site.open().await;
    let senders: Vec<_> = (0..20)
        .map(|_| {
            let store = std::sync::Arc::clone(&store);
            tokio::spawn(async move { store.append_with(requests(0..5), &within(WINDOW)).await })
        })
        .collect();
    let mut appended = 0;
    for sender in senders {
        let results = all_ok(sender.await.unwrap());
        appended += results.iter().filter(|it| !it.duplicate).count();
    }
    assert_eq!(appended, 5);
    assert_eq!(
        texts(&read_all(&*store, &partition(0)).await),
        numbers(0..5)
    );
}

pub(crate) async fn a_request_is_forgotten_after_its_window(site: Site) {
    let store = site.open().await;
    let brief = within(Duration::from_millis(1));
    let first = all_ok(store.append_with(requests(0..2), &within(WINDOW)).await);
    let second = all_ok(store.append_with(requests(2..3), &brief).await);
    let again = eventually("the request is new again", || async {
        let results = all_ok(store.append_with(requests(2..3), &brief).await);
        (!results[0].duplicate).then_some(results[0].id)
    });
    assert!(again.await > second[0].id);
    let kept = all_ok(store.append_with(requests(0..1), &within(WINDOW)).await)[0];
    assert_eq!((kept.id, kept.duplicate), (first[0].id, true));
}

pub(crate) async fn a_request_id_belongs_to_its_partition(site: Site) {
    let store = site.open().await;
    let to = |index| vec![entry(&partition(index), "x").with_request_id("same")];
    for index in 0..3 {
        let results = all_ok(store.append_with(to(index), &within(WINDOW)).await);
        assert!(!results[0].duplicate, "partition {index}");
    }
}

pub(crate) async fn without_a_window_a_request_id_is_not_looked_at(site: Site) {
    let store = site.open().await;
    for _ in 0..2 {
        store.append(requests(0..1)).await.unwrap();
    }
    assert_eq!(read_all(&*store, &partition(0)).await.len(), 2);
}

pub(crate) async fn a_known_request_is_known_in_a_full_partition_too(site: Site) {
    let store = site.open().await;
    let options = AppendOptions {
        bound: Bound::HighWater(5),
        ..within(WINDOW)
    };
    let first = store.append_with(requests(0..8), &options).await;
    assert_eq!(first.iter().filter(|result| result.is_ok()).count(), 5);
    // The caller retries all: what is there is found, and the rest is refused again.
    let again = store.append_with(requests(0..8), &options).await;
    for (number, result) in again.iter().enumerate() {
        match result {
            Ok(appended) => assert!(number < 5 && appended.duplicate),
            Err(error) => assert!(number >= 5 && matches!(error, Error::Full { .. })),
        }
    }
    assert_eq!(
        texts(&read_all(&*store, &partition(0)).await),
        numbers(0..5)
    );
}

pub(crate) async fn options_that_make_no_sense_are_invalid_for_each_entry(site: Site) {
    let store = site.open().await;
    for options in [
        bounded(Bound::HighWater(0)),
        within(Duration::ZERO),
        AppendOptions {
            durability: Durability::Replicated { replicas: 0 },
            ..AppendOptions::default()
        },
    ] {
        let results = store.append_with(entries(0..3), &options).await;
        assert_eq!(results.len(), 3);
        for result in results {
            assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
        }
    }
    let long_id = entry(&partition(0), "x").with_request_id(vec![b'x'; 1_000]);
    let results = store.append_with(vec![long_id], &within(WINDOW)).await;
    assert!(matches!(results[0], Err(Error::Invalid(_))), "{results:?}");
    assert!(read_all(&*store, &partition(0)).await.is_empty());
}
