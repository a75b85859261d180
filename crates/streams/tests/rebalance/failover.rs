//! Masters that are killed under running workers: a replica takes over, behind Sentinels and in a
//! Cluster.
//!
//! Replicas lag behind. What a replica has confirmed to the sender is there after the failover;
//! an acknowledgement of the last moment may not be, and then its event is handed out again.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tidegate_testkit::{RedisCluster, RedisSentinel, poll_until};

use crate::effects::{self, Effect};
use crate::feed::Feed;
use crate::site::{SOON, Site};
use crate::worker::LINGER_MS;

const WORKERS: usize = 3;
/// How often a master is killed.
const KILLS: usize = 2;
/// How many records take effect before each kill and after the last one.
const RECORDS_BETWEEN: u64 = 8_000;
/// How many records take effect again after a kill.
const RECORDS_AGAIN: u64 = 2_000;
/// How long before its master's death an acknowledgement may have been made that no replica has.
const LAG_MAX: Duration = Duration::from_secs(1);

/// Several servers, of which a master can die.
enum Redis {
    Sentinel(RedisSentinel),
    Cluster(RedisCluster),
}

impl Redis {
    /// Kills a master, and returns where it was.
    async fn kill(&mut self, round: usize) -> u16 {
        let killed = match self {
            Self::Sentinel(sentinel) => sentinel.kill_master().await,
            Self::Cluster(cluster) => {
                let key = format!("__strm:{{bank.steps.{round}}}");
                cluster.kill_master_of(&key).await
            }
        };
        killed.expect("a master is killed")
    }

    /// Starts it again: it follows the one that has taken its place.
    async fn restart(&mut self, port: u16) {
        let restarted = match self {
            Self::Sentinel(sentinel) => sentinel.restart(port).await,
            Self::Cluster(cluster) => cluster.restart(port).await,
        };
        restarted.expect("it follows the new master");
    }
}

/// From when on acknowledgements may have been lost with a master, until all was well again.
type Outage = RangeInclusive<SystemTime>;

/// Kills a master under running workers, and waits until they work on.
async fn lose_master(redis: &mut Redis, round: usize, site: &Site) -> Outage {
    let before = effects::count(&site.client).await;
    let from = SystemTime::now() - LAG_MAX;
    let killed = redis.kill(round).await;
    let replaced = poll_until(SOON, async || {
        let (group, partitions) = (Site::group(), Site::partitions());
        let holders = site.store.lease_holders(&group, &partitions).await;
        holders.is_ok()
    });
    replaced.await.expect("a replica takes over");
    redis.restart(killed).await;
    site.done(before + RECORDS_AGAIN).await;
    from..=SystemTime::now()
}

/// Lets records flow to several workers while masters are killed, and checks the effects.
async fn lose_masters(mut redis: Redis, site: &Site) {
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(site.hire_with(&[(LINGER_MS, "20")]).await);
    }
    let all: Vec<_> = workers.iter().collect();
    site.shared_among(&all).await;
    let enough = Arc::new(AtomicBool::new(false));
    let is_enough = enough.clone();
    let flow = Feed::durable(site).flow(move |_| is_enough.load(Ordering::Relaxed));
    let feed = tokio::spawn(flow);
    let mut outages = Vec::new();
    for round in 0..KILLS {
        let before = effects::count(&site.client).await;
        site.done(before + RECORDS_BETWEEN).await;
        let outage = lose_master(&mut redis, round, site).await;
        site.shared_among(&all).await;
        outages.push(*outage.start()..=SystemTime::now());
    }
    let before = effects::count(&site.client).await;
    site.done(before + RECORDS_BETWEEN).await;
    enough.store(true, Ordering::Relaxed);
    let sent = feed.await.expect("all is sent").sent;
    site.done(sent).await;
    for worker in workers {
        worker.stop().await;
    }
    // Everything that was confirmed has its effect, each key's in order, and only once.
    let effects = site.check(sent).await;
    explain(site, &effects, &outages);
}

/// Whatever was repeated had its first effect where its acknowledgement could be lost.
fn explain(site: &Site, effects: &[Effect], outages: &[Outage]) {
    let doubled = site.doubled(effects);
    let unfenced = site.unfenced();
    let is_explained = |place: &&(i32, i64)| {
        let first = unfenced.get(*place).and_then(|times| times.iter().min());
        first.is_some_and(|first| outages.iter().any(|outage| outage.contains(first)))
    };
    let unexplained = doubled.keys().filter(|place| !is_explained(place)).count();
    let lengths: Vec<_> = outages
        .iter()
        .map(|outage| outage.end().duration_since(*outage.start()))
        .collect();
    eprintln!(
        "{} records, {} unfenced effects repeated, all of them in the outages {lengths:?} but \
         {unexplained}",
        effects.len(),
        doubled.values().map(|count| count - 1).sum::<u32>(),
    );
    assert_eq!(unexplained, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_masters_behind_sentinels_lose_nothing_that_was_confirmed() {
    let sentinel = RedisSentinel::start().await.expect("Sentinels");
    let site = Site::at(sentinel.url()).await;
    lose_masters(Redis::Sentinel(sentinel), &site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_masters_of_a_cluster_lose_nothing_that_was_confirmed() {
    let cluster = RedisCluster::start().await.expect("a cluster");
    let site = Site::at(cluster.url()).await;
    lose_masters(Redis::Cluster(cluster), &site).await;
}
