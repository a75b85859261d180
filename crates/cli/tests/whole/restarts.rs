//! Redis and PostgreSQL restart in the middle of draining: the worker waits, says so once, and
//! goes on; nothing is lost or doubled.

use rand::rngs::StdRng;
use tidegate_testkit::{Process, poll_until};

use crate::support::{Load, SOON, Servers, Target, said, seeded};

const RESTARTS: usize = 3;

/// Sends operations and waits until the worker commits some of them.
async fn feed(
    target: &Target,
    worker: &Process,
    load: &mut Load,
    random: &mut StdRng,
    count: usize,
) {
    let before = worker.stdout().len();
    target.send(&load.next(random, count));
    let commits = async || worker.stdout().len() > before;
    poll_until(SOON, commits).await.expect("the worker commits");
}

async fn wait_until_said(worker: &Process, text: &str, times: usize) {
    let is_said = async || said(worker, text) >= times;
    poll_until(SOON, is_said).await.expect(text);
}

async fn finish(mut worker: Process, target: &Target, servers: &Servers, mut load: Load) {
    assert!(worker.terminate(SOON).await.expect("it stops").success());
    target.finish();
    load.assert_equal(&servers.client().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_redis_is_waited_for() {
    let mut servers = Servers::start().await;
    let target = servers.target();
    let (mut random, mut load) = (seeded(30), Load::default());
    let worker = target.worker();
    for restart in 1..=RESTARTS {
        feed(&target, &worker, &mut load, &mut random, 6_000).await;
        servers.redis.kill().await.expect("killed");
        wait_until_said(&worker, "the store can't be reached", restart).await;
        servers.redis.restart().await.expect("restarted");
        wait_until_said(&worker, "the store is back", restart).await;
        feed(&target, &worker, &mut load, &mut random, 100).await;
        let waits = said(&worker, "the store can't be reached") + said(&worker, "draining waits");
        assert_eq!(waits, restart, "it says so once: {:#?}", worker.stderr());
    }
    finish(worker, &target, &servers, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_postgres_is_waited_for() {
    let mut servers = Servers::start().await;
    let target = servers.target();
    let (mut random, mut load) = (seeded(31), Load::default());
    let worker = target.worker();
    for restart in 1..=RESTARTS {
        feed(&target, &worker, &mut load, &mut random, 6_000).await;
        servers.postgres.kill().await.expect("killed");
        wait_until_said(&worker, "draining waits", restart).await;
        servers.postgres.restart().await.expect("restarted");
        feed(&target, &worker, &mut load, &mut random, 100).await;
        wait_until_said(&worker, "draining goes on", restart).await;
        assert_eq!(
            said(&worker, "draining waits"),
            restart,
            "{:#?}",
            worker.stderr()
        );
    }
    finish(worker, &target, &servers, load).await;
}
