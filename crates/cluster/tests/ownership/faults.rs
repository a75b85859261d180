//! The store fails, falls silent, or belongs to somebody else; owners don't answer.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::Error;
use tidegate_store::Store;
use tokio::time::Instant;

use crate::memory_store::{MemoryStore, Weather};
use crate::team::{Board, Team, Worker};

const TTL: Duration = Duration::from_secs(10);

fn team() -> (Arc<MemoryStore>, Team) {
    let store = Arc::new(MemoryStore::default());
    (Arc::clone(&store), Team::new(store, TTL))
}

async fn one_worker() -> (Arc<MemoryStore>, Team, Worker) {
    let (store, team) = team();
    let worker = team.hire();
    team.see_counts(&[(&worker, 16)]).await;
    (store, team, worker)
}

async fn leases_are_lost_in_time(weather: Weather) {
    let (store, team, worker) = one_worker().await;
    let began_at = Instant::now();
    store.set_weather(weather);
    team.see("every owner stops", Board::is_empty).await;
    assert!(began_at.elapsed() < TTL, "before the leases end");
    assert!(began_at.elapsed() > TTL / 2, "not before there is a need");
    store.set_weather(Weather::Calm);
    let back_at = Instant::now();
    team.see_counts(&[(&worker, 16)]).await;
    assert!(back_at.elapsed() < TTL, "took {:?}", back_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_silent_store_makes_leases_lost_before_they_end() {
    leases_are_lost_in_time(Weather::Silent).await;
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_store_makes_leases_lost_before_they_end() {
    leases_are_lost_in_time(Weather::Unavailable).await;
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_is_survived_without_a_loss() {
    let (store, team, worker) = one_worker().await;
    store.set_weather(Weather::Silent);
    team.see_no_change(TTL / 4, |board| board.count(&worker) == 16)
        .await;
    store.set_weather(Weather::Calm);
    team.see_no_change(TTL * 4, |board| board.count(&worker) == 16)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_unavailable_at_the_start_is_waited_for() {
    let (store, team) = team();
    store.set_weather(Weather::Unavailable);
    let worker = team.hire();
    team.see_no_change(TTL * 3, Board::is_empty).await;
    store.set_weather(Weather::Calm);
    team.see_counts(&[(&worker, 16)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusing_store_ends_the_ownership_and_the_owners() {
    let (store, team, worker) = one_worker().await;
    store.set_weather(Weather::Refusing);
    let end = worker.run.await.expect("no panic");
    assert!(
        matches!(end, Err(Error::Store(tidegate_store::Error::Refused(_)))),
        "{end:?}"
    );
    team.see("every owner stops", Board::is_empty).await;
}

#[tokio::test(start_paused = true)]
async fn leases_whose_acquisition_was_not_answered_are_recovered() {
    let (store, team) = team();
    store.set_weather(Weather::AcquisitionsUnanswered);
    let worker = team.hire();
    team.see_no_change(TTL, Board::is_empty).await;
    store.set_weather(Weather::Calm);
    let calm_at = Instant::now();
    team.see_counts(&[(&worker, 16)]).await;
    assert!(
        calm_at.elapsed() < TTL / 4,
        "they are released, not waited for"
    );
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_another_program_holds_is_taken_when_it_is_free() {
    let (store, team) = team();
    store.lock_by_another_program(5, TTL * 3);
    let worker = team.hire();
    team.see("all but the foreign one", |board| {
        board.count(&worker) == 15
    })
    .await;
    team.see("the foreign one", |board| board.owns(&worker, 5))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_a_stalled_owner_until_the_grace_ends() {
    let (store, mut team) = team();
    team.stalled = vec![15];
    let worker = team.hire();
    team.see_counts(&[(&worker, 16)]).await;
    let asked_at = Instant::now();
    worker.shutdown.cancel();
    team.see("the others stop at once", |board| board.count(&worker) == 1)
        .await;
    assert!(asked_at.elapsed() < TTL / 4);
    let id = worker.id();
    worker.run.await.expect("no panic").expect("an orderly end");
    let waited = asked_at.elapsed();
    assert!(waited >= team.options.release_grace, "waited {waited:?}");
    assert!(
        waited < team.options.release_grace + TTL,
        "waited {waited:?}"
    );
    team.see("the stalled one is told", Board::is_empty).await;
    let (stream, group) = (team.options.stream, team.options.group);
    let partitions = [stream.partition(15)];
    let holders = store
        .lease_holders(&group, &partitions)
        .await
        .expect("the store answers");
    assert_eq!(
        holders,
        [None],
        "the lease was released, not left to its end"
    );
    let workers = store
        .workers(&stream, &group)
        .await
        .expect("the store answers");
    assert!(!workers.contains(&id), "the worker has left");
}

#[tokio::test(start_paused = true)]
async fn an_ownership_that_is_dropped_tells_its_owners() {
    let (_, team, worker) = one_worker().await;
    worker.run.abort();
    team.see("every owner stops", Board::is_empty).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_while_the_store_is_silent() {
    let (store, team, worker) = one_worker().await;
    store.set_weather(Weather::Silent);
    let asked_at = Instant::now();
    worker.shutdown.cancel();
    worker.run.await.expect("no panic").expect("an orderly end");
    assert!(asked_at.elapsed() < TTL, "took {:?}", asked_at.elapsed());
    team.see("every owner stops", Board::is_empty).await;
}

#[tokio::test(start_paused = true)]
async fn an_ownership_without_a_listener_ends() {
    let (_, team, worker) = one_worker().await;
    worker.owning.abort();
    worker.run.await.expect("no panic").expect("an orderly end");
    team.see("every owner stops", Board::is_empty).await;
}
