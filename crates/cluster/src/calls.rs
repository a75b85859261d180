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
    /// The index of the first of them.
    pub(crate) first_partition: u32,
    pub(crate) partitions: Vec<Partition>,
    /// The least epochs that are known from elsewhere, by partition.
    pub(crate) floors: Vec<AtomicU64>,
}

impl Subject {
    pub(crate) fn known_floor(&self, index: u32) -> Option<&AtomicU64> {
        let place = index.checked_sub(self.first_partition)?;
        self.floors.get(place as usize)
    }

    fn floor(&self, index: u32) -> Epoch {
        let floor = self.known_floor(index);
        Epoch(floor.map_or(0, |floor| floor.load(Ordering::Relaxed)))
    }
}

/// What the store answered to a call that was sent at `sent_at`.
#[derive(Debug)]
pub(crate) enum Answer {
    Surveyed {
        with_beat: bool,
        sent_at: Instant,
        view: Result<View>,
    },
    Renewed {
        leases: Vec<Lease>,
        sent_at: Instant,
        still_held: Result<Vec<bool>>,
    },
    Acquired {
        index: u32,
        sent_at: Instant,
        lease: Result<Option<Lease>>,
    },
    Released {
        index: u32,
        result: Result<()>,
    },
    Left {
        result: Result<()>,
    },
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
        Self {
            store,
            subject,
            timing,
            under_way: FuturesUnordered::new(),
        }
    }

    /// The next answer; none while no call is under way.
    pub(crate) async fn next(&mut self) -> Option<Answer> {
        self.under_way.next().await
    }

    /// Asks who is alive and who holds what, and says `with_beat` that this worker is alive.
    pub(crate) fn survey(&mut self, with_beat: bool, sent_at: Instant) {
        let (store, subject, timing) = self.parts();
        let view = async move {
            let Subject {
                stream,
                group,
                worker,
                partitions,
                ..
            } = &*subject;
            let workers = if with_beat {
                store.beat(stream, group, *worker, timing.lease_ttl).await?
            } else {
                store.workers(stream, group).await?
            };
            let holders = store.lease_holders(group, partitions).await?;
            Ok(View { workers, holders })
        };
        self.send(view, move |view| Answer::Surveyed {
            with_beat,
            sent_at,
            view,
        });
    }

    /// Renews leases, all in one call.
    pub(crate) fn renew(&mut self, leases: Vec<Lease>, sent_at: Instant) {
        let (store, _, timing) = self.parts();
        let renewed = leases.clone();
        let still_held = async move { store.renew_leases(&renewed, timing.lease_ttl).await };
        self.send(still_held, move |still_held| Answer::Renewed {
            leases,
            sent_at,
            still_held,
        });
    }

    /// Tries to take the lease on a partition under an epoch above `known` and above the floor.
    pub(crate) fn acquire(&mut self, index: u32, known: Epoch, sent_at: Instant) {
        let (store, subject, timing) = self.parts();
        let lease = async move {
            let Subject {
                stream,
                group,
                worker,
                ..
            } = &*subject;
            let (partition, floor) = (stream.partition(index), subject.floor(index).max(known));
            store
                .try_acquire_lease(group, &partition, *worker, timing.lease_ttl, floor)
                .await
        };
        self.send(lease, move |lease| Answer::Acquired {
            index,
            sent_at,
            lease,
        });
    }

    /// Gives a lease back.
    pub(crate) fn release(&mut self, lease: Lease) {
        let (store, index) = (Arc::clone(&self.store), lease.partition.index);
        let result = async move { store.release_lease(&lease).await };
        self.send(result, move |result| Answer::Released { index, result });
    }

    /// Says that this worker has gone, and has given its leases back so far.
    pub(crate) fn leave(&mut self) {
        let (store, subject, _) = self.parts();
        let result = async move {
            let Subject {
                stream,
                group,
                worker,
                ..
            } = &*subject;
            store.leave(stream, group, *worker).await
        };
        self.send(result, |result| Answer::Left { result });
    }

    fn parts(&self) -> (Arc<dyn Store>, Arc<Subject>, Timing) {
        (
            Arc::clone(&self.store),
            Arc::clone(&self.subject),
            self.timing,
        )
    }

    fn send<T, C, A>(&mut self, call: C, answer: A)
    where
        C: Future<Output = Result<T>> + Send + 'static,
        A: FnOnce(Result<T>) -> Answer + Send + 'static,
    {
        let limit = self.timing.call_timeout();
        self.under_way.push(Box::pin(async move {
            answer(match timeout(limit, call).await {
                Ok(result) => result,
                Err(silence) => Err(Error::Unavailable(Box::new(silence))),
            })
        }));
    }
}
