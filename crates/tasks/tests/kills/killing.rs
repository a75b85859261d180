//! Workers that are killed or stopped at any moment, and a store that goes away.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use rand::RngExt;
use tidegate_tasks::Enqueue;
use tidegate_testkit::poll_until;

use crate::site::{SOON, Site, seeded, stop};
use crate::worker::{LIFE, book, crawl, pay};

const KILLS: usize = 50;
const WORKERS: usize = 3;
const PAUSE_MAX_MS: u64 = 250;
/// How many tasks are sent together: a tenth of them are payments, and one ends badly.
const PORTION: i64 = 100;

/// Sends tasks until it is told to end.
async fn feed(site: &Site, next: &AtomicI64, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let first = next.fetch_add(PORTION, Ordering::Relaxed);
        let task = |number: i64| -> Enqueue {
            if number % 10 == 0 {
                pay::enqueue(number)
            } else {
                book::enqueue(number)
            }
        };
        let tasks = (first..first + PORTION).map(task).collect();
        for sent in site.client.send_many(tasks).await {
            sent.unwrap();
        }
        // As much as the workers can do; what waits is bounded.
        let has_room = poll_until(SOON, async || site.counts().await.waiting() < 500);
        has_room.await.expect("the workers go on");
    }
}

/// Every task has ended as it was declared, and none is lost.
async fn check(site: &Site, sent: i64) {
    let counts = site.settled().await;
    let sent = u64::try_from(sent).unwrap();
    assert_eq!(counts.enqueued, sent, "{counts:?}");
    // One of each hundred numbers ends badly, and only those.
    assert_eq!(counts.dead, sent / 100, "{counts:?}");
    assert_eq!(
        counts.done + counts.unknown,
        sent - sent / 100,
        "{counts:?}"
    );

    let booked = site.effects("booked").await;
    assert_eq!(booked.len() as u64, sent / 10 * 9);
    let doubled: Vec<_> = booked.iter().filter(|(_, times)| **times != 1).collect();
    assert!(doubled.is_empty(), "booked more than once: {doubled:?}");

    let paid = site.effects("paid").await;
    let doubled: Vec<_> = paid.iter().filter(|(_, times)| **times != 1).collect();
    assert!(doubled.is_empty(), "paid more than once: {doubled:?}");
    let unpaid = sent / 10 - paid.len() as u64;
    assert!(
        unpaid <= counts.unknown,
        "{unpaid} not paid and not parked: {counts:?}"
    );
    eprintln!("{sent} tasks: {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_no_task_and_double_no_effect() {
    let site = Site::new().await;
    let mut random = seeded(rand::random());
    let (next, is_over) = (AtomicI64::new(0), AtomicBool::new(false));
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(site.hire().await);
    }
    let killing = async {
        for _ in 0..KILLS {
            let pause = random.random_range(0..PAUSE_MAX_MS);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let victim = random.random_range(0..WORKERS);
            workers[victim].kill().unwrap();
            workers[victim] = site.hire().await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(killing, feed(&site, &next, &is_over));
    check(&site, next.load(Ordering::Relaxed)).await;
    let attempts = site.effects("attempt").await;
    let repeated = attempts.values().filter(|times| **times > 1).count();
    assert!(
        repeated > 0,
        "no attempt was repeated: the kills came at idle moments"
    );
    for worker in workers {
        stop(worker).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_stopped_for_longer_than_its_life_doubles_nothing() {
    let site = Site::new().await;
    let (next, is_over) = (AtomicI64::new(0), AtomicBool::new(false));
    let mut sleeper = site.hire().await;
    let other = site.hire().await;
    let stopping = async {
        for _ in 0..3 {
            sleeper.pause().unwrap();
            tokio::time::sleep(2 * LIFE).await;
            sleeper.resume().unwrap();
            tokio::time::sleep(LIFE / 2).await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(stopping, feed(&site, &next, &is_over));
    check(&site, next.load(Ordering::Relaxed)).await;
    stop(sleeper).await;
    stop(other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_task_is_not_run_twice_while_its_worker_lives() {
    let site = Site::new().await;
    let workers = [site.hire().await, site.hire().await];
    for number in 0..4 {
        crawl::enqueue(number).send(&site.client).await.unwrap();
    }
    let counts = site.settled().await;
    assert_eq!(counts.done, 4);
    for kind in ["begun", "ended"] {
        let effects = site.effects(kind).await;
        assert!(
            effects.len() == 4 && effects.values().all(|times| *times == 1),
            "{effects:?}"
        );
    }
    for worker in workers {
        stop(worker).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_redis_loses_no_task_and_doubles_no_effect() {
    let mut site = Site::new().await;
    let workers = [site.hire().await, site.hire().await];
    let tasks = (0..1_000).map(|number| match number % 10 {
        0 => pay::enqueue(number),
        _ => book::enqueue(number),
    });
    for sent in site.client.send_many(tasks.collect()).await {
        sent.unwrap();
    }
    for _ in 0..3 {
        let done = site.counts().await.done;
        let goes_on = poll_until(SOON, async || {
            let counts = site.counts().await;
            counts.done > done + 50 || counts.waiting() + counts.running == 0
        });
        goes_on.await.expect("the workers go on");
        site.redis.kill().await.unwrap();
        site.redis.restart().await.unwrap();
        let is_back = poll_until(SOON, async || site.client.store().ping().await.is_ok());
        is_back.await.expect("the store is back");
    }
    check(&site, 1_000).await;
    for worker in workers {
        stop(worker).await;
    }
}
