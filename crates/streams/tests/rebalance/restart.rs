//! A store that restarts, is killed, and falls silent in the middle of everything.

use tidegate_testkit::poll_until;

use crate::feed::Feed;
use crate::site::{SOON, Site, redis};

const RECORDS: u64 = 30_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_and_workers_outlast_a_restart_a_kill_and_a_silence_of_redis() {
    let mut redis = redis().await;
    let site = Site::at(redis.url()).await;
    let (one, other) = tokio::join!(site.hire(), site.hire());
    site.shared_among(&[&one, &other]).await;
    let feed = tokio::spawn(Feed::new(&site).flow(|sent| sent >= RECORDS));
    site.done(RECORDS / 5).await;
    assert!(!feed.is_finished(), "records flow");
    redis.restart().await.expect("Redis is back");
    site.done(RECORDS / 2).await;
    assert!(!feed.is_finished(), "records flow");
    redis.kill().await.expect("Redis is killed");
    redis.restart().await.expect("Redis is back");
    site.done(RECORDS * 3 / 5).await;
    assert!(!feed.is_finished(), "records flow");
    let before = [one.leases_lost(), other.leases_lost()];
    redis.pause().expect("Redis hangs");
    let lost = poll_until(SOON, async || {
        one.leases_lost() > before[0] && other.leases_lost() > before[1]
    });
    lost.await.expect("nobody trusts a lease any longer");
    redis.resume().expect("Redis goes on");
    let feed = feed.await.expect("all is sent");
    site.done(feed.sent).await;
    site.shared_among(&[&one, &other]).await;
    one.stop().await;
    other.stop().await;
    let effects = site.check(RECORDS).await;
    eprintln!("{} unfenced effects repeated", site.doubled(&effects).len());
}
