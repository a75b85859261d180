//! Sealed partitions: closed for good, and read to their end.

use std::time::Duration;

use tidegate_store::{
    AppendOptions, Appended, Bound, Error, Fetch, NewEntry, Partition, Store, StreamName,
};

use crate::site::{ALL, Site, append, entry, group, ids, lag, numbers, own, read_all, texts};

const WINDOW: Duration = Duration::from_secs(60);

fn partition(index: u32) -> Partition {
    let stream = StreamName::of_app("shop", "sealed");
    stream.unwrap().partition(index)
}

async fn sealed(site: &Site, entries: u32) -> std::sync::Arc<dyn Store> {
    let store = site.open().await;
    append(&*store, &partition(0), 0..entries).await;
    store.seal(&partition(0)).await.unwrap();
    store
}

fn with(bound: Bound) -> AppendOptions {
    AppendOptions {
        bound,
        ..AppendOptions::default()
    }
}

fn known_for(window: Duration, bound: Bound) -> AppendOptions {
    AppendOptions {
        idempotence: Some(window),
        ..with(bound)
    }
}

fn request(id: &'static str) -> NewEntry {
    entry(&partition(0), id).with_request_id(id)
}

fn is_sealed(result: &Result<Appended, Error>) -> bool {
    matches!(result, Err(Error::Sealed { partition: of }) if *of == partition(0))
}

pub(crate) async fn a_sealed_partition_refuses_and_keeps_what_it_has(site: Site) {
    let store = sealed(&site, 3).await;
    store.seal(&partition(0)).await.unwrap();
    let producer = site.open().await;
    for options in [
        with(Bound::None),
        with(Bound::HighWater(100)),
        with(Bound::DropOldest(1)),
        known_for(WINDOW, Bound::None),
        known_for(WINDOW, Bound::HighWater(100)),
    ] {
        for entries in [vec![request("a")], vec![request("b"), request("c")]] {
            let results = producer.append_with(entries, &options).await;
            assert!(results.iter().all(is_sealed), "{options:?}: {results:?}");
        }
    }
    assert_eq!(
        texts(&read_all(&*store, &partition(0)).await),
        numbers(0..3)
    );
    // Its neighbours take what is theirs, also in the same call.
    let both = vec![entry(&partition(0), "x"), entry(&partition(1), "y")];
    let results = producer.append_with(both, &with(Bound::None)).await;
    assert!(is_sealed(&results[0]) && results[1].is_ok(), "{results:?}");
}

pub(crate) async fn a_partition_that_nobody_appended_to_can_be_sealed(site: Site) {
    let store = sealed(&site, 0).await;
    let results = store
        .append_with(vec![request("a")], &with(Bound::None))
        .await;
    assert!(is_sealed(&results[0]), "{results:?}");
    let lag = lag(&*store, "readers", &partition(0)).await;
    assert!(lag.is_sealed && lag.held == 0 && lag.undelivered == 0);
    assert!(store.groups(&partition(0)).await.unwrap().is_empty());
}

pub(crate) async fn a_sealed_partition_is_read_to_its_end_and_trimmed(site: Site) {
    let store = sealed(&site, 10).await;
    let before = lag(&*store, "readers", &partition(0)).await;
    assert!(before.is_sealed);
    assert_eq!((before.held, before.undelivered), (10, 10));
    let lease = own(&*store, "readers", &partition(0)).await;
    let fetched = store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    let read = lag(&*store, "readers", &partition(0)).await;
    assert_eq!((read.pending, read.undelivered), (10, 0));
    assert_eq!(read.last_id, fetched[9].id);
    store.acknowledge(&lease, &ids(&fetched)).await.unwrap();
    assert!(
        store
            .fetch(&lease, Fetch::New, ALL)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.trim(&lease, 0).await.unwrap(), 10);
    for name in ["readers", "others"] {
        let after = lag(&*store, name, &partition(0)).await;
        assert!(after.is_sealed);
        assert_eq!((after.held, after.pending, after.undelivered), (0, 0, 0));
    }
    let results = store
        .append_with(vec![request("a")], &with(Bound::None))
        .await;
    assert!(is_sealed(&results[0]), "{results:?}");
}

