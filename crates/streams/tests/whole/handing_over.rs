//! Partitions that change hands: pending entries, grace, zombies.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_store::{EntryId, Fetch, Lease, ReadLimit};
use tidegate_streams::{Events, Settings};
use tidegate_testkit::poll_until;
use tokio::sync::Notify;

use crate::site::{DEADLINE, Note, Seen, Site, group, processor, stream};

pub(crate) async fn pending_entries_come_first_for_a_new_owner(site: Site) {
    site.send(0, "a", 0..10).await;
    // An owner that died after it had acknowledged one of the entries it had read.
    let lease = site.own(0).await;
    let limit = ReadLimit {
        entries: 4,
        bytes: 1 << 20,
    };
    let entries = site.store.fetch(&lease, Fetch::New, limit).await.unwrap();
    site.store
        .acknowledge(&lease, &[entries[1].id])
        .await
        .unwrap();
    site.store.release_lease(&lease).await.unwrap();
    let seen = Seen::default();
    let settings = Settings {
        prefetch: 2,
        ..Settings::default()
    };
    let worker = site.start(processor(1, settings, seen.all()));
    site.drained(1).await;
    worker.stop().await;
    assert_eq!(seen.numbers(), [0, 2, 3, 4, 5, 6, 7, 8, 9]);
}

/// A function that waits for a word with each event in hand.
fn holding(
    seen: &Seen,
    word: Arc<Notify>,
) -> impl Fn(Events<Note>) -> futures::future::BoxFuture<'static, Result<(), tidegate_streams::BoxError>>
+ Send
+ Sync
+ 'static {
    let seen = seen.clone();
    move |mut events| {
        let (seen, word) = (seen.clone(), word.clone());
        Box::pin(async move {
            while let Some(event) = events.next().await? {
                seen.push(&event);
                word.notified().await;
            }
            Ok(())
        })
    }
}

pub(crate) async fn a_shutdown_lets_the_function_finish_what_is_in_hand(site: Site) {
    site.send(0, "a", 0..5).await;
    let (seen, word) = (Seen::default(), Arc::new(Notify::new()));
    let function = holding(&seen, word.clone());
    let worker = site.start(processor(1, Settings::default(), function));
    seen.count(1).await;
    // The word comes a little after the shutdown, and at the latest when the function has it that
    // it may go on with what is in hand.
    let going_on = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            word.notify_one();
        }
    };
    worker.stop.cancel();
    tokio::select! {
        () = worker.stop() => {}
        () = going_on => {}
    }
    let first = seen.numbers();
    assert!(first.len() < 5, "{first:?}");
    // What was in hand is acknowledged, the others wait for the next owner.
    let again = Seen::default();
    let worker = site.start(processor(1, Settings::default(), again.all()));
    site.drained(1).await;
    worker.stop().await;
    assert!([first, again.numbers()].concat().into_iter().eq(0..5));
}

pub(crate) async fn after_the_grace_the_function_is_dropped_and_its_event_stays_pending(
    site: Site,
) {
    site.send(0, "a", 0..5).await;
    let seen = Seen::default();
    let function = {
        let seen = seen.clone();
        move |mut events: Events<Note>| {
            let seen = seen.clone();
            async move {
                while let Some(event) = events.next().await? {
                    seen.push(&event);
                    if event.number == 2 {
                        pending::<()>().await;
                    }
                }
                Ok(())
            }
        }
    };
    let settings = Settings {
        grace: Duration::from_millis(200),
        ..Settings::default()
    };
    let worker = site.start(processor(1, settings, function));
    seen.count(3).await;
    let began = Instant::now();
    worker.stop().await;
    assert!(began.elapsed() >= Duration::from_millis(200));
    let again = Seen::default();
    let worker = site.start(processor(1, Settings::default(), again.all()));
    site.drained(1).await;
    worker.stop().await;
    assert_eq!(again.numbers(), [2, 3, 4]);
}

