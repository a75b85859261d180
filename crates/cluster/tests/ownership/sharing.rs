//! Workers come, go and die, and the partitions follow.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{Epoch, SqliteStore, Store};
use tokio::time::Instant;

use crate::memory_store::MemoryStore;
use crate::team::{Board, Team, Worker};

/// In paused time nothing but the pauses themselves takes time.
const PAUSED_TTL: Duration = Duration::from_secs(10);
/// Long enough for a busy machine to renew in time.
const REAL_TTL: Duration = Duration::from_secs(2);

fn in_memory() -> Team {
    Team::new(Arc::new(MemoryStore::default()), PAUSED_TTL)
}

async fn on_sqlite(directory: &Path) -> Team {
    let store = SqliteStore::open(&directory.join("tidegate.sqlite")).await;
    let store: Arc<dyn Store> = Arc::new(store.expect("a new file can be opened"));
    Team::new(store, REAL_TTL)
}

/// Shuts a worker down and waits for its end.
async fn dismiss(worker: Worker) {
    worker.shutdown.cancel();
    worker.run.await.expect("no panic").expect("an orderly end");
}

async fn one_three_one(team: Team) {
    let first = team.hire();
    team.see_counts(&[(&first, 16)]).await;
    let (second, third) = (team.hire(), team.hire());
    team.see_counts(&[(&first, 6), (&second, 5), (&third, 5)])
        .await;
    dismiss(first).await;
    team.see_counts(&[(&second, 8), (&third, 8)]).await;
    dismiss(third).await;
    team.see_counts(&[(&second, 16)]).await;
    dismiss(second).await;
    team.see("nothing is owned", |board| board.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn one_three_one_workers_share_evenly() {
    one_three_one(in_memory()).await;
}

#[tokio::test]
async fn one_three_one_workers_share_evenly_on_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    one_three_one(on_sqlite(directory.path()).await).await;
}

async fn death(team: Team) {
    let (survivor, victim) = (team.hire(), team.hire());
    team.see_counts(&[(&survivor, 8), (&victim, 8)]).await;
    let died_at = Instant::now();
    victim.run.abort();
    team.see_counts(&[(&survivor, 16)]).await;
    let ttl = team.options.lease_ttl;
    // The last renewal was up to a quarter of the ttl ago, and so was the survivor's last look.
    assert!(
        died_at.elapsed() >= ttl / 2,
        "leases are not taken before they end"
    );
}

#[tokio::test(start_paused = true)]
async fn partitions_of_a_dead_worker_are_taken_over() {
    let started_at = Instant::now();
    death(in_memory()).await;
    // In paused time the bound is exact: sharing, the ttl, and one look at the store.
    assert!(
        started_at.elapsed() < PAUSED_TTL * 2,
        "took {:?}",
        started_at.elapsed()
    );
}

#[tokio::test]
async fn partitions_of_a_dead_worker_are_taken_over_on_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    death(on_sqlite(directory.path()).await).await;
}

async fn prompt_shutdown(team: Team) {
    let (leaver, other) = (team.hire(), team.hire());
    team.see_counts(&[(&leaver, 8), (&other, 8)]).await;
    let asked_at = Instant::now();
    dismiss(leaver).await;
    assert!(
        asked_at.elapsed() < team.options.lease_ttl / 2,
        "took {:?}",
        asked_at.elapsed()
    );
    team.see_counts(&[(&other, 16)]).await;
    assert!(
        asked_at.elapsed() < team.options.lease_ttl,
        "took {:?}",
        asked_at.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn shutdown_hands_over_well_within_the_ttl() {
    prompt_shutdown(in_memory()).await;
}

#[tokio::test]
async fn shutdown_hands_over_well_within_the_ttl_on_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    prompt_shutdown(on_sqlite(directory.path()).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_waits_for_one_look_at_the_store_only() {
    let team = in_memory();
    let first = team.hire();
    team.see_counts(&[(&first, 16)]).await;
    let joined_at = Instant::now();
    let second = team.hire();
    team.see_counts(&[(&first, 8), (&second, 8)]).await;
    // The first one looks every quarter of the ttl, the newcomer every 250 ms until it has all.
    assert!(joined_at.elapsed() <= PAUSED_TTL / 4 + Duration::from_millis(260));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_owner_does_not_stop_the_others() {
    let mut team = in_memory();
    team.stalled = vec![15];
    let first = team.hire();
    team.see_counts(&[(&first, 16)]).await;
    let second = team.hire();
    team.see("all but the stalled one move", |board| {
        board.count(&first) == 9 && board.count(&second) == 7
    })
    .await;
    // The stalled one is renewed for as long as it takes, and so are all others.
    let stays = |board: &Board| board.count(&first) == 9 && board.count(&second) == 7;
    team.see_no_change(PAUSED_TTL * 10, stays).await;
}

#[tokio::test(start_paused = true)]
async fn a_raised_floor_is_honoured() {
    let team = in_memory();
    let worker = team.hire();
    team.see_counts(&[(&worker, 16)]).await;
    // By then the worker looks every quarter of the ttl only, and the next look is far away.
    team.see_no_change(PAUSED_TTL * 11 / 10, |board| board.count(&worker) == 16)
        .await;
    worker.handle.raise_floor(3, Epoch(40));
    worker.handle.raise_floor(3, Epoch(30));
    let given_up_at = Instant::now();
    worker.give_up.send_replace(Some(3));
    team.see("an epoch above the floor", |board| {
        board.epoch(3) == Some(Epoch(41))
    })
    .await;
    assert!(given_up_at.elapsed() <= Duration::from_millis(260));
}

#[tokio::test(start_paused = true)]
async fn partitions_that_begin_elsewhere_are_shared_alike() {
    let mut team = in_memory();
    team.options.first_partition = 20;
    one_three_one(team.clone()).await;
    let worker = team.hire();
    worker.handle.raise_floor(3, Epoch(70));
    worker.handle.raise_floor(23, Epoch(40));
    team.see("an epoch above the floor of its own", |board| {
        board.count(&worker) == 16 && board.epoch(23) == Some(Epoch(41))
    })
    .await;
    assert_eq!(team.look(|board| board.epoch(3)), None);
    assert!(team.look(|board| (20..36).all(|index| board.epoch(index) < Some(Epoch(70)))));
}
