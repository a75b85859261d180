//! Events: what the user's function iterates.
//!
//! It stands between a `lane` and the user's code, and decodes entries as they are
//! handed out. What was handed out is done at the next call of [`next`](Events::next) or
//! [`take`](Events::take), or when the function returns without an error; then it is
//! acknowledged. If the process dies with an event in hand, or within the few milliseconds before
//! its acknowledgement, the next owner hands it out again.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tidegate_store::{EntryId, Epoch, Lease};
use tokio::time::{Sleep, sleep};

use crate::lane::{Handed, Held, Lane, Receive};
use crate::record::Record;
use crate::{BoxError, Error, Result};

/// The most events that room is made for before they are there.
const BATCH_RESERVED_MAX: usize = 1_024;

/// A record on its way through a processor.
#[derive(Clone, Debug)]
pub struct Event<R> {
    /// Where its entry is in the partition. It is the same each time the event is handed out.
    pub id: EntryId,
    /// The partition.
    pub partition: u32,
    /// Under which lease it was handed out: its epoch is what fences effects elsewhere.
    pub lease: Arc<Lease>,
    /// 1, and one more for each time that this owner has handed it out before.
    pub attempt: u32,
    /// What was sent.
    pub record: R,
}

impl<R> Event<R> {
    /// The owner's epoch. Of two owners of a partition the later one has the larger epoch, so a
    /// database that refuses a smaller one than it has seen refuses stale owners.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.lease.epoch
    }
}

impl<R> Deref for Event<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.record
    }
}

/// The events of one partition (or of some of its keys), in their order.
pub struct Events<R> {
    lane: Arc<Lane>,
    call: u64,
    record: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for Events<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("lease", &self.lane.lease)
            .finish_non_exhaustive()
    }
}

impl<R: Record> Events<R> {
    pub(crate) fn new(lane: Arc<Lane>, call: u64) -> Self {
        Self {
            lane,
            call,
            record: PhantomData,
        }
    }

    /// The lease under which the events come.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lane.lease
    }

    /// Waits for the next event; none when the worker should let go of the partition: return then.
    /// What was handed out before is done. Cancel safe.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when another worker has the partition; nothing done since counts.
    pub async fn next(&mut self) -> Result<Option<Event<R>>> {
        let mut received = First {
            lease: &self.lane.lease,
            event: None,
        };
        poll_fn(|cx| {
            let handed = self
                .lane
                .poll_hand_out(cx, self.call, 1, false, &mut received);
            match std::task::ready!(handed) {
                Handed::Some => Poll::Ready(Ok(received.event.take())),
                Handed::End => Poll::Ready(Ok(None)),
                Handed::Lost => Poll::Ready(Err(self.lost())),
                // One event is never too few.
                Handed::Few => Poll::Pending,
            }
        })
        .await
    }

    /// Waits for the next batch: for its first event however long that takes, and then for more
    /// until there are `count`, for `within` at most. It is smaller, too, when as many events as
    /// the processor reads ahead are there, and after a failure, when events are handed out one by
    /// one. None when the worker should let go of the partition: return then. What was handed out
    /// before is done. Cancel safe.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when another worker has the partition; nothing done since counts.
    pub async fn take(&mut self, count: usize, within: Duration) -> Result<Option<Vec<Event<R>>>> {
        let count = count.max(1);
        let mut received = Batch {
            lease: &self.lane.lease,
            events: Vec::new(),
            reserve: count.min(BATCH_RESERVED_MAX),
        };
        let mut patience = Patience::Unlimited;
        poll_fn(|cx| {
            loop {
                let patient = !matches!(patience, Patience::Over);
                let handed = self
                    .lane
                    .poll_hand_out(cx, self.call, count, patient, &mut received);
                match std::task::ready!(handed) {
                    Handed::Some => {
                        return Poll::Ready(Ok(Some(std::mem::take(&mut received.events))));
                    }
                    Handed::End => return Poll::Ready(Ok(None)),
                    Handed::Lost => return Poll::Ready(Err(self.lost())),
                    Handed::Few => std::task::ready!(patience.poll(within, cx)),
                }
            }
        })
        .await
    }

    fn lost(&self) -> Error {
        Error::LeaseLost {
            partition: self.lane.lease.partition.clone(),
        }
    }
}

/// How long a batch is waited for. A timer costs more than an event, so there is none for a batch
/// that is there at once.
enum Patience {
    Unlimited,
    Until(Pin<Box<Sleep>>),
    Over,
}

impl Patience {
    /// Ready when the time is over; it begins with the first call.
    fn poll(&mut self, within: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self, Self::Unlimited) {
            *self = match within.is_zero() {
                true => Self::Over,
                false => Self::Until(Box::pin(sleep(within))),
            };
        }
        if let Self::Until(sleep) = self {
            std::task::ready!(sleep.as_mut().poll(cx));
        }
        *self = Self::Over;
        Poll::Ready(())
    }
}

struct First<'a, R> {
    lease: &'a Arc<Lease>,
    event: Option<Event<R>>,
}

impl<R: Record> Receive for First<'_, R> {
    fn receive(&mut self, held: &Held) -> Result<(), BoxError> {
        self.event = Some(decode(self.lease, held)?);
        Ok(())
    }
}

struct Batch<'a, R> {
    lease: &'a Arc<Lease>,
    events: Vec<Event<R>>,
    reserve: usize,
}

impl<R: Record> Receive for Batch<'_, R> {
    fn receive(&mut self, held: &Held) -> Result<(), BoxError> {
        if self.events.capacity() == 0 {
            self.events.reserve(self.reserve);
        }
        self.events.push(decode(self.lease, held)?);
        Ok(())
    }
}

/// Decodes an entry. Bytes from outside may meet a decoder that panics: that is a bad entry as
/// well, not a broken worker.
fn decode<R: Record>(lease: &Arc<Lease>, held: &Held) -> Result<Event<R>, BoxError> {
    let fields = &held.entry.fields;
    if fields.is_empty() {
        return Err("the entry was deleted before it was processed".into());
    }
    let record = catch_unwind(AssertUnwindSafe(|| R::decode(fields)))
        .unwrap_or_else(|_| Err("the decoder panicked".into()))?;
    Ok(Event {
        id: held.entry.id,
        partition: lease.partition.index,
        lease: lease.clone(),
        attempt: held.attempts,
        record,
    })
}