pub(crate) async fn a_sealed_partition_answers_what_it_knows(site: Site) {
    let store = site.open().await;
    let first = store
        .append_with(vec![request("a")], &known_for(WINDOW, Bound::None))
        .await;
    let first = first.into_iter().next().unwrap().unwrap();
    let asked = known_for(WINDOW, Bound::Closed);
    for _ in 0..2 {
        let results = store
            .append_with(
                vec![request("b"), request("a"), entry(&partition(0), "c")],
                &asked,
            )
            .await;
        assert!(
            is_sealed(&results[0]) && is_sealed(&results[2]),
            "{results:?}"
        );
        let known = results[1].as_ref().unwrap();
        assert!(known.duplicate && known.id == first.id, "{known:?}");
        // The second time round it is sealed.
        store.seal(&partition(0)).await.unwrap();
    }
    let results = store
        .append_with(vec![request("a")], &with(Bound::Closed))
        .await;
    assert!(is_sealed(&results[0]), "{results:?}");
    assert_eq!(read_all(&*store, &partition(0)).await.len(), 1);
}

pub(crate) async fn an_append_happens_before_the_seal_or_not_at_all(site: Site) {
    const PRODUCERS: u32 = 4;
    let mut producers = Vec::new();
    for producer in 0..PRODUCERS {
        let store = site.open().await;
        producers.push(tokio::spawn(async move {
            let mut taken = 0_u32;
            loop {
                let text = |nth| format!("{producer}:{}", taken + nth);
                let entries = (0..3).map(|nth| entry(&partition(0), text(nth))).collect();
                let results = store.append_with(entries, &with(Bound::None)).await;
                let ok = results.iter().take_while(|it| it.is_ok()).count();
                assert!(results[ok..].iter().all(is_sealed), "{results:?}");
                taken += u32::try_from(ok).unwrap();
                if ok < 3 {
                    return taken;
                }
            }
        }));
    }
    let store = site.open().await;
    crate::site::eventually("some are appended", async || {
        (read_all(&*store, &partition(0)).await.len() > 100).then_some(())
    })
    .await;
    store.seal(&partition(0)).await.unwrap();
    let at_the_seal = texts(&read_all(&*store, &partition(0)).await);
    for (producer, task) in (0..PRODUCERS).zip(producers) {
        let taken = task.await.unwrap();
        let expected: Vec<String> = (0..taken).map(|nth| format!("{producer}:{nth}")).collect();
        let prefix = format!("{producer}:");
        let of_one = |text: &&String| text.starts_with(&prefix);
        let found: Vec<String> = at_the_seal.iter().filter(of_one).cloned().collect();
        assert_eq!(found, expected);
    }
    let held = read_all(&*store, &partition(0)).await;
    assert_eq!(held.len(), at_the_seal.len());
}

pub(crate) async fn the_groups_of_a_partition_are_named(site: Site) {
    let store = site.open().await;
    assert!(store.groups(&partition(0)).await.unwrap().is_empty());
    append(&*store, &partition(0), 0..1).await;
    for name in ["settle", "audit"] {
        let lease = own(&*store, name, &partition(0)).await;
        store.fetch(&lease, Fetch::New, ALL).await.unwrap();
    }
    let named = store.groups(&partition(0)).await.unwrap();
    assert_eq!(named, [group("audit"), group("settle")]);
    assert!(store.groups(&partition(1)).await.unwrap().is_empty());
}

pub(crate) async fn a_drains_partition_is_not_sealed(site: Site) {
    let store = site.open().await;
    let refused = store.seal(&crate::site::partition(0)).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
}
