//! The delay: from the push of an operation to the answer of the commit that settles it.
//!
//! ```text
//! push at a steady rate ─► shards ─► a worker ─► commit
//!    └── id and time ───────────────────────────► time of the first commit past the id ─► delay
//! ```
//!
//! Pusher and worker are tasks of one process, so that one clock tells both times. The time of a
//! push is taken before the call to Redis, that of a commit when the worker has PostgreSQL's answer;
//! everything in between counts. Nothing is measured before the first operations have gone through.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tidegate_drain::observer::Batch;
use tidegate_drain::{Observer, Options, PostgresOptions, PostgresSink, Sink, Worker};
use tidegate_store::{EntryId, NewEntry, Store, StoreUrl, StreamName};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::load::{STREAM, entry};
use super::workload::Workload;
use crate::error::{Error, Result};
use crate::subprocess;

/// How many operations are pushed in a second, each in a run of its own.
pub(super) const RATES: [u32; 3] = [10, 1_000, 20_000];

/// Operations that go through before anything is measured: connections and plans are made then.
const WARM_UP: u64 = 200;
/// Pushes a second at most; of faster rates several operations are pushed at once.
const PUSHES_PER_SECOND_MAX: u32 = 1_000;
/// Pushes that wait for Redis at the same time, at most: a slow answer doesn't slow the rate.
const IN_FLIGHT_MAX: usize = 64;
/// How long the last commit may be waited for.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);

/// Everything that a run must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DelayRun {
    pub(super) per_second: u32,
    pub(super) seconds: u32,
    pub(super) shards: u32,
    pub(super) connections: u32,
    pub(super) redis_url: String,
    pub(super) postgres_url: String,
}

/// The delays of a run, in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Delay {
    /// How many operations were to be pushed in a second.
    pub(super) per_second: u32,
    /// How many were.
    pub(super) pushed_per_second: f64,
    pub(super) operations: usize,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    /// The mean number of operations in a transaction.
    pub(super) batch_mean: f64,
}

impl DelayRun {
    /// The name of the command that runs this.
    const COMMAND: &str = "drain-delay-run";

    /// Reads what the parent passed.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Runs, in another process.
    pub(super) async fn spawn(&self) -> Result<Delay> {
        let name = format!("Tidegate at {} operations/s", self.per_second);
        subprocess::spawn(Self::COMMAND, &name, self).await
    }
}

/// Runs in this process, and returns what the parent reads.
///
/// # Errors
/// Whatever kept the run from its end.
pub(crate) async fn run_one(run: &DelayRun) -> Result<String> {
    Box::pin(subprocess::perform(measure(run))).await
}

/// An operation that was pushed.
struct Push {
    shard: u32,
    id: EntryId,
    at: Instant,
}

/// What was committed, and when.
#[derive(Debug, Default)]
struct Commits {
    applied: AtomicU64,
    all: Mutex<Vec<(u32, EntryId, Instant)>>,
}

impl Observer for Commits {
    fn committed(&self, batch: &Batch) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((batch.shard, batch.through, Instant::now()));
        self.applied
            .fetch_add(batch.settled.applied, Ordering::Release);
    }
}

