//! The executor of one processor in a worker: its ownership, and a consumer for each partition.
//!
//! ```text
//! announcements ─► Ownership ─ OwnedLease ─► Executor ─ spawns ─► one consumer per lease
//! ```
//!
//! It owns the ownership's task, the one that hears announcements, and the consumers', and ends when all of them have. A consumer
//! that halts stops the whole executor in order: the others finish what is in hand and hand back.
//! If the process dies here, its leases end by themselves.

use std::sync::Arc;

use tidegate_cluster::{Arrivals, Ownership};
use tidegate_store::{Store, WorkerId};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::consumer;
use crate::metrics::Metrics;
use crate::processor::Processor;
use crate::room::Budget;
use crate::{Error, Result};

/// What the consumers of a processor share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) processor: Arc<Processor>,
    pub(crate) arrivals: Arc<Arrivals>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) metrics: Metrics,
}

/// Runs a processor until `stop`, then hands its partitions back.
///
/// # Errors
/// The first failure of a consumer, after the others have handed back.
pub(crate) async fn run(
    shared: Arc<Shared>,
    worker: WorkerId,
    options: tidegate_cluster::Options,
    stop: CancellationToken,
) -> Result<()> {
    let (ownership, handle, mut leases) = Ownership::new(shared.store.clone(), worker, options)?;
    let ownership = tokio::spawn(ownership.run(stop.clone()));
    // Who comes and goes is heard at once; without it, at the next look at the store.
    let end_of_heeding = CancellationToken::new();
    let heeding = {
        let (shared, end) = (shared.clone(), end_of_heeding.clone());
        let heed = async move {
            handle
                .heed_announcements(&*shared.store, &shared.arrivals, end)
                .await;
        };
        tokio::spawn(heed)
    };
    let mut consumers = JoinSet::new();
    let mut failure = None;
    loop {
        tokio::select! {
            lease = leases.next() => match lease {
                Some(lease) => {
                    consumers.spawn(consumer::run(shared.clone(), lease, stop.clone()));
                }
                None => break,
            },
            Some(ended) = consumers.join_next() => keep_first(&mut failure, &stop, ended),
        }
    }
    while let Some(ended) = consumers.join_next().await {
        keep_first(&mut failure, &stop, ended);
    }
    keep_first(
        &mut failure,
        &stop,
        ownership.await.map(|ended| ended.map_err(Into::into)),
    );
    end_of_heeding.cancel();
    keep_first(&mut failure, &stop, heeding.await.map(Ok));
    failure.map_or(Ok(()), Err)
}

/// Keeps the first failure of a task, and stops the others.
pub(crate) fn keep_first(
    failure: &mut Option<Error>,
    stop: &CancellationToken,
    ended: Result<Result<()>, JoinError>,
) {
    let error = match ended {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(panic) => Error::Broken(panic.to_string()),
    };
    stop.cancel();
    failure.get_or_insert(error);
}
