//! The consumer of one owned partition: from its lease to its last acknowledgement.
//!
//! ```text
//! lease ─► pending entries, then new ones ─► room ─► lanes ─► the user's function
//!             ▲    (fetch, one at a time)                         │ done
//!             └──────────── sleeps until something arrives        └─► acknowledge (one at a time) ─► trim
//! ```
//!
//! One task owns all of it and polls the function beside its own calls to the store, so that a
//! slow function holds up its own partition and nothing else. It guarantees: pending entries come
//! first, in order; an entry is acknowledged only after the function is done with it, under the
//! lease; nothing more is handed out once the partition is to be handed back. If the process dies
//! here, what was fetched and not acknowledged is still pending, and the next owner begins with it.

use std::collections::hash_map::DefaultHasher;
use std::future::pending;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tidegate_cluster::OwnedLease;
use tidegate_store::{Entry, EntryId, Fetch, Lease, ReadLimit};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::executor::Shared;
use crate::lane::{Held, Lane};
use crate::metrics::Counts;
use crate::persist::{Pauses, persist};
use crate::room::Room;
use crate::runner::{Ended, Runner};
use crate::{Error, Result};

/// The most entries of one acknowledgement.
pub(crate) const ACK_BATCH_MAX: usize = 1_000;
/// How long an idle partition sleeps when nothing wakes it.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// After so many acknowledged entries the stream is trimmed.
const TRIM_AFTER: u64 = 10_000;
/// And when entries were acknowledged, at least so often.
const TRIM_PAUSE: Duration = Duration::from_secs(1);

/// Consumes a partition for as long as its lease allows, then hands it back.
///
/// # Errors
/// What neither waiting nor another owner can mend; `halt` is cancelled then, before the
/// partition is handed back, so that this worker does not take it again.
pub(crate) async fn run(
    shared: Arc<Shared>,
    owned: OwnedLease,
    halt: CancellationToken,
) -> Result<()> {
    let lease = Arc::new(owned.lease().clone());
    let counts = shared.metrics.begin(&lease);
    let mut consumer = Consumer::new(&shared, lease.clone(), counts, &owned);
    let ended = tokio::select! {
        () = owned.lost().cancelled() => Ok(()),
        ended = consumer.consume() => ended,
    };
    for lane in &consumer.lanes {
        lane.lose();
    }
    let ended = match ended {
        // Another worker goes on, or this one with a newer epoch.
        Err(loss) if loss.is_loss() => Ok(()),
        Err(failure) => {
            error!(partition = %lease.partition, error = %failure, "a partition can't be processed");
            halt.cancel();
            Err(failure)
        }
        Ok(()) => Ok(()),
    };
    shared.metrics.end(&lease);
    owned.hand_back();
    ended
}

struct Consumer<'a> {
    shared: &'a Arc<Shared>,
    lease: Arc<Lease>,
    stop: CancellationToken,
    counts: Arc<Counts>,
    changed: Arc<Notify>,
    room: Arc<Room>,
    lanes: Vec<Arc<Lane>>,
    /// What is read next.
    next: Fetch,
    /// The last entry that was delivered to the group.
    delivered: EntryId,
    trim: TrimClock,
}

/// A call to the store under way, beside which the function goes on.
type Call<T> = Option<BoxFuture<'static, tidegate_store::Result<T>>>;

/// What a fetch brought, and where to go on.
struct Fetched {
    entries: Vec<Entry>,
    next: Fetch,
}

impl<'a> Consumer<'a> {
    fn new(
        shared: &'a Arc<Shared>,
        lease: Arc<Lease>,
        counts: Arc<Counts>,
        owned: &OwnedLease,
    ) -> Self {
        let settings = &shared.processor.settings;
        let changed = Arc::new(Notify::new());
        let room = Room::new(
            &shared.budget,
            settings.prefetch,
            settings.prefetch_bytes,
            changed.clone(),
        );
        let middleware: Arc<[_]> = shared.processor.middleware.clone().into();
        let lanes = (0..settings.lanes).map(|_| {
            Lane::new(
                lease.clone(),
                changed.clone(),
                ACK_BATCH_MAX,
                counts.clone(),
                middleware.clone(),
            )
        });
        Self {
            shared,
            lanes: lanes.collect(),
            lease,
            stop: owned.release_requested().clone(),
            counts,
            changed,
            room,
            next: Fetch::Pending(EntryId::ZERO),
            delivered: EntryId::ZERO,
            trim: TrimClock::new(),
        }
    }

    /// Consumes until the partition is to be handed back.
    async fn consume(&mut self) -> Result<()> {
        self.delivered = self.delivered_through().await?;
        debug!(partition = %self.lease.partition, epoch = %self.lease.epoch, "consuming");
        let running = FuturesUnordered::new();
        for lane in &self.lanes {
            running.push(self.runner(lane.clone()));
        }
        self.serve(running).await
    }

