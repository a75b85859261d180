//! Workers as processes of their own, on Redis and PostgreSQL: they share the shards, and are
//! killed, stopped and continued at any moment.

use std::time::Duration;

use crate::support::{Load, SOON, Servers, Target, seeded};
use rand::RngExt;
use tidegate_testkit::poll_until;

/// Which worker owns each shard, as `drain status` tells.
fn owners(target: &Target) -> Vec<String> {
    let output = target.run(&["drain", "status", "--all", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let shards = status
        .get("shards")
        .and_then(|shards| shards.as_array())
        .expect("shards");
    shards
        .iter()
        .filter_map(|s| Some(s.get("owner")?.as_str()?.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_shards() {
    let servers = Servers::start().await;
    let target = servers.target();
    let _workers = [target.worker(), target.worker()];
    let is_shared = async || {
        let owners = owners(&target);
        let first = owners
            .first()
            .map_or(0, |first| owners.iter().filter(|o| o == &first).count());
        owners.len() == 8 && first == 4
    };
    poll_until(SOON, is_shared)
        .await
        .expect("each worker owns half of the shards");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_at_any_moment_lose_and_double_nothing() {
    let servers = Servers::start().await;
    let target = servers.target();
    let (mut random, mut load) = (seeded(20), Load::default());
    let mut workers = [target.worker(), target.worker()];
    for _ in 0..20 {
        target.send(&load.next(&mut random, 400));
        tokio::time::sleep(Duration::from_millis(random.random_range(0..250))).await;
        let victim = &mut workers[random.random_range(0..2)];
        victim.kill().expect("killed");
        *victim = target.worker();
    }
    for worker in &mut workers {
        let stopped = worker.terminate(SOON).await;
        assert!(
            stopped.is_ok_and(|status| status.success()),
            "{:#?}",
            worker.stderr()
        );
    }
    target.finish();
    load.assert_equal(&servers.client().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_owner_that_wakes_up_changes_nothing() {
    let servers = Servers::start().await;
    let target = servers.target();
    let (mut random, mut load) = (seeded(21), Load::default());
    let mut zombie = target.worker();
    for round in 0..5 {
        target.send(&load.next(&mut random, 400));
        // Somewhere in the middle of its work.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..120))).await;
        zombie.pause().expect("paused");
        // Another worker takes every shard over once the leases are gone, and drains them.
        target.finish();
        load.assert_equal(&servers.client().await).await;
        zombie.resume().expect("resumed");
        target.send(&load.next(&mut random, 50));
        target.finish();
        load.assert_equal(&servers.client().await).await;
        assert!(
            zombie.is_running().expect("a state"),
            "round {round}: the woken worker goes on"
        );
    }
    assert!(zombie.terminate(SOON).await.expect("it stops").success());
    load.assert_equal(&servers.client().await).await;
}
