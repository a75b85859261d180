//! What stands still until a person releases it: partitions in quarantine, and parked keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate_store::{EntryId, ParkedEntry, ReadLimit};
use tidegate_streams::{Policy, Settings, parked, quarantine};
use tidegate_testkit::poll_until;

use crate::site::{DEADLINE, Running, Seen, Site, group, processor, stream};

fn with(on_error: Policy) -> Settings {
    Settings {
        on_error,
        ..Settings::default()
    }
}

/// A switch: whether the cause of failures is still there.
#[derive(Clone, Default)]
struct Mended(Arc<AtomicBool>);

impl Mended {
    fn is(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn set(&self, mended: bool) {
        self.0.store(mended, Ordering::SeqCst);
    }
}

async fn in_quarantine(site: &Site, partition: u32) -> quarantine::Quarantine {
    let partition = stream().partition(partition);
    let mut found = None;
    let waiting = poll_until(DEADLINE, async || {
        found = quarantine::look(&*site.store, &group(), &partition)
            .await
            .unwrap();
        found.is_some()
    });
    waiting.await.expect("a quarantine");
    found.expect("just seen")
}

pub(crate) async fn a_quarantined_partition_stands_still_and_the_others_go_on(site: Site) {
    let ids = site.send(0, "a", 0..10).await;
    let (seen, mended) = (Seen::default(), Mended::default());
    let function = {
        let mended = mended.clone();
        seen.unless(move |event| event.key == "a" && event.number == 4 && !mended.is())
    };
    let worker = site.start(processor(2, with(Policy::Quarantine), function));
    let why = in_quarantine(&site, 0).await;
    assert_eq!(
        (why.entry, why.reason.as_str()),
        (ids[4].to_string(), "note 4 is bad")
    );
    site.send(1, "b", 0..10).await;
    seen.count(15).await;
    assert_eq!(seen.by_key()["a"], [0, 1, 2, 3, 4]);
    // Released, it begins with the entry that failed.
    mended.set(true);
    assert!(
        quarantine::release(&*site.store, &group(), &stream().partition(0))
            .await
            .unwrap()
    );
    site.drained(2).await;
    worker.stop().await;
    assert_eq!(seen.by_key()["a"], [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9]);
}

pub(crate) async fn a_quarantine_survives_a_restart(site: Site) {
    site.send(0, "a", 0..10).await;
    let seen = Seen::default();
    let function = seen.unless(|event| event.number == 4);
    let worker = site.start(processor(2, with(Policy::Quarantine), function));
    in_quarantine(&site, 0).await;
    worker.stop().await;
    let again = Seen::default();
    let worker = site.start(processor(2, with(Policy::Quarantine), again.all()));
    // The new worker owns both partitions when it has done something on the other one.
    site.send(1, "b", 0..1).await;
    again.count(1).await;
    let owns_both = poll_until(DEADLINE, async || worker.metrics.snapshot().len() == 2);
    owns_both.await.expect("both are owned");
    assert_eq!(again.by_key().len(), 1);
    quarantine::release(&*site.store, &group(), &stream().partition(0))
        .await
        .unwrap();
    site.drained(2).await;
    worker.stop().await;
    assert_eq!(again.by_key()["a"], [4, 5, 6, 7, 8, 9]);
}

async fn parked_entries(site: &Site) -> Vec<ParkedEntry> {
    let all = ReadLimit {
        entries: 1_000,
        bytes: usize::MAX,
    };
    let partition = stream().partition(0);
    let parked = parked::list(&*site.store, &group(), &partition, EntryId::ZERO, all).await;
    parked
        .unwrap()
        .into_iter()
        .map(|(_, entry)| entry)
        .collect()
}

/// Sends ten rounds of three keys, of which `b` fails at 3 unless it is mended.
async fn start_with_a_bad_key(site: &Site, settings: Settings) -> (Running, Seen, Mended) {
    for number in 0..10 {
        for key in ["a", "b", "c"] {
            site.send(0, key, number..number + 1).await;
        }
    }
    let (seen, mended) = (Seen::default(), Mended::default());
    let function = {
        let mended = mended.clone();
        seen.unless(move |event| event.key == "b" && event.number >= 3 && !mended.is())
    };
    let worker = site.start(processor(1, settings, function));
    (worker, seen, mended)
}

async fn park_and_release(site: &Site, settings: Settings) {
    let (worker, seen, mended) = start_with_a_bad_key(site, settings).await;
    site.drained(1).await;
    let by_key = seen.by_key();
    assert!(
        ["a", "c"]
            .iter()
            .all(|key| by_key[*key].iter().copied().eq(0..10))
    );
    assert_eq!(by_key["b"], [0, 1, 2, 3]);
    let parked = parked_entries(site).await;
    assert_eq!(parked.len(), 7);
    assert!(parked.iter().all(|entry| entry.key == "b"));
    assert!(parked.is_sorted_by_key(|entry| entry.id));
    assert_eq!(parked[0].reason, "note 3 is bad");
    // What comes later goes behind it.
    site.send(0, "b", 10..12).await;
    site.drained(1).await;
    assert_eq!(parked_entries(site).await.len(), 9);
    // Released while the cause is still there, it stays parked, all of it.
    parked::release(&*site.store, &group(), &stream().partition(0), "b")
        .await
        .unwrap();
    let tried = poll_until(DEADLINE, async || seen.by_key()["b"] == [0, 1, 2, 3, 3]);
    tried.await.expect("the first is tried again");
    let marks_are_gone = async || {
        let marks = site.store.marks(&group(), &stream().partition(0)).await;
        marks.unwrap().is_empty()
    };
    poll_until(DEADLINE, marks_are_gone)
        .await
        .expect("the release is over");
    assert_eq!(parked_entries(site).await.len(), 9);
    // Released when it is mended, it goes on in order, with what comes in the meantime.
    mended.set(true);
    parked::release(&*site.store, &group(), &stream().partition(0), "b")
        .await
        .unwrap();
    site.send(0, "b", 12..20).await;
    let all_seen = poll_until(DEADLINE, async || {
        seen.by_key()["b"].last() == Some(&19) && marks_are_gone().await
    });
    all_seen.await.expect("the key goes on");
    assert!(parked_entries(site).await.is_empty());
    site.send(0, "b", 20..21).await;
    site.drained(1).await;
    worker.stop().await;
    let numbers = seen.by_key()["b"].clone();
    let expected: Vec<u64> = [0, 1, 2, 3, 3].into_iter().chain(3..21).collect();
    assert_eq!(numbers, expected);
}

pub(crate) async fn a_parked_key_waits_in_order_and_goes_on_when_released(site: Site) {
    park_and_release(&site, with(Policy::ParkKey)).await;
}

pub(crate) async fn a_parked_key_of_a_lane_waits_as_well(site: Site) {
    let settings = Settings {
        lanes: 3,
        ..with(Policy::ParkKey)
    };
    park_and_release(&site, settings).await;
}

pub(crate) async fn parked_keys_stay_parked_after_a_restart(site: Site) {
    let (worker, _, _) = start_with_a_bad_key(&site, with(Policy::ParkKey)).await;
    site.drained(1).await;
    worker.stop().await;
    site.send(0, "b", 10..12).await;
    site.send(0, "a", 10..12).await;
    let seen = Seen::default();
    let worker = site.start(processor(1, with(Policy::Halt), seen.all()));
    site.drained(1).await;
    assert_eq!(seen.by_key().keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(parked_entries(&site).await.len(), 9);
    parked::release(&*site.store, &group(), &stream().partition(0), "b")
        .await
        .unwrap();
    let all_seen = poll_until(DEADLINE, async || parked_entries(&site).await.is_empty());
    all_seen.await.expect("released");
    worker.stop().await;
    assert!(seen.by_key()["b"].iter().copied().eq(3..12));
}

pub(crate) async fn retries_come_before_parking(site: Site) {
    let policy = Policy::Retry {
        attempts: 3,
        min: Duration::from_millis(1),
        max: Duration::from_millis(2),
        then: Box::new(Policy::ParkKey),
    };
    let (worker, seen, _) = start_with_a_bad_key(&site, with(policy)).await;
    site.drained(1).await;
    worker.stop().await;
    assert_eq!(seen.by_key()["b"], [0, 1, 2, 3, 3, 3]);
    assert_eq!(parked_entries(&site).await.len(), 7);
}
