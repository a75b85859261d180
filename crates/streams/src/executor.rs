//! The executor of one processor in a worker: its ownership, and a consumer for each partition.
//!
//! ```text
//! announcements ─► Ownership ─ OwnedLease ─► Executor ─ spawns ─► one consumer per lease
//! ```
//!
//! Where the number of the stream's partitions was changed, the old ones have their turn before
//! the new ones (`progression`), each with an ownership of its own.
//!
//! It owns the ownership's task, the one that hears announcements, and the consumers', and ends when all of them have. A consumer
//! that halts stops the whole executor in order: the others finish what is in hand and hand back.
//! If the process dies here, its leases end by themselves.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::{Arrivals, Ownership};
use tidegate_store::{Store, WorkerId};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::consumer;
use crate::metrics::Metrics;
use crate::processor::Processor;
use crate::progression::{Progression, Turn};
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

/// Who runs a processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) id: WorkerId,
    /// Whether its partitions wait for it after a shutdown.
    pub(crate) is_static: bool,
}

/// How a processor shares its partitions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sharing {
    pub(crate) lease_ttl: Duration,
    pub(crate) release_grace: Duration,
}

/// Runs a processor until `stop`, then hands its partitions back. One generation of partitions has
/// its turn at a time.
///
/// # Errors
/// The first failure of a consumer, after the others have handed back.
pub(crate) async fn run(
    shared: Arc<Shared>,
    member: Member,
    sharing: Sharing,
    stop: CancellationToken,
) -> Result<()> {
    let progression = Progression {
        store: shared.store.clone(),
        arrivals: shared.arrivals.clone(),
        stream: shared.processor.stream.clone(),
        group: shared.processor.name.clone(),
        partitions: shared.processor.partitions,
    };
    while !stop.is_cancelled() {
        let turn = tokio::select! {
            () = stop.cancelled() => break,
            turn = progression.turn(&stop) => Arc::new(turn?),
        };
        let options = tidegate_cluster::Options {
            stream: progression.stream.clone(),
            group: progression.group.clone(),
            first_partition: turn.generation.first,
            partitions: turn.generation.partitions,
            lease_ttl: sharing.lease_ttl,
            release_grace: sharing.release_grace,
        };
        run_turn(&shared, member, options, &turn, &stop).await?;
    }
    Ok(())
}

/// Runs a processor on one generation of partitions, until the turn is over.
async fn run_turn(
    shared: &Arc<Shared>,
    member: Member,
    options: tidegate_cluster::Options,
    turn: &Arc<Turn>,
    halt: &CancellationToken,
) -> Result<()> {
    let (ownership, handle, mut leases) = Ownership::new(shared.store.clone(), member.id, options)?;
    let ownership = match member.is_static {
        true => ownership.as_static_member(),
        false => ownership,
    };
    let ownership = tokio::spawn(ownership.run(turn.over.clone()));
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
    let watching = watch(turn.clone());
    let mut consumers = JoinSet::new();
    let mut failure = None;
    loop {
        tokio::select! {
            lease = leases.next() => match lease {
                Some(lease) => {
                    let (shared, turn, halt) = (shared.clone(), turn.clone(), halt.clone());
                    consumers.spawn(consumer::run(shared, turn, lease, halt));
                }
                None => break,
            },
            Some(ended) = consumers.join_next() => keep_first(&mut failure, halt, ended),
        }
    }
    while let Some(ended) = consumers.join_next().await {
        keep_first(&mut failure, halt, ended);
    }
    keep_first(
        &mut failure,
        halt,
        ownership.await.map(|ended| ended.map_err(Into::into)),
    );
    end_of_heeding.cancel();
    keep_first(&mut failure, halt, heeding.await.map(Ok));
    keep_first(&mut failure, halt, watching.await);
    failure.map_or(Ok(()), Err)
}

/// Watches whether the turn is over, until it is.
fn watch(turn: Arc<Turn>) -> JoinHandle<Result<()>> {
    tokio::spawn(async move {
        let watched = tokio::select! {
            () = turn.over.cancelled() => return Ok(()),
            watched = turn.watch() => watched,
        };
        // Without it nobody would hear that other partitions are to be processed.
        turn.over.cancel();
        watched
    })
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
