//! A store that restarts, is killed, and falls silent in the middle of everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate_testkit::poll_until;

use crate::feed::Feed;
use crate::site::{SOON, Site, redis};

/// How many records take effect at least, before, between and after the troubles.
const RECORDS: u64 = 30_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_and_workers_outlast_a_restart_a_kill_and_a_silence_of_redis() {
    let mut redis = redis().await;
    let site = Site::at(redis.url()).await;
    let (one, other) = tokio::join!(site.hire(), site.hire());
    site.shared_among(&[&one, &other]).await;
    let enough = Arc::new(AtomicBool::new(false));
    let is_enough = enough.clone();
    let flow = Feed::new(&site).flow(move |_| is_enough.load(Ordering::Relaxed));
    let feed = tokio::spawn(flow);
    site.done(RECORDS / 5).await;
    redis.restart().await.expect("Redis is back");
    site.done(RECORDS / 2).await;
    redis.kill().await.expect("Redis is killed");
    redis.restart().await.expect("Redis is back");
    site.done(RECORDS * 3 / 5).await;
    // Whoever has no lease just then has none to lose.
    site.shared_among(&[&one, &other]).await;
    let lost = || [one.leases_lost(), other.leases_lost()];
    let before = lost();
    redis.pause().expect("Redis hangs");
    let all_lost = poll_until(SOON, async || {
        lost().iter().zip(&before).all(|(now, before)| now > before)
    });
    let all_lost = all_lost.await;
    assert!(
        all_lost.is_ok(),
        "somebody still trusts a lease: {before:?}, {:?}",
        lost()
    );
    redis.resume().expect("Redis goes on");
    site.done(RECORDS).await;
    enough.store(true, Ordering::Relaxed);
    let feed = feed.await.expect("all is sent");
    site.done(feed.sent).await;
    site.shared_among(&[&one, &other]).await;
    one.stop().await;
    other.stop().await;
    let effects = site.check(feed.sent).await;
    eprintln!("{} unfenced effects repeated", site.doubled(&effects).len());
}
