//! The crate apalis-redis, as its documentation has it: with its locks, results and events, but a
//! larger batch than its default, which is faster.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use apalis::layers::WorkerBuilderExt as _;
use apalis::prelude::{BoxDynError, Data, TaskSink as _, WorkerBuilder};
use apalis_redis::{Config, RedisStorage};
use rustis::client::Client;
use rustis::resp::cmd;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};

use super::contestant::Stage;
use super::run::{Measured, Run};
use super::tidegate::ENQUEUED_AT_ONCE;
use crate::error::{Error, Result};
use crate::usage::Stopwatch;

/// How many tasks it fetches at once.
const BATCH: usize = 100;
/// How many it works on at once.
const CONCURRENCY: usize = 100;
/// How long all tasks may take.
const DONE_WITHIN: Duration = Duration::from_secs(600);
/// The pause between two tasks whose latencies are measured.
const LATENCY_EVERY: Duration = Duration::from_millis(10);

/// When the process began; the times of tasks are told from it.
static BEGUN: OnceLock<Instant> = OnceLock::new();

/// What its tasks leave.
#[derive(Clone, Default)]
struct Begun {
    count: Arc<AtomicU64>,
    latencies_ms: Arc<Mutex<Vec<f64>>>,
}

/// Each task carries when it was sent.
async fn timed(sent_ns: u64, begun: Data<Begun>) -> Result<(), BoxDynError> {
    let latency_ms = now_ns().saturating_sub(sent_ns) as f64 / 1e6;
    let latencies = &begun.latencies_ms;
    let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
    latencies.push(latency_ms);
    begun.count.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn now_ns() -> u64 {
    let begun = BEGUN.get_or_init(Instant::now);
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Performs one stage.
pub(super) async fn perform(run: &Run) -> Result<Measured> {
    let config = Config::default().queue("bench").batch_size(BATCH);
    let done = config.done_jobs_set();
    let connection = apalis_redis::connect(run.redis_url.as_str()).await;
    let connection = connection.map_err(|error| failed(&error))?;
    let mut storage = RedisStorage::<u64>::new(connection).with_config(config);
    let watch = Stopwatch::start(run.processes)?;
    match run.stage {
        Stage::Single => {
            for _ in 0..run.count {
                let pushed = storage.push(now_ns()).await;
                pushed.map_err(|error| failed(&error))?;
            }
        }
        Stage::Bulk => {
            let mut left = usize::try_from(run.count).unwrap_or(usize::MAX);
            while left > 0 {
                let some = left.min(ENQUEUED_AT_ONCE);
                let pushed = storage.push_bulk(vec![now_ns(); some]).await;
                pushed.map_err(|error| failed(&error))?;
                left -= some;
            }
        }
        Stage::Process => {
            let (begun, work) = hire(&storage);
            until_done(run, &begun, work, &done).await?;
        }
        Stage::Latency => {
            let (begun, work) = hire(&storage);
            // Its worker must be there: what is measured is a queue in use.
            sleep(Duration::from_millis(500)).await;
            let mut ticks = interval(LATENCY_EVERY);
            for _ in 0..run.count {
                ticks.tick().await;
                let pushed = storage.push(now_ns()).await;
                pushed.map_err(|error| failed(&error))?;
            }
            until_done(run, &begun, work, &done).await?;
            let latencies = &begun.latencies_ms;
            let latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(Measured {
                latencies_ms: latencies.clone(),
                ..Measured::default()
            });
        }
    }
    watch.stop().map(Measured::of)
}

/// A worker at work, until it fails or the process ends.
fn hire(storage: &RedisStorage<u64>) -> (Begun, JoinHandle<Error>) {
    let begun = Begun::default();
    let worker = WorkerBuilder::new("bench")
        .backend(storage.clone())
        .data(begun.clone())
        .concurrency(CONCURRENCY)
        .build(timed);
    let work = tokio::spawn(async move {
        match worker.run().await {
            Ok(()) => Error::Unexpected("the worker of apalis has ended".to_owned()),
            Err(error) => failed(&error),
        }
    });
    (begun, work)
}

/// Waits until so many have begun, and then until the server knows of the end of each. A worker that
/// fails before is the answer.
async fn until_done(run: &Run, begun: &Begun, work: JoinHandle<Error>, done: &str) -> Result<()> {
    let client = Client::connect(run.redis_url.as_str()).await?;
    let all = async {
        while begun.count.load(Ordering::Relaxed) < run.count {
            sleep(Duration::from_millis(1)).await;
        }
        loop {
            let ended: u64 = client.send(cmd("ZCARD").key(done), None).await?;
            if ended >= run.count {
                return Ok(());
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    let in_time = timeout(DONE_WITHIN, async {
        tokio::select! {
            done = all => done,
            failure = work => Err(failure?),
        }
    });
    in_time.await.map_err(|_elapsed| Error::TooSlow {
        contestant: "apalis-redis".into(),
        within: DONE_WITHIN,
    })?
}

fn failed(error: &dyn std::error::Error) -> Error {
    Error::Unexpected(format!("apalis-redis: {error}"))
}
