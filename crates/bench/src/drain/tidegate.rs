//! Ours: a worker of Tidegate in this process, on the same runtime as everybody else's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_drain::observer::Batch;
use tidegate_drain::{Observer, Options, PostgresOptions, PostgresSink, Sink, Worker};
use tidegate_store::{StoreUrl, StreamName};
use tokio_util::sync::CancellationToken;

use super::load::STREAM;
use super::run::Run;
use crate::error::{Error, Result};
use crate::usage::{Stopwatch, Usage};

/// Drains all shards: from the start of a worker until it has ended in order, so the leases that
/// it takes and gives back and the last trim are part of the time.
pub(super) async fn run(run: &Run) -> Result<Usage> {
    let store = tidegate_store::connect(&StoreUrl::parse(&run.redis_url)?).await?;
    let postgres = PostgresOptions {
        connections_max: run.connections as usize,
        ..PostgresOptions::default()
    };
    let sink = Arc::new(PostgresSink::connect(&run.postgres_url, postgres).await?);
    // The drain's own tables are made once in a database's life.
    sink.prepare().await?;
    let options = Options {
        batch_max: run.batch as usize,
        ..Options::new(StreamName::new(STREAM)?, run.shards)
    };
    let drained = CancellationToken::new();
    let progress = Arc::new(Progress {
        expected: run.operations,
        settled: AtomicU64::new(0),
        applied: AtomicU64::new(0),
        drained: drained.clone(),
    });

    let watch = Stopwatch::start(run.processes)?;
    Worker::new(store, sink, options, progress.clone())?
        .run(drained)
        .await?;
    let usage = watch.stop()?;

    let applied = progress.applied.load(Ordering::Relaxed);
    if applied == run.operations {
        return Ok(usage);
    }
    Err(Error::Unexpected(format!(
        "{applied} of {} operations were applied, the others held",
        run.operations
    )))
}

/// Counts what is settled, and ends the worker when that is everything.
#[derive(Debug)]
struct Progress {
    expected: u64,
    settled: AtomicU64,
    applied: AtomicU64,
    drained: CancellationToken,
}

impl Observer for Progress {
    fn committed(&self, batch: &Batch) {
        let settled = &batch.settled;
        self.applied.fetch_add(settled.applied, Ordering::Relaxed);
        let more = settled.applied + settled.dead + settled.waiting + settled.parked;
        if self.settled.fetch_add(more, Ordering::Relaxed) + more >= self.expected {
            self.drained.cancel();
        }
    }
}