    /// Polls the lanes, and fetches and acknowledges beside them.
    async fn serve(
        &mut self,
        mut running: FuturesUnordered<BoxFuture<'static, Result<Ended>>>,
    ) -> Result<()> {
        let mut fetching: Call<Fetched> = None;
        let mut acknowledging: Call<u64> = None;
        let mut done = Done::new(self.shared.processor.settings.ack_within);
        let (mut grace_ends_at, mut failure) = (None, None);
        let changed = self.changed.clone();
        let stop = self.stop.clone();
        loop {
            let is_stopping = grace_ends_at.is_some();
            if fetching.is_none() && !is_stopping {
                fetching = self.begin_fetch();
            }
            if acknowledging.is_none() {
                acknowledging = self.begin_acknowledge(&mut done, is_stopping);
            }
            if is_stopping && running.is_empty() && acknowledging.is_none() {
                return failure.map_or(Ok(()), Err);
            }
            tokio::select! {
                biased;
                Some(ended) = running.next() => {
                    if let Err(error) = ended.and_then(|ended| self.lane_ended(ended)) {
                        // What is done by now is still acknowledged.
                        failure.get_or_insert(error);
                        fetching = None;
                        grace_ends_at.get_or_insert_with(|| self.begin_to_stop());
                    }
                }
                fetched = answer(&mut fetching) => self.distribute(fetched?),
                count = answer(&mut acknowledging) => self.acknowledged(count?),
                () = changed.notified() => {}
                () = alarm(done.due_at) => done.due(),
                () = stop.cancelled(), if !is_stopping => {
                    fetching = None;
                    grace_ends_at = Some(self.begin_to_stop());
                }
                () = alarm(grace_ends_at), if !running.is_empty() => {
                    debug!(partition = %self.lease.partition,
                        "the grace is over; what is in hand is left to the next owner");
                    running.clear();
                }
            }
        }
    }

    /// Lets the functions end after what they have in hand, and says how long they have.
    fn begin_to_stop(&self) -> Instant {
        self.lanes.iter().for_each(|lane| lane.stop());
        Instant::now() + self.shared.processor.settings.grace
    }

    fn runner(&self, lane: Arc<Lane>) -> BoxFuture<'static, Result<Ended>> {
        let runner = Runner {
            store: self.shared.store.clone(),
            processor: self.shared.processor.clone(),
            lane,
            stop: self.stop.clone(),
        };
        Box::pin(runner.run())
    }

    fn lane_ended(&mut self, ended: Ended) -> Result<()> {
        match ended {
            Ended::Stopped => Ok(()),
            Ended::Quarantine { id, reason }
            | Ended::Park {
                held:
                    Held {
                        entry: Entry { id, .. },
                        ..
                    },
                reason,
            } => Err(Error::Halted {
                processor: self.shared.processor.name.to_string(),
                partition: self.lease.partition.clone(),
                id,
                source: reason.into(),
            }),
        }
    }

    /// Until where the group has been, so that an idle partition knows what would be new.
    async fn delivered_through(&self) -> Result<EntryId> {
        let (store, lease) = (&self.shared.store, &self.lease);
        let partitions = std::slice::from_ref(&lease.partition);
        let lag = persist(|| store.lag(&lease.group, partitions)).await?;
        Ok(lag
            .first()
            .map_or(EntryId::ZERO, |lag| lag.delivered_through))
    }

    /// Reads the next entries where there is room for them; sleeps until there are some.
    fn begin_fetch(&self) -> Call<Fetched> {
        let limit = self.room.chunk_limit();
        for lane in &self.lanes {
            lane.set_full(limit.is_none());
        }
        let (shared, lease) = (self.shared.clone(), self.lease.clone());
        let fetch = fetch(shared, lease, self.next, self.delivered, limit?);
        Some(Box::pin(fetch))
    }

    /// Gives what was read to the lanes.
    fn distribute(&mut self, fetched: Fetched) {
        let Fetched { entries, next } = fetched;
        self.next = next;
        let Some(last) = entries.last() else {
            return;
        };
        self.delivered = self.delivered.max(last.id);
        let chunk = self.room.take(&entries);
        let held = entries
            .into_iter()
            .map(|entry| Held::new(entry, chunk.clone()));
        match self.lanes.as_slice() {
            [lane] => lane.push(held),
            lanes => {
                let mut parts: Vec<Vec<Held>> = lanes.iter().map(|_| Vec::new()).collect();
                for held in held {
                    let lane = self.lane_of(&held.entry);
                    if let Some(part) = parts.get_mut(lane) {
                        part.push(held);
                    }
                }
                for (lane, part) in lanes.iter().zip(parts) {
                    if !part.is_empty() {
                        lane.push(part);
                    }
                }
            }
        }
    }

    /// Which lane an entry belongs to: that of its key. One without a key can go anywhere.
    fn lane_of(&self, entry: &Entry) -> usize {
        let mut hasher = DefaultHasher::new();
        match self.shared.processor.code.key_of(entry) {
            Some(key) => key.hash(&mut hasher),
            None => entry.id.hash(&mut hasher),
        }
        let lanes = self.lanes.len() as u64;
        usize::try_from(hasher.finish() % lanes).unwrap_or(0)
    }

    /// Acknowledges what is done: when it is much, when it has waited for long enough, and when
    /// there is nothing else to do.
    fn begin_acknowledge(&mut self, done: &mut Done, is_stopping: bool) -> Call<u64> {
        let (mut count, mut is_idle) = (0, is_stopping);
        for lane in &self.lanes {
            let (lane_done, lane_is_idle) = lane.progress();
            count += lane_done;
            is_idle |= lane_is_idle;
        }
        if count == 0 {
            done.reset();
            return None;
        }
        if count < ACK_BATCH_MAX && !is_idle && !done.is_due {
            done.wait();
            return None;
        }
        done.reset();
        let mut ids = Vec::with_capacity(count.min(ACK_BATCH_MAX));
        for lane in &self.lanes {
            lane.take_done(&mut ids, ACK_BATCH_MAX);
        }
        let trims = self.shared.processor.settings.trims && self.trim.is_due(ids.len() as u64);
        let (store, lease) = (self.shared.store.clone(), self.lease.clone());
        Some(Box::pin(async move {
            persist(|| store.acknowledge(&lease, &ids)).await?;
            if trims {
                persist(|| store.trim(&lease, 0)).await?;
            }
            Ok(ids.len() as u64)
        }))
    }

    fn acknowledged(&self, count: u64) {
        self.counts.acknowledged.fetch_add(count, Ordering::Relaxed);
    }
}

