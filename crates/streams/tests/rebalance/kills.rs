//! Owners that are killed at any moment.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt;
use tidegate_store::WorkerId;
use tidegate_testkit::RedisCluster;

use crate::effects::{Effect, number_of};
use crate::feed::Feed;
use crate::site::{Site, redis, seeded};
use crate::worker::{LANES, LINGER_MS};

const KILLS: usize = 10;
const WORKERS: usize = 3;
const PAUSE_MAX_MS: u64 = 1_200;

/// What a dead worker had not acknowledged of a partition: so many entries up to this one.
#[derive(Debug)]
struct Left {
    partition: usize,
    delivered_through: i64,
    pending: u64,
}

/// What the dead worker left behind, where nobody has taken over yet, and how many of its
/// partitions others were too quick for.
async fn left_by(site: &Site, dead: WorkerId) -> (Vec<Left>, usize) {
    let before = site.owners().await;
    let lags = site.store.lag(&Site::group(), &Site::partitions()).await;
    let after = site.owners().await;
    let (mut left, mut missed) = (Vec::new(), 0);
    for (partition, lag) in lags.unwrap().into_iter().enumerate() {
        if before[partition] != Some(dead) {
            continue;
        }
        if after[partition] != Some(dead) {
            missed += 1;
            continue;
        }
        left.push(Left {
            partition,
            delivered_through: number_of(lag.delivered_through),
            pending: lag.pending,
        });
    }
    (left, missed)
}

/// The entries that were not acknowledged. A partition's are acknowledged in order, so they are
/// the last ones that were delivered.
fn unacknowledged(effects: &[Effect], left: &[Left]) -> HashSet<(i32, i64)> {
    let mut entries: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
    for effect in effects {
        entries
            .entry(effect.partition)
            .or_default()
            .insert(effect.entry);
    }
    let of_one = |it: &Left| {
        let partition = i32::try_from(it.partition).unwrap();
        let delivered = entries[&partition].range(..=it.delivered_through).rev();
        let pending = usize::try_from(it.pending).unwrap();
        let last: Vec<_> = delivered.take(pending).map(|id| (partition, *id)).collect();
        last
    };
    left.iter().flat_map(of_one).collect()
}

/// What the kills did.
struct Aftermath {
    effects: Vec<Effect>,
    left: Vec<Left>,
    /// Partitions of dead workers that others were too quick for, and leases that living workers
    /// have lost: repetitions that the test can't explain, on a machine that is too busy.
    unknown: usize,
}

/// Kills workers while records flow, hires others, and checks the fenced effects.
async fn kill(site: &Site, seed: u64, variables: &[(&str, &str)]) -> Aftermath {
    let mut random = seeded(seed);
    // Long enough that most kills find events in hand.
    let variables = [variables, &[(LINGER_MS, "50")]].concat();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(site.hire_with(&variables).await);
    }
    site.shared_among(&workers.iter().collect::<Vec<_>>()).await;
    let enough = Arc::new(AtomicBool::new(false));
    let is_enough = enough.clone();
    let flow = Feed::new(site).flow(move |_| is_enough.load(Ordering::Relaxed));
    let feed = tokio::spawn(flow);
    let (mut left, mut unknown) = (Vec::new(), 0);
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(random.random_range(0..PAUSE_MAX_MS))).await;
        let mut victim = workers.swap_remove(random.random_range(0..WORKERS));
        victim.process.kill().expect("killed");
        let (of_victim, missed) = left_by(site, victim.id).await;
        left.extend(of_victim);
        unknown += missed + victim.leases_lost();
        workers.push(site.hire_with(&variables).await);
    }
    enough.store(true, Ordering::Relaxed);
    let sent = feed.await.expect("all is sent").sent;
    site.done(sent).await;
    site.shared_among(&workers.iter().collect::<Vec<_>>()).await;
    for worker in workers {
        unknown += worker.stop().await;
    }
    let effects = site.check(sent).await;
    Aftermath {
        effects,
        left,
        unknown,
    }
}

/// Whatever was repeated had not been acknowledged when its owner was killed.
fn explain(site: &Site, aftermath: &Aftermath) {
    let Aftermath {
        effects,
        left,
        unknown,
    } = aftermath;
    let doubled = site.doubled(effects);
    let allowed = unacknowledged(effects, left);
    let repeats: u32 = doubled.values().map(|count| count - 1).sum();
    eprintln!(
        "{} records, {repeats} unfenced effects repeated, {} entries unacknowledged at the kills, \
         {unknown} unknown circumstances",
        effects.len(),
        allowed.len()
    );
    assert!(!allowed.is_empty(), "no kill met a worker at work");
    let unexplained = doubled.keys().filter(|place| !allowed.contains(place));
    assert!(unexplained.count() == 0 || *unknown > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_lose_nothing_and_repeat_only_what_was_not_acknowledged() {
    let redis = redis().await;
    let site = Site::at(redis.url()).await;
    explain(&site, &kill(&site, 30, &[]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_on_a_cluster_lose_nothing_and_repeat_only_what_was_not_acknowledged() {
    let cluster = RedisCluster::start_patient().await.expect("a cluster");
    let site = Site::at(cluster.url()).await;
    explain(&site, &kill(&site, 32, &[]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_keep_the_order_of_each_key_where_keys_are_concurrent() {
    let redis = redis().await;
    let site = Site::at(redis.url()).await;
    let Aftermath { effects, .. } = kill(&site, 31, &[(LANES, "8")]).await;
    let doubled = site.doubled(&effects);
    eprintln!("{} records, {} repeated", effects.len(), doubled.len());
}
