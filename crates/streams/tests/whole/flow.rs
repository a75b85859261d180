//! Events that flow: order, batches, lanes, idling, trimming.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_streams::{Options, Settings};
use tidegate_testkit::poll_until;
use tokio::sync::Notify;

use crate::site::{DEADLINE, Seen, Site, processor};

pub(crate) async fn events_come_in_the_order_of_their_partition(site: Site) {
    for partition in 0..3 {
        site.send(partition, &partition.to_string(), 0..700).await;
    }
    let seen = Seen::default();
    let settings = Settings {
        prefetch: 100,
        ..Settings::default()
    };
    let worker = site.start(processor(3, settings, seen.all()));
    site.drained(3).await;
    // The store may say so a moment before the worker has heard of it.
    let acknowledged = async || {
        let metrics = worker.metrics.snapshot();
        metrics.iter().map(|m| m.acknowledged).sum::<u64>() == 2_100
    };
    let counted = poll_until(DEADLINE, acknowledged).await;
    counted.expect("what is acknowledged is counted");
    worker.stop().await;
    let by_key = seen.by_key();
    assert_eq!(by_key.len(), 3);
    assert!(
        by_key
            .values()
            .all(|numbers| numbers.iter().copied().eq(0..700))
    );
    assert!(seen.events().iter().all(|event| event.attempt == 1));
}

pub(crate) async fn a_batch_holds_what_is_there(site: Site) {
    site.send(0, "a", 0..250).await;
    let seen = Seen::default();
    let sizes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let function = {
        let (seen, sizes) = (seen.clone(), sizes.clone());
        move |mut events: tidegate_streams::Events<_>| {
            let (seen, sizes) = (seen.clone(), sizes.clone());
            async move {
                while let Some(batch) = events.take(100, Duration::from_millis(20)).await? {
                    sizes.lock().unwrap().push(batch.len());
                    batch.iter().for_each(|event| seen.push(event));
                }
                Ok(())
            }
        }
    };
    let worker = site.start(processor(1, Settings::default(), function));
    site.drained(1).await;
    worker.stop().await;
    assert!(seen.numbers().into_iter().eq(0..250));
    assert_eq!(*sizes.lock().unwrap(), [100, 100, 50]);
}

pub(crate) async fn a_batch_waits_for_more_only_within_its_time(site: Site) {
    let seen = Seen::default();
    let function = {
        let seen = seen.clone();
        move |mut events: tidegate_streams::Events<_>| {
            let seen = seen.clone();
            async move {
                while let Some(batch) = events.take(1_000_000, Duration::from_millis(50)).await? {
                    batch.iter().for_each(|event| seen.push(event));
                }
                Ok(())
            }
        }
    };
    let settings = Settings {
        prefetch: 10,
        ..Settings::default()
    };
    // Fewer than asked for, and more than fit into memory: neither is waited for in vain.
    site.send(0, "a", 0..1).await;
    let worker = site.start(processor(1, settings, function));
    seen.count(1).await;
    site.send(0, "a", 1..300).await;
    site.drained(1).await;
    worker.stop().await;
    assert!(seen.numbers().into_iter().eq(0..300));
}

pub(crate) async fn an_idle_partition_wakes_up_for_a_new_event(site: Site) {
    let seen = Seen::default();
    let worker = site.start(processor(2, Settings::default(), seen.all()));
    for number in 0..20 {
        site.send(0, "a", number..number + 1).await;
        site.drained(2).await;
    }
    worker.stop().await;
    assert!(seen.numbers().into_iter().eq(0..20));
}

pub(crate) async fn keys_are_processed_concurrently_and_each_in_order(site: Site) {
    for number in 0..50 {
        for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            site.send(0, key, number..number + 1).await;
        }
    }
    let (seen, together) = (Seen::default(), Arc::new(AtomicUsize::new(0)));
    let most = Arc::new(AtomicUsize::new(0));
    let function = {
        let (seen, together, most) = (seen.clone(), together.clone(), most.clone());
        move |mut events: tidegate_streams::Events<crate::site::Note>| {
            let (seen, together, most) = (seen.clone(), together.clone(), most.clone());
            async move {
                while let Some(event) = events.next().await? {
                    let now = together.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    seen.push(&event);
                    together.fetch_sub(1, Ordering::SeqCst);
                }
                Ok(())
            }
        }
    };
    let settings = Settings {
        lanes: 4,
        ..Settings::default()
    };
    let worker = site.start(processor(1, settings, function));
    site.drained(1).await;
    worker.stop().await;
    let by_key = seen.by_key();
    assert_eq!(by_key.len(), 8);
    assert!(
        by_key
            .values()
            .all(|numbers| numbers.iter().copied().eq(0..50))
    );
    assert!(most.load(Ordering::SeqCst) > 1, "nothing was concurrent");
}

pub(crate) async fn a_stalled_partition_holds_up_no_other(site: Site) {
    site.send(0, "stalled", 0..100).await;
    for partition in 1..4 {
        site.send(partition, "free", 0..100).await;
    }
    let (seen, go_on) = (Seen::default(), Arc::new(Notify::new()));
    let is_open = Arc::new(AtomicBool::new(false));
    let function = {
        let (seen, go_on, is_open) = (seen.clone(), go_on.clone(), is_open.clone());
        move |mut events: tidegate_streams::Events<crate::site::Note>| {
            let (seen, go_on, is_open) = (seen.clone(), go_on.clone(), is_open.clone());
            async move {
                while let Some(event) = events.next().await? {
                    if event.key == "stalled" && !is_open.load(Ordering::SeqCst) {
                        go_on.notified().await;
                    }
                    seen.push(&event);
                }
                Ok(())
            }
        }
    };
    // The whole worker has room for a handful of entries.
    let options = Options {
        lease_ttl: Duration::from_millis(800),
        prefetch_bytes: 8 << 10,
    };
    let worker = site.start_with(processor(4, Settings::default(), function), options);
    seen.count(300).await;
    assert!(seen.events().iter().all(|event| event.key == "free"));
    is_open.store(true, Ordering::SeqCst);
    go_on.notify_one();
    site.drained(4).await;
    worker.stop().await;
    assert!(seen.by_key()["stalled"].iter().copied().eq(0..100));
}

pub(crate) async fn what_every_group_has_acknowledged_is_trimmed(site: Site) {
    let seen = Seen::default();
    let worker = site.start(processor(1, Settings::default(), seen.all()));
    let mut number = 0;
    // Trimming comes with an acknowledgement, about once a second.
    let trimmed = poll_until(DEADLINE, async || {
        site.send(0, "a", number..number + 10).await;
        number += 10;
        site.drained(1).await;
        site.lag(0).await.held == 0
    });
    trimmed.await.expect("trimmed");
    worker.stop().await;
    assert!(seen.numbers().into_iter().eq(0..number));
}