/// Reads entries, and sleeps where there are none until there are. After the last pending entry it
/// goes on with new ones.
async fn fetch(
    shared: Arc<Shared>,
    lease: Arc<Lease>,
    mut next: Fetch,
    delivered: EntryId,
    limit: ReadLimit,
) -> tidegate_store::Result<Fetched> {
    let mut pauses = Pauses::default();
    loop {
        let entries = match shared.store.fetch(&lease, next, limit).await {
            Ok(entries) => entries,
            Err(error) if error.is_transient() => {
                // New entries may have become pending without our seeing them.
                if next == Fetch::New {
                    next = Fetch::Pending(delivered);
                }
                pauses.pause().await;
                continue;
            }
            Err(error) => return Err(error),
        };
        pauses.reset();
        let was_new = next == Fetch::New;
        next = match entries.last() {
            Some(last) if !was_new => Fetch::Pending(last.id),
            _ => Fetch::New,
        };
        if !entries.is_empty() {
            return Ok(Fetched { entries, next });
        }
        if was_new {
            shared
                .arrivals
                .sleep(&lease.partition, delivered, IDLE_MAX)
                .await;
        }
    }
}

/// When entries that are done are acknowledged at the latest.
struct Done {
    within: Duration,
    due_at: Option<Instant>,
    is_due: bool,
}

impl Done {
    fn new(within: Duration) -> Self {
        Self {
            within,
            due_at: None,
            is_due: within.is_zero(),
        }
    }

    fn wait(&mut self) {
        if self.due_at.is_none() {
            self.due_at = Some(Instant::now() + self.within);
        }
    }

    fn due(&mut self) {
        self.due_at = None;
        self.is_due = true;
    }

    fn reset(&mut self) {
        *self = Self::new(self.within);
    }
}

/// When to trim.
struct TrimClock {
    acknowledged: u64,
    trimmed_at: Instant,
}

impl TrimClock {
    fn new() -> Self {
        Self {
            acknowledged: 0,
            trimmed_at: Instant::now(),
        }
    }

    /// Whether to trim after another `count` acknowledged entries.
    fn is_due(&mut self, count: u64) -> bool {
        self.acknowledged += count;
        let is_due = self.acknowledged >= TRIM_AFTER || self.trimmed_at.elapsed() >= TRIM_PAUSE;
        if is_due {
            *self = Self::new();
        }
        is_due
    }
}

/// The answer of a call that may be under way.
async fn answer<T>(call: &mut Call<T>) -> tidegate_store::Result<T> {
    let Some(running) = call else {
        return pending().await;
    };
    let answer = running.await;
    *call = None;
    answer
}

async fn alarm(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