impl Commits {
    async fn reach(&self, operations: u64) -> Result<()> {
        let until = Instant::now() + DRAINED_WITHIN;
        while self.applied.load(Ordering::Acquire) < operations {
            if Instant::now() > until {
                return Err(Error::Unexpected(format!(
                    "only {} of {operations} operations were applied",
                    self.applied.load(Ordering::Acquire)
                )));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

async fn measure(run: &DelayRun) -> Result<Delay> {
    let url = StoreUrl::parse(&run.redis_url)?;
    let postgres = PostgresOptions {
        connections_max: run.connections as usize,
        ..PostgresOptions::default()
    };
    let sink = Arc::new(PostgresSink::connect(&run.postgres_url, postgres).await?);
    sink.prepare().await?;
    let commits = Arc::new(Commits::default());
    let options = Options::new(StreamName::new(STREAM)?, run.shards);
    let store = tidegate_store::connect(&url).await?;
    let worker = Worker::new(store, sink, options, commits.clone())?;
    let shutdown = CancellationToken::new();
    let worker = tokio::spawn(worker.run(shutdown.clone()));

    // A producer has connections of its own.
    let store = tidegate_store::connect(&url).await?;
    for place in 0..WARM_UP {
        push(&*store, entries(place..place + 1, run.shards)?).await?;
    }
    commits.reach(WARM_UP).await?;
    let batches_before = commits.all.lock().map_or(0, |all| all.len());
    let began = Instant::now();
    let pushes = push_steadily(&*store, run).await?;
    let pushing = began.elapsed();
    commits.reach(WARM_UP + pushes.len() as u64).await?;
    shutdown.cancel();
    worker.await??;
    let commits = std::mem::take(&mut *commits.all.lock().unwrap_or_else(PoisonError::into_inner));
    let batches = commits.len().saturating_sub(batches_before);
    let delays = delays(&pushes, commits)?;
    let at = |share: f64| -> f64 {
        let place = ((delays.len() - 1) as f64 * share).round();
        let places = delays.iter().enumerate();
        let found = places.rev().find(|(index, _)| *index as f64 <= place);
        found.map_or(f64::NAN, |(_, delay)| delay.as_secs_f64() * 1e3)
    };
    Ok(Delay {
        per_second: run.per_second,
        pushed_per_second: pushes.len() as f64 / pushing.as_secs_f64(),
        operations: pushes.len(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        batch_mean: pushes.len() as f64 / batches.max(1) as f64,
    })
}

/// Pushes at the run's rate, for as long as the run lasts.
async fn push_steadily(store: &dyn Store, run: &DelayRun) -> Result<Vec<Push>> {
    let ticks_per_second = run.per_second.min(PUSHES_PER_SECOND_MAX);
    let at_once = u64::from(run.per_second / ticks_per_second);
    let ticks = ticks_per_second * run.seconds;
    let mut ticker = tokio::time::interval(Duration::from_secs(1) / ticks_per_second);
    // Operations that came while Redis was slow to answer are pushed all the same.
    ticker.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut in_flight = FuturesUnordered::new();
    let mut pushes = Vec::new();
    let mut place = WARM_UP;
    for _ in 0..ticks {
        let entries = entries(place..place + at_once, run.shards)?;
        place += at_once;
        loop {
            tokio::select! {
                _ = ticker.tick(), if in_flight.len() < IN_FLIGHT_MAX => break,
                Some(pushed) = in_flight.next() => pushes.extend(pushed?),
            }
        }
        in_flight.push(push(store, entries));
    }
    while let Some(pushed) = in_flight.next().await {
        pushes.extend(pushed?);
    }
    Ok(pushes)
}

fn entries(places: std::ops::Range<u64>, shards: u32) -> Result<Vec<NewEntry>> {
    places
        .map(|place| entry(Workload::Inserts, place, shards))
        .collect()
}

async fn push(store: &dyn Store, entries: Vec<NewEntry>) -> Result<Vec<Push>> {
    let of_shards: Vec<u32> = entries.iter().map(|entry| entry.partition.index).collect();
    let at = Instant::now();
    let ids = store.append(entries).await?;
    let pushed = of_shards.into_iter().zip(ids);
    Ok(pushed.map(|(shard, id)| Push { shard, id, at }).collect())
}

/// The delay of each push, ascending.
fn delays(pushes: &[Push], commits: Vec<(u32, EntryId, Instant)>) -> Result<Vec<Duration>> {
    let mut of_shard: BTreeMap<u32, Vec<(EntryId, Instant)>> = BTreeMap::new();
    for (shard, through, at) in commits {
        of_shard.entry(shard).or_default().push((through, at));
    }
    let mut delays = Vec::with_capacity(pushes.len());
    for push in pushes {
        let commits = of_shard.get(&push.shard).map_or(&[][..], Vec::as_slice);
        let first = commits.partition_point(|(through, _)| *through < push.id);
        let (_, at) = commits.get(first).ok_or_else(|| {
            Error::Unexpected(format!(
                "no commit went past {} of shard {}",
                push.id, push.shard
            ))
        })?;
        delays.push(at.saturating_duration_since(push.at));
    }
    if delays.is_empty() {
        return Err(Error::Unexpected("nothing was pushed".to_owned()));
    }
    delays.sort_unstable();
    Ok(delays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_waits_for_the_first_commit_past_its_id() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let id = |ms| EntryId::new(ms, 0);
        let push = |shard, number, ms| Push {
            shard,
            id: id(number),
            at: at(ms),
        };
        let pushes = [push(0, 5, 0), push(0, 7, 2), push(1, 6, 1)];
        let commits = vec![
            (0, id(4), at(3)),
            (0, id(5), at(10)),
            (1, id(9), at(11)),
            (0, id(7), at(12)),
        ];
        let expected = [10, 10, 10].map(Duration::from_millis);
        assert_eq!(delays(&pushes, commits).unwrap(), expected);
        assert!(delays(&pushes, vec![(0, id(9), at(9))]).is_err());
    }
}
