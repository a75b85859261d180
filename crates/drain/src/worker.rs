//! A worker: the shards that this process owns, drained until shutdown.
//!
//! ```text
//! Ownership ─ OwnedLease ─► Worker ─ spawns ─► one shard loop per lease
//! ```
//!
//! It owns the ownership's task, the shards' tasks and the one that waits for arrivals, and ends
//! when all of them have. At shutdown every shard finishes its batch, hands its lease back, and
//! the leases are released, so that another worker takes over at once.

use std::sync::Arc;
use std::time::Instant;

use tidegate_cluster::{Arrivals, Ownership};
use tidegate_store::{Store, WorkerId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::catalogs::Catalogs;
use crate::error::{Error, Result};
use crate::gate::Gate;
use crate::observer::Observer;
use crate::options::Options;
use crate::outage::{Backoff, Outage};
use crate::pace::InFlight;
use crate::shard::{self, Shared};
use crate::sink::{Sink, in_time};

/// How many shards are at work before the database's answers tell how many are right.
const SHARDS_AT_WORK_FIRST: usize = 3;

/// Drains the shards of one stream that this process gets to own.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
}

impl Worker {
    /// Prepares a worker; nothing happens before [`run`](Self::run).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a setting out of its bounds.
    pub fn new(
        store: Arc<dyn Store>,
        sink: Arc<dyn Sink>,
        options: Options,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        options.check()?;
        let connections = sink.connections_max();
        let shared = Shared {
            gate: Gate::new(InFlight::new(SHARDS_AT_WORK_FIRST, connections)),
            store,
            sink,
            options,
            observer,
            catalogs: Catalogs::new(),
            arrivals: Arrivals::default(),
            outage: Outage::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Drains until `shutdown`, then finishes the batches in flight and gives the shards back.
    ///
    /// # Errors
    /// What waiting can't mend; the other shards have been given back then.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let observer = Arc::clone(&self.shared.observer);
        let mut asked_at = None;
        let mut work = Box::pin(self.work(shutdown.clone()));
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended,
                () = shutdown.cancelled(), if asked_at.is_none() => {
                    asked_at = Some(Instant::now());
                }
            }
        };
        if let (Ok(()), Some(asked_at)) = (&ended, asked_at) {
            let took = asked_at.elapsed();
            info!(shutdown_ms = took.as_millis(), "stopped in order");
            observer.stopped(took);
        }
        ended
    }

    async fn work(self, shutdown: CancellationToken) -> Result<()> {
        let Self { shared } = self;
        if !prepare(&shared, &shutdown).await? {
            return Ok(());
        }
        let options = tidegate_cluster::Options {
            stream: shared.options.stream.clone(),
            group: shared.options.group()?,
            first_partition: 0,
            partitions: shared.options.partitions,
            lease_ttl: shared.options.lease_ttl,
            release_grace: shared.options.grace,
        };
        // A shard that fails for good stops its siblings; `shutdown` itself is the caller's.
        let stop = shutdown.child_token();
        let (ownership, handle, mut leases) =
            Ownership::new(shared.store.clone(), WorkerId::random(), options)?;
        let ownership = tokio::spawn(ownership.run(stop.clone()));
        let arrivals = {
            let (shared, ended) = (shared.clone(), CancellationToken::new());
            let task = {
                let ended = ended.clone();
                async move { shared.arrivals.run(shared.store.clone(), ended).await }
            };
            (tokio::spawn(task), ended.drop_guard())
        };
        let mut shards = JoinSet::new();
        let mut failure = None;
        loop {
            tokio::select! {
                lease = leases.next() => match lease {
                    Some(lease) => {
                        shards.spawn(shard::run(shared.clone(), lease, handle.clone()));
                    }
                    None => break,
                },
                Some(ended) = shards.join_next() => keep_first(&mut failure, &stop, ended),
            }
        }
        while let Some(ended) = shards.join_next().await {
            keep_first(&mut failure, &stop, ended);
        }
        drop(arrivals.1);
        let _ = arrivals.0.await;
        match ownership.await {
            Ok(ended) => ended?,
            Err(panic) => return Err(Error::Invalid(format!("the ownership stopped: {panic}"))),
        }
        failure.map_or(Ok(()), Err)
    }
}

/// Creates the drain's tables, waiting for the database where it is away. Returns whether to go
/// on: not when the shutdown came first.
async fn prepare(shared: &Shared, shutdown: &CancellationToken) -> Result<bool> {
    let mut backoff = Backoff::new();
    loop {
        match in_time(&*shared.sink, shared.sink.prepare()).await {
            Ok(()) => {
                shared.outage.is_over();
                return Ok(true);
            }
            // A login that is refused at the start is a wrong setting, not an outage.
            Err(error @ Error::SinkRefused(_)) => return Err(error),
            Err(error) if error.is_worth_waiting() => {
                shared.observer.failed(None, &error);
                shared.outage.begins(&error);
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.pause(0)) => {}
            () = shutdown.cancelled() => return Ok(false),
        }
    }
}

fn keep_first(
    failure: &mut Option<Error>,
    stop: &CancellationToken,
    ended: Result<Result<()>, tokio::task::JoinError>,
) {
    let error = match ended {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(panic) => Error::Invalid(format!("a shard's task stopped: {panic}")),
    };
    stop.cancel();
    failure.get_or_insert(error);
}
