//! Ours: the client and the worker of an application, in one process.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tidegate_macros::task;
use tidegate_store::task::Counts;
use tidegate_store::{StoreUrl, connect_tasks};
use tidegate_streams::StateMap;
use tidegate_tasks::{BoxError, Enqueue, Metrics, Options, Registered, TaskClient, Worker};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::contestant::Stage;
use super::run::{Measured, Run};
use crate::error::{Error, Result};
use crate::usage::Stopwatch;

/// How many tasks are sent at once, where many are.
pub(super) const ENQUEUED_AT_ONCE: usize = 1_000;
/// Calls that send many tasks at once, and are under way at the same time.
const CALLS_AT_ONCE: usize = 2;
/// How long all tasks may take.
const DONE_WITHIN: Duration = Duration::from_secs(600);
/// The pause between two tasks whose latencies are measured.
const LATENCY_EVERY: Duration = Duration::from_millis(10);

const APP: &str = "bench";
const QUEUE: &str = "bench";

/// When the process began; the times of tasks are told from it.
static BEGUN: OnceLock<Instant> = OnceLock::new();
/// From the call that enqueues a task to its beginning, in milliseconds.
static LATENCIES_MS: Mutex<Vec<f64>> = Mutex::new(Vec::new());

/// What a task carries.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Number {
    n: u64,
}

#[task(queue = "bench", crate = "tidegate_tasks")]
async fn noop(number: Number) -> Result<(), BoxError> {
    let _ = number;
    Ok(())
}

#[task(queue = "bench", crate = "tidegate_tasks")]
async fn timed(sent_ns: u64) -> Result<(), BoxError> {
    let latency_ms = now_ns().saturating_sub(sent_ns) as f64 / 1e6;
    let mut latencies = LATENCIES_MS.lock().unwrap_or_else(PoisonError::into_inner);
    latencies.push(latency_ms);
    Ok(())
}

fn now_ns() -> u64 {
    let begun = BEGUN.get_or_init(Instant::now);
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Performs one stage.
pub(super) async fn perform(run: &Run) -> Result<Measured> {
    let url = StoreUrl::parse(&run.redis_url)?;
    let store = connect_tasks(&url).await?;
    let client = TaskClient::new(store, APP)?;
    match run.stage {
        Stage::Single => single(run, &client).await,
        Stage::Bulk => bulk(run, &client).await,
        Stage::Process => process(run, &client).await,
        Stage::Latency => latency(run, &client).await,
    }
}

async fn single(run: &Run, client: &TaskClient) -> Result<Measured> {
    let watch = Stopwatch::start(run.processes)?;
    for n in 0..run.count {
        noop::enqueue(Number { n }).send(client).await?;
    }
    watch.stop().map(Measured::of)
}

async fn bulk(run: &Run, client: &TaskClient) -> Result<Measured> {
    let watch = Stopwatch::start(run.processes)?;
    let mut numbers = 0..run.count;
    let batches = std::iter::from_fn(|| {
        let some = numbers.by_ref().take(ENQUEUED_AT_ONCE);
        let some: Vec<Enqueue> = some.map(|n| noop::enqueue(Number { n })).collect();
        (!some.is_empty()).then_some(some)
    });
    let sends = futures::stream::iter(batches.map(|batch| client.send_many(batch)));
    let mut sends = futures::StreamExt::buffered(sends, CALLS_AT_ONCE);
    while let Some(answers) = futures::StreamExt::next(&mut sends).await {
        for answer in answers {
            answer?;
        }
    }
    watch.stop().map(Measured::of)
}

async fn process(run: &Run, client: &TaskClient) -> Result<Measured> {
    let before = counts(client).await?;
    if before.ready != run.count {
        return Err(unexpected("before the worker began", &before));
    }
    let watch = Stopwatch::start(run.processes)?;
    let hired = Hired::begin(client)?;
    hired.until_done(run.count).await?;
    let measured = watch.stop().map(Measured::of)?;
    let after = counts(client).await?;
    if after.done != run.count || after.held != 0 {
        return Err(unexpected("after the worker had done", &after));
    }
    hired.end().await?;
    Ok(measured)
}

async fn latency(run: &Run, client: &TaskClient) -> Result<Measured> {
    let hired = Hired::begin(client)?;
    // The first task finds a worker whose connections are open, as a peer's do.
    noop::enqueue(Number { n: 0 }).send(client).await?;
    hired.until_done(1).await?;
    let mut ticks = interval(LATENCY_EVERY);
    for _ in 0..run.count {
        ticks.tick().await;
        timed::enqueue(now_ns()).send(client).await?;
    }
    hired.until_done(run.count + 1).await?;
    hired.end().await?;
    let latencies_ms = LATENCIES_MS.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Measured {
        latencies_ms: latencies_ms.clone(),
        ..Measured::default()
    })
}

async fn counts(client: &TaskClient) -> Result<Counts> {
    let queue = client.queue(QUEUE)?;
    Ok(client.store().status(&queue).await?.counts)
}

fn unexpected(when: &str, counts: &Counts) -> Error {
    Error::Unexpected(format!("{when}, the queue was not as expected: {counts:?}"))
}

/// A worker at work.
struct Hired {
    metrics: Metrics,
    shutdown: CancellationToken,
    worker: JoinHandle<tidegate_tasks::Result<()>>,
}

impl Hired {
    fn begin(client: &TaskClient) -> Result<Self> {
        let tasks = vec![Registered::new(noop), Registered::new(timed)];
        let state = Arc::new(StateMap::new());
        let worker = Worker::new(client.clone(), tasks, state, Options::default())?;
        let shutdown = CancellationToken::new();
        Ok(Self {
            metrics: worker.metrics(),
            worker: tokio::spawn(worker.run(shutdown.clone())),
            shutdown,
        })
    }

    /// Waits until the store knows of the end of so many.
    async fn until_done(&self, count: u64) -> Result<()> {
        let done = async {
            while self.metrics.snapshot().done < count {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let in_time = timeout(DONE_WITHIN, done).await;
        in_time.map_err(|_elapsed| Error::TooSlow {
            contestant: "tidegate".into(),
            within: DONE_WITHIN,
        })
    }

    async fn end(self) -> Result<()> {
        self.shutdown.cancel();
        Ok(self.worker.await??)
    }
}
