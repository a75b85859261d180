//! The number of partitions changes while worker processes are killed, and the change itself is
//! given up and made again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use tidegate_store::Store;
use tidegate_streams::{Repartition, StreamSpec};
use tidegate_testkit::RedisCluster;

use crate::feed::Feed;
use crate::site::{SOON, Site, redis, seeded};
use crate::worker::{LINGER_MS, spec};

const WORKERS: usize = 3;
/// How often each change is given up, and a worker killed.
const KILLS: usize = 4;
const PAUSE_MAX_MS: u64 = 400;

/// Changes the number to the end.
async fn change(store: Arc<dyn Store>, partitions: u32) {
    let mut change = Repartition::begin(store, &spec()).await.unwrap();
    change.plan(partitions).await.unwrap();
    change.finish().await.unwrap();
    let began = Instant::now();
    loop {
        let groups = change.groups().await.unwrap();
        if change.backlog(&groups).await.unwrap().is_empty() && change.retire().await.unwrap() {
            return;
        }
        assert!(began.elapsed() < SOON, "the former partitions are not done");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A stream goes from 4 to 16 to 3 partitions; all fenced effects happen once and in order.
async fn four_sixteen_three(site: Site, seed: u64) {
    let mut random = seeded(seed);
    // What the workers say of the number does not count: the stream is there.
    let four = StreamSpec {
        partitions: 4,
        ..spec()
    };
    Repartition::begin(site.store.clone(), &four).await.unwrap();
    let variables = [(LINGER_MS, "20")];
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(site.hire_with(&variables).await);
    }
    let enough = Arc::new(AtomicBool::new(false));
    let is_enough = enough.clone();
    let flow = Feed::new(&site).flow(move |_| is_enough.load(Ordering::Relaxed));
    let feed = tokio::spawn(flow);
    site.done(1).await;
    for partitions in [16, 3] {
        for _ in 0..KILLS {
            let given_up = tokio::spawn(change(site.store.clone(), partitions));
            tokio::time::sleep(Duration::from_millis(random.random_range(0..PAUSE_MAX_MS))).await;
            given_up.abort();
            let mut victim = workers.swap_remove(random.random_range(0..WORKERS));
            victim.process.kill().expect("killed");
            workers.push(site.hire_with(&variables).await);
        }
        change(site.store.clone(), partitions).await;
        assert!(!feed.is_finished(), "records flowed meanwhile");
    }
    enough.store(true, Ordering::Relaxed);
    let sent = feed.await.expect("all is sent").sent;
    site.done(sent).await;
    for worker in workers {
        worker.stop().await;
    }
    let effects = site.check(sent).await;
    let used = |range: std::ops::Range<i32>| {
        let used = effects.iter().filter(|it| range.contains(&it.partition));
        used.count()
    };
    let (four, sixteen, three) = (used(0..4), used(4..20), used(20..23));
    assert_eq!(four + sixteen + three, effects.len());
    assert!(four > 0 && sixteen > 0 && three > 0);
    let doubled = site.doubled(&effects).len();
    eprintln!("{sent} records ({four}, {sixteen}, {three}), {doubled} unfenced effects repeated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_sixteen_and_three_partitions_under_kills_lose_and_double_nothing() {
    let redis = redis().await;
    four_sixteen_three(Site::at(redis.url()).await, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_sixteen_and_three_partitions_on_a_cluster_lose_and_double_nothing() {
    let cluster = RedisCluster::start_patient().await.expect("a cluster");
    four_sixteen_three(Site::at(cluster.url()).await, 51).await;
}
