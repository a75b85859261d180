//! Joins and leaves are heard long before the next look at the store, on a real Redis; and a
//! member with a name comes back as the same.

use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{Store, StoreUrl, StreamName, connect};
use tidegate_testkit::RedisServer;
use tokio::time::Instant;

use crate::memory_store::MemoryStore;
use crate::team::Team;

/// A worker that hears nothing looks at the store every quarter of this.
const TTL: Duration = Duration::from_secs(40);
/// How long it takes until everyone has seen that everything is in its place.
const SETTLING: Duration = Duration::from_millis(600);

/// A team on a real server, and a connection for each of three workers.
async fn on_redis(server: &RedisServer) -> (Team, [Arc<dyn Store>; 3]) {
    let url = StoreUrl::parse(&server.url()).expect("a URL");
    let open = async || connect(&url).await.expect("the server answers");
    let stores = [open().await, open().await, open().await];
    let mut team = Team::new(open().await, TTL);
    team.options.stream = StreamName::of_app("shop", "orders").expect("a valid name");
    (team, stores)
}

#[tokio::test]
async fn a_join_is_heard_before_the_next_look() {
    let server = RedisServer::start().await.expect("a server");
    let (team, [one, two, _]) = on_redis(&server).await;
    let first = team.hire_attentive(&one);
    team.see_counts(&[(&first, 16)]).await;
    team.see_no_change(SETTLING, |board| board.count(&first) == 16)
        .await;

    let joined_at = Instant::now();
    let second = team.hire_attentive(&two);
    team.see_counts(&[(&first, 8), (&second, 8)]).await;
    // The next look would be ten seconds away.
    let took = joined_at.elapsed();
    assert!(took < TTL / 20, "took {took:?}");
}

#[tokio::test]
async fn a_graceful_leave_is_heard_and_the_others_take_over_at_once() {
    let server = RedisServer::start().await.expect("a server");
    let (team, [one, two, three]) = on_redis(&server).await;
    let (first, second) = (team.hire_attentive(&one), team.hire_attentive(&two));
    let leaver = team.hire_attentive(&three);
    team.see_counts(&[(&first, 6), (&second, 5), (&leaver, 5)])
        .await;
    let share = team.look(|board| board.count(&leaver));
    team.see_no_change(SETTLING, |board| board.count(&leaver) == share)
        .await;

    let asked_at = Instant::now();
    leaver.shutdown.cancel();
    team.see_counts(&[(&first, 8), (&second, 8)]).await;
    // The next look would be ten seconds away, and the end of the leases forty.
    let took = asked_at.elapsed();
    assert!(took < TTL / 40, "took {took:?}");
    leaver.run.await.expect("no panic").expect("an orderly end");
}

#[tokio::test(start_paused = true)]
async fn a_static_member_that_restarts_keeps_its_partitions() {
    let team = Team::new(Arc::new(MemoryStore::default()), TTL);
    let (other, first) = (team.hire(), team.hire_static("node-1"));
    team.see_counts(&[(&other, 8), (&first, 8)]).await;
    let (own, before) = team.look(|board| (board.partitions(&first), board.largest_epoch()));
    first.shutdown.cancel();
    first.run.await.expect("no panic").expect("an orderly end");
    // Nobody takes them, though nobody works on them.
    team.see_no_change(TTL / 4, |board| board.count(&other) == 8)
        .await;

    let back_at = Instant::now();
    let again = team.hire_static("node-1");
    team.see_counts(&[(&other, 8), (&again, 8)]).await;
    assert!(back_at.elapsed() < TTL / 40, "took {:?}", back_at.elapsed());
    let (after, epoch) = team.look(|board| (board.partitions(&again), board.largest_epoch()));
    assert_eq!(after, own);
    assert!(epoch > before, "each under a new epoch");
}

#[tokio::test(start_paused = true)]
async fn the_partitions_of_a_static_member_that_stays_away_are_taken() {
    let team = Team::new(Arc::new(MemoryStore::default()), TTL);
    let (other, first) = (team.hire(), team.hire_static("node-1"));
    team.see_counts(&[(&other, 8), (&first, 8)]).await;
    first.shutdown.cancel();
    first.run.await.expect("no panic").expect("an orderly end");
    let gone_at = Instant::now();
    team.see_counts(&[(&other, 16)]).await;
    assert!(gone_at.elapsed() > TTL / 2);
    assert!(gone_at.elapsed() < TTL * 3 / 2);
}
