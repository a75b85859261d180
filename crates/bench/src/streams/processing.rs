//! Ours: processors that do nothing with their events.
//!
//! The worker is the ordinary one: it takes leases, fences its acknowledgements and applies the
//! policies. Only trimming is off, because every reader reads the same entries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_store::StoreUrl;
use tidegate_streams::processor::{Processor, Settings};
use tidegate_streams::worker::{Options, Worker};
use tidegate_streams::{Events, Raw, Record};
use tokio_util::sync::CancellationToken;

use super::order::Order;
use super::run::Run;
use crate::error::{Error, Result};
use crate::usage::{Stopwatch, Usage};

/// How many events a batch has at most.
const BATCH: usize = 500;
/// How long a batch waits for more.
const WITHIN: Duration = Duration::from_millis(1);

type Done = Result<(), tidegate_streams::Error>;

/// Batches of entries as they are.
pub(super) async fn raw_batches(run: &Run) -> Result<Usage> {
    process::<Raw, _, _>(run, in_batches).await
}

/// Batches of decoded records.
pub(super) async fn typed_batches(run: &Run) -> Result<Usage> {
    process::<Order, _, _>(run, in_batches).await
}

/// Decoded records, one by one.
pub(super) async fn typed_single(run: &Run) -> Result<Usage> {
    process::<Order, _, _>(run, one_by_one).await
}

async fn in_batches<R: Record>(mut events: Events<R>, seen: Arc<Seen>) -> Done {
    while let Some(batch) = events.take(BATCH, WITHIN).await? {
        seen.add(batch.len() as u64);
    }
    Ok(())
}

async fn one_by_one(mut events: Events<Order>, seen: Arc<Seen>) -> Done {
    while events.next().await?.is_some() {
        seen.add(1);
    }
    Ok(())
}

/// Runs a worker until everything is seen and acknowledged.
async fn process<R, F, Fut>(run: &Run, function: F) -> Result<Usage>
where
    R: Record,
    F: Fn(Events<R>, Arc<Seen>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Done> + Send + 'static,
{
    let store = tidegate_store::connect(&StoreUrl::parse(&run.redis_url)?).await?;
    let seen = Arc::new(Seen {
        expected: run.events,
        events: AtomicU64::new(0),
        all: CancellationToken::new(),
    });
    let counted = seen.clone();
    let settings = Settings {
        prefetch: 2 * run.count as usize,
        retain: None,
        ..Settings::default()
    };
    let processor = Processor::new(&run.group(), &run.spec(), move |events| {
        function(events, counted.clone())
    })?
    .with_settings(settings)?;

    let watch = Stopwatch::start(run.processes)?;
    let worker = Worker::new(store, vec![processor], Options::default())?;
    worker.run(seen.all.clone()).await?;
    let usage = watch.stop()?;

    let events = seen.events.load(Ordering::Relaxed);
    if events == run.events {
        return Ok(usage);
    }
    Err(Error::Unexpected(format!(
        "the processor saw {events} events of {}",
        run.events
    )))
}

/// Counts events, and ends the worker with the last one.
struct Seen {
    expected: u64,
    events: AtomicU64,
    all: CancellationToken,
}

impl Seen {
    fn add(&self, more: u64) {
        if self.events.fetch_add(more, Ordering::Relaxed) + more >= self.expected {
            self.all.cancel();
        }
    }
}
