//! An owner that is stopped until its lease is gone, and then continues.

use tidegate_store::EntryId;
use tidegate_streams::Desk;
use tidegate_testkit::poll_until;

use crate::feed::Feed;
use crate::site::{SOON, Site, redis};
use crate::worker::{BLOCKING, DEAD_LETTERS, LINGER_MS, ON_ERROR, spec};

const ROUNDS: usize = 5;
const RECORDS_PER_ROUND: u64 = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_stopped_doubles_nothing_and_works_on() {
    let redis = redis().await;
    let site = Site::at(redis.url()).await;
    stop_and_continue(&site, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_fence_refuses_from_an_owner_that_was_stopped_is_no_dead_letter() {
    let redis = redis().await;
    let site = Site::at(redis.url()).await;
    stop_and_continue(&site, &[(ON_ERROR, DEAD_LETTERS)]).await;
    let desk = Desk::open(site.store.clone(), spec())
        .await
        .expect("a desk");
    let letters = desk.list(EntryId::ZERO, 10).await.expect("letters");
    assert!(letters.is_empty(), "{letters:#?}");
}

/// Stops one of two workers again and again, until the other one owns everything. The fence
/// refuses what it had in hand when it continues, which the function returns as an error.
async fn stop_and_continue(site: &Site, variables: &[(&str, &str)]) {
    let mut feed = Feed::new(site);
    // It is stopped with events in hand, between both of their effects.
    let variables = [variables, &[(LINGER_MS, "20"), (BLOCKING, "yes")]].concat();
    let (mut zombie, other) = tokio::join!(site.hire_with(&variables), site.hire_with(&variables));
    for round in 0..ROUNDS {
        site.shared_among(&[&zombie, &other]).await;
        feed.send(RECORDS_PER_ROUND).await;
        site.done(feed.sent - RECORDS_PER_ROUND / 2).await;
        zombie.process.pause().expect("stopped");
        let taken_over = poll_until(SOON, async || {
            let owners = site.owners().await;
            owners.iter().all(|owner| *owner == Some(other.id))
        });
        taken_over.await.expect("the other worker takes over");
        // It continues when the other one has done everything, or has just begun.
        if round % 2 == 0 {
            site.done(feed.sent).await;
        }
        zombie.process.resume().expect("continued");
        // More for both, while the one wakes up with what it has in hand.
        feed.send(RECORDS_PER_ROUND).await;
        site.done(feed.sent).await;
        assert!(
            zombie.process.is_running().expect("a state"),
            "round {round}: {:#?}",
            zombie.process.stderr()
        );
    }
    site.shared_among(&[&zombie, &other]).await;
    zombie.stop().await;
    other.stop().await;
    let effects = site.check(feed.sent).await;
    let doubled = site.doubled(&effects).len();
    eprintln!("{doubled} unfenced effects repeated");
}
