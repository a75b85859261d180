//! The questions to the store: each is sent at once and answered later, none waits for another.
//!
//! It stands between the ownership's loop, which decides what to ask, and the store. It
//! guarantees an answer to every call within its timeout: a store that is silent for so long
//! counts as unavailable, and the call may still take effect. If the process dies here, a call
//! under way may or may not take effect; leases and beats end by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tidegate_store::{
    Epoch, Error, GroupName, Lease, Partition, Result, Store, StreamName, WorkerId,
};
use tokio::time::{Instant, timeout};

use crate::claims::View;
use crate::timing::Timing;

/// For whom the calls are made, and on what.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) stream: StreamName,
    pub(crate) group: GroupName,
    pub(crate) worker: WorkerId,
    pub(crate) partitions: Vec<Partition>,
    /// The least epochs that are known from elsewhere, by partition.
    pub(crate) floors: Vec<AtomicU64>,
}

impl Subject {
    fn floor(&self, index: u32) -> Epoch {
        let floor = self.floors.get(index as usize);
        Epoch(floor.map_or(0, |floor| floor.load(Ordering::Relaxed)))
    }
}

/// What the store answered to a call that was sent at `sent_at`.
#[derive(Debug)]
pub(crate) enum Answer {
    Surveyed { with_beat: bool, sent_at: Instant, view: Result<View> },
    Renewed { leases: Vec<Lease>, sent_at: Instant, still_held: Result<Vec<bool>> },
    Acquired { index: u32, sent_at: Instant, lease: Result<Option<Lease>> },
    Released { index: u32, result: Result<()> },
    Left { result: Result<()> },
}

/// The calls under way: at most one survey, one renewal, one farewell, and one acquisition or
/// release for each partition.
#[derive(Debug)]
pub(crate) struct Calls {
    store: Arc<dyn Store>,
    subject: Arc<Subject>,
    timing: Timing,
    under_way: FuturesUnordered<BoxFuture<'static, Answer>>,
}

impl Calls {
    pub(crate) fn new(store: Arc<dyn Store>, subject: Arc<Subject>, timing: Timing) -> Self {
        Self { store, subject, timing, under_way: FuturesUnordered::new() }
    }

    /// The next answer; none while no call is under way.
    pub(crate) async fn next(&mut self) -> Option<Answer> {
        self.under_way.next().await
    }

    /// Asks who is alive and who holds what, and says that this worker is alive `with_beat`.
    pub(crate) fn survey(&mut self, with_beat: bool, sent_at: Instant) {
        let ttl = self.timing.lease_ttl;
        self.send(async move |store, subject| {
            let Subject { stream, group, worker, partitions, .. } = subject;
            let view = async {
                let workers = if with_beat {
                    store.beat(stream, group, *worker, ttl).await?
                } else {
                    store.workers(stream, group).await?
                };
                let holders = store.lease_holders(group, partitions).await?;
                Ok(View { workers, holders })
            };
            Answer::Surveyed { with_beat, sent_at, view: view.await }
        });
    }
}
