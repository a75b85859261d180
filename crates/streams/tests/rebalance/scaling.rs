//! Workers that come and go in order while records flow.

use crate::feed::Feed;
use crate::site::{Site, redis};

const RECORDS: u64 = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_four_and_two_share_evenly_and_lose_double_and_disorder_nothing() {
    let redis = redis().await;
    let site = Site::at(redis.url()).await;
    let first = site.hire().await;
    site.shared_among(&[&first]).await;
    let feed = tokio::spawn(Feed::new(&site).flow(|sent| sent >= RECORDS));
    site.done(RECORDS / 5).await;

    let (second, third, fourth) = tokio::join!(site.hire(), site.hire(), site.hire());
    site.shared_among(&[&first, &second, &third, &fourth]).await;
    assert!(!feed.is_finished(), "records flowed meanwhile");
    site.done(RECORDS / 2).await;

    // Not the newest ones only.
    let mut lost = first.stop().await + third.stop().await;
    site.shared_among(&[&second, &fourth]).await;
    assert!(!feed.is_finished(), "records flowed meanwhile");
    let feed = feed.await.expect("all is sent");
    site.done(feed.sent).await;
    lost += second.stop().await + fourth.stop().await;

    let effects = site.check(RECORDS).await;
    let doubled = site.doubled(&effects).len();
    eprintln!("{lost} leases lost, {doubled} unfenced effects doubled");
    // Those who hand a partition over acknowledge first, so even unfenced effects happen once.
    // On a machine that is too busy to renew a lease in time, they may be repeated.
    assert!(doubled == 0 || lost > 0);
}