pub(crate) async fn a_zombie_cannot_acknowledge(site: Site) {
    site.send(0, "a", 0..5).await;
    let (seen, word) = (Seen::default(), Arc::new(Notify::new()));
    let function = holding(&seen, word.clone());
    let worker = site.start(processor(1, Settings::default(), function));
    seen.count(1).await;
    // The lease is taken away behind the owner's back, as when it was paused for too long.
    let partition = stream().partition(0);
    let holders = site
        .store
        .lease_holders(&group(), std::slice::from_ref(&partition))
        .await;
    let holder = holders.unwrap()[0].unwrap();
    let stolen = Lease {
        group: group(),
        partition: partition.clone(),
        worker: holder.worker.unwrap(),
        epoch: holder.epoch,
    };
    site.store.release_lease(&stolen).await.unwrap();
    let thief = site.own(0).await;
    assert!(thief.epoch > holder.epoch);
    word.notify_one();
    // The zombie stops by itself, and nothing of what it does counts.
    let stopped = poll_until(DEADLINE, async || worker.metrics.snapshot().is_empty());
    stopped.await.expect("the consumer ends");
    let limit = ReadLimit {
        entries: 10,
        bytes: 1 << 20,
    };
    let left = site
        .store
        .fetch(&thief, Fetch::Pending(EntryId::ZERO), limit)
        .await
        .unwrap();
    assert_eq!(left.len(), 5);
    site.store.release_lease(&thief).await.unwrap();
    // It takes part again, with a newer epoch.
    for _ in 0..5 {
        word.notify_one();
        let before = site.lag(0).await.pending;
        let fewer = poll_until(DEADLINE, async || {
            word.notify_one();
            site.lag(0).await.pending < before || before == 0
        });
        fewer.await.expect("the worker goes on");
    }
    site.drained(1).await;
    worker.stop().await;
    let epochs: Vec<_> = seen
        .events()
        .iter()
        .map(tidegate_streams::Event::epoch)
        .collect();
    assert!(epochs.is_sorted());
    assert!(epochs.last() > Some(&thief.epoch));
}

pub(crate) async fn two_workers_share_the_partitions_and_nothing_is_lost(site: Site) {
    let (one, other) = (Seen::default(), Seen::default());
    let first = site.start(processor(8, Settings::default(), one.all()));
    let mut sent = 0;
    let mut second = None;
    let shared = poll_until(DEADLINE, async || {
        for partition in 0..8 {
            site.send(partition, &partition.to_string(), sent..sent + 5)
                .await;
        }
        sent += 5;
        if sent == 50 {
            second = Some(site.start(processor(8, Settings::default(), other.all())));
        }
        other.by_key().len() >= 4
    });
    shared.await.expect("the second worker gets its part");
    first.stop().await;
    site.drained(8).await;
    second.expect("started").stop().await;
    // Both left in order, so every event was seen once, in the order of its key.
    for (key, mut numbers) in one.by_key() {
        numbers.extend(other.by_key().remove(&key).unwrap_or_default());
        assert!(numbers.iter().copied().eq(0..sent), "{key}: {numbers:?}");
    }
    assert_eq!(one.by_key().len(), 8);
}

pub(crate) async fn a_static_member_has_its_partitions_again_after_a_restart(site: Site) {
    let options = tidegate_streams::Options {
        lease_ttl: Duration::from_secs(60),
        ..tidegate_streams::Options::default()
    };
    let start = |name: &str, seen: &Seen| {
        let processor = processor(4, Settings::default(), seen.all());
        let worker =
            tidegate_streams::Worker::new(site.store.clone(), vec![processor], options.clone());
        site.run(worker.unwrap().as_static_member(name))
    };
    let (one, other) = (Seen::default(), Seen::default());
    let (first, second) = (start("one", &one), start("other", &other));
    let partitions = |running: &crate::site::Running| -> Vec<u32> {
        let owned = running.metrics.snapshot();
        owned.iter().map(|metrics| metrics.partition).collect()
    };
    let shared = poll_until(DEADLINE, async || {
        partitions(&first).len() == 2 && partitions(&second).len() == 2
    });
    shared.await.expect("shared");
    let before = partitions(&first);
    let epochs = first.metrics.snapshot();
    first.stop().await;
    // Nobody takes them in the meantime, and they need not wait for the end of a lease.
    let again = start("one", &one);
    let back = poll_until(DEADLINE, async || partitions(&again) == before);
    back.await.expect("back");
    assert_eq!(partitions(&second).len(), 2);
    let newer = again.metrics.snapshot();
    assert!(
        newer
            .iter()
            .zip(&epochs)
            .all(|(new, old)| new.epoch > old.epoch)
    );
    for partition in 0..4 {
        site.send(partition, "a", 0..5).await;
    }
    site.drained(4).await;
    again.stop().await;
    second.stop().await;
}
