//! Serving a partition: entries go to the user's function, and what is done is acknowledged.
//!
//! ```text
//! pending entries, then new ones ─► room ─► lanes ─► the user's function
//!       ▲   (one fetch at a time)      └─► parked keys     │ done
//!       └── sleeps until something arrives                 └─► acknowledge (one at a time) ─► trim
//! ```
//!
//! One task polls the function beside its own calls to the store, so that a slow function holds
//! up its own partition and nothing else. It guarantees: pending entries come first, in order; an
//! entry is acknowledged only after the function is done with it, under the lease; nothing more
//! is handed out once the partition is to be handed back. If the process dies here, what was
//! fetched and not acknowledged is still pending, and the next owner begins with it.

use std::collections::hash_map::DefaultHasher;
use std::future::pending;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tidegate_store::{Entry, EntryId, Fetch, Lease, ParkedEntry};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::Result;
use crate::acks::{ACK_BATCH_MAX, AckClock, TrimClock};
use crate::consumer::MARKS_PAUSE;
use crate::errand::{Brought, Errand, Errands, original};
use crate::executor::Shared;
use crate::fetch::{Fetched, fetch};
use crate::lane::{Held, Lane};
use crate::metrics::Counts;
use crate::parking::{KEY_BYTES_MAX, Parking, key_of_keyless};
use crate::persist::persist;
use crate::room::Room;
use crate::runner::{Ended, Runner};

/// Why a partition is not served any longer.
#[derive(Debug)]
pub(crate) enum Served {
    /// It is to be handed back.
    HandBack,
    /// It has to stand still, because of this entry.
    Quarantine { entry: EntryId, reason: String },
}

/// A call to the store under way, beside which the function goes on.
type Call<T> = Option<BoxFuture<'static, tidegate_store::Result<T>>>;

/// A partition that is served.
pub(crate) struct Serving {
    shared: Arc<Shared>,
    lease: Arc<Lease>,
    stop: CancellationToken,
    counts: Arc<Counts>,
    /// Notified when there is something to do.
    changed: Arc<Notify>,
    room: Arc<Room>,
    lanes: Vec<Arc<Lane>>,
    running: FuturesUnordered<BoxFuture<'static, (usize, Result<Ended>)>>,
    /// What is read next.
    next: Fetch,
    /// The last entry that was delivered to the group.
    delivered: EntryId,
    parking: Parking,
    errands: Errands,
    marks_due_at: Instant,
    acks: AckClock,
    trim: TrimClock,
    /// Until when the functions may go on, once they are to end, and why they are.
    ending: Option<(Instant, Result<Served>)>,
}

impl Serving {
    pub(crate) fn new(
        shared: Arc<Shared>,
        lease: Arc<Lease>,
        stop: CancellationToken,
        counts: Arc<Counts>,
        parking: Parking,
        delivered: EntryId,
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
            lanes: lanes.collect(),
            running: FuturesUnordered::new(),
            errands: Errands {
                store: shared.store.clone(),
                lease: lease.clone(),
            },
            acks: AckClock::new(settings.ack_within),
            trim: TrimClock::new(),
            shared,
            lease,
            stop,
            counts,
            changed,
            room,
            next: Fetch::Pending(EntryId::ZERO),
            delivered,
            parking,
            marks_due_at: Instant::now(),
            ending: None,
        }
    }

    /// Serves until the partition is to be handed back, or can't be served.
    ///
    /// # Errors
    /// What the policy or the store says, after what is done has been acknowledged.
    pub(crate) async fn run(mut self) -> Result<Served> {
        for lane in 0..self.lanes.len() {
            self.start(lane);
        }
        let mut fetching: Call<Fetched> = None;
        let mut acknowledging: Call<usize> = None;
        let mut errand: Option<Errand> = None;
        let (changed, stop) = (self.changed.clone(), self.stop.clone());
        loop {
            let is_ending = self.ending.is_some();
            if is_ending {
                fetching = None;
            } else if fetching.is_none() {
                fetching = self.begin_fetch();
            }
            if acknowledging.is_none() {
                acknowledging = self.begin_acknowledge();
            }
            if errand.is_none() {
                errand = self.begin_errand();
            }
            let is_quiet = self.running.is_empty() && acknowledging.is_none() && errand.is_none();
            if is_quiet && let Some((_, ended)) = self.ending.take() {
                return ended;
            }
            let grace_ends_at = self
                .ending
                .as_ref()
                .map(|(grace_ends_at, _)| *grace_ends_at);
            let marks_wanted_at = self.marks_wanted_at();
            tokio::select! {
                biased;
                Some((lane, ended)) = self.running.next() => self.lane_ended(lane, ended),
                fetched = answer(&mut fetching) => self.distribute(fetched?),
                count = answer(&mut acknowledging) => {
                    self.counts.acknowledged.fetch_add(count? as u64, Ordering::Relaxed);
                }
                brought = answer(&mut errand) => self.take_up(brought?),
                () = changed.notified() => {}
                () = alarm(self.acks.due_at()) => self.acks.time_is_over(),
                () = alarm(marks_wanted_at), if !is_ending && errand.is_none() => {}
                () = stop.cancelled(), if !is_ending => self.end(Ok(Served::HandBack)),
                () = alarm(grace_ends_at), if !self.running.is_empty() => {
                    debug!(partition = %self.lease.partition,
                        "the grace is over; what is in hand is left to the next owner");
                    self.running.clear();
                }
            }
        }
    }

    /// Lets the functions end after what they have in hand. The first reason counts.
    fn end(&mut self, reason: Result<Served>) {
        if self.ending.is_none() {
            self.lanes.iter().for_each(|lane| lane.stop());
            let grace = self.shared.processor.settings.grace;
            self.ending = Some((Instant::now() + grace, reason));
        }
    }

    /// Starts the runner of a lane.
    fn start(&self, index: usize) {
        let Some(lane) = self.lanes.get(index).cloned() else {
            return;
        };
        let runner = Runner {
            store: self.shared.store.clone(),
            processor: self.shared.processor.clone(),
            lane,
            stop: self.stop.clone(),
        };
        self.running
            .push(Box::pin(async move { (index, runner.run().await) }));
    }

    fn lane_ended(&mut self, lane: usize, ended: Result<Ended>) {
        match ended {
            Ok(Ended::Stopped) => {}
            Ok(Ended::Quarantine { id, reason }) => {
                self.end(Ok(Served::Quarantine { entry: id, reason }));
            }
            Ok(Ended::Park { held, reason }) => {
                self.park(lane, held, reason);
                self.start(lane);
            }
            Err(error) => self.end(Err(error)),
        }
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

    /// Gives what was read to the lanes, and what is of a parked key to those that wait for it.
    fn distribute(&mut self, fetched: Fetched) {
        let Fetched { entries, next } = fetched;
        self.next = next;
        let Some(last) = entries.last() else {
            return;
        };
        self.delivered = self.delivered.max(last.id);
        let chunk = self.room.take(&entries);
        let mut held = entries
            .into_iter()
            .map(|entry| Held::new(entry, chunk.clone()));
        if let ([lane], true) = (self.lanes.as_slice(), self.parking.is_empty()) {
            lane.push(held);
            return;
        }
        let mut parts: Vec<Vec<Held>> = self.lanes.iter().map(|_| Vec::new()).collect();
        for held in &mut held {
            let key = self.key_of(&held.entry);
            if self.parking.holds(&key) {
                self.parking.follow(&key, held);
            } else if let Some(part) = parts.get_mut(self.lane_of(&key)) {
                part.push(held);
            }
        }
        self.check_parking();
        for (lane, part) in self.lanes.iter().zip(parts) {
            if !part.is_empty() {
                lane.push(part);
            }
        }
    }

    /// The key of an entry; one of its own where the record has none or can't be decoded.
    fn key_of(&self, entry: &Entry) -> String {
        let key = self.shared.processor.code.key_of(entry);
        key.unwrap_or_else(|| key_of_keyless(entry.id))
    }

    fn lane_of(&self, key: &str) -> usize {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let lanes = self.lanes.len().max(1) as u64;
        usize::try_from(hasher.finish() % lanes).unwrap_or(0)
    }

    /// Lets the key of an entry that has failed stand still.
    fn park(&mut self, lane: usize, held: Held, reason: String) {
        let (id, key) = (held.entry.id, self.key_of(&held.entry));
        if key.len() > KEY_BYTES_MAX {
            let reason = format!("its key is too long to be parked; {reason}");
            self.end(Ok(Served::Quarantine { entry: id, reason }));
            return;
        }
        debug!(partition = %self.lease.partition, %id, "an event failed and its key is parked");
        self.parking.stop(&key, held, reason);
        let Some(lane) = self.lanes.get(lane) else {
            return;
        };
        for held in lane.take_back(|entry| self.key_of(entry) == key) {
            self.parking.follow(&key, held);
        }
        self.check_parking();
    }

    fn check_parking(&mut self) {
        if self.parking.is_full() {
            let reason = "too many entries are parked".into();
            let entry = self.delivered;
            self.end(Ok(Served::Quarantine { entry, reason }));
        }
    }

    /// Acknowledges what is done, and trims when it is time to.
    fn begin_acknowledge(&mut self) -> Call<usize> {
        let (mut count, mut is_idle) = (0, self.ending.is_some());
        for lane in &self.lanes {
            let (lane_done, lane_is_idle) = lane.progress();
            count += lane_done;
            is_idle |= lane_is_idle;
        }
        if !self.acks.is_due(count, is_idle) {
            return None;
        }
        let mut ids = Vec::with_capacity(count.min(ACK_BATCH_MAX));
        for lane in &self.lanes {
            lane.take_done(&mut ids, ACK_BATCH_MAX);
        }
        let retain = self.shared.processor.settings.retain;
        let retain = retain.filter(|_| self.trim.is_due(ids.len()));
        let (store, lease) = (self.shared.store.clone(), self.lease.clone());
        Some(Box::pin(async move {
            persist(|| store.acknowledge(&lease, &ids)).await?;
            if let Some(keep) = retain {
                persist(|| store.trim(&lease, keep)).await?;
            }
            Ok(ids.len())
        }))
    }

    /// Sends an errand, if there is one.
    fn begin_errand(&mut self) -> Option<Errand> {
        let is_ending = self.ending.is_some();
        let unparked: Vec<EntryId> = self
            .lanes
            .iter()
            .flat_map(|lane| lane.take_unparked())
            .collect();
        if !unparked.is_empty() {
            return Some(self.errands.unpark(unparked));
        }
        if let Some(step) = self.parking.next_step(is_ending) {
            return Some(self.errands.step(step));
        }
        let now = Instant::now();
        if is_ending || self.marks_wanted_at()? > now {
            return None;
        }
        self.marks_due_at = now + MARKS_PAUSE;
        Some(self.errands.marks())
    }

    /// When to look at the marks; never while no key is parked.
    fn marks_wanted_at(&self) -> Option<Instant> {
        (!self.parking.is_empty()).then_some(self.marks_due_at)
    }

    /// Takes up what an errand has brought.
    fn take_up(&mut self, brought: Brought) {
        match brought {
            Brought::Parked(count) => self.parking.parked(count),
            Brought::Unparked(count) => self.parking.unparked(count),
            Brought::Cleared => self.parking.cleared(),
            Brought::Marks(marks) => {
                self.parking.see_marks(marks.keys().map(String::as_str));
            }
            Brought::Released(released) => {
                self.parking.read(released.len());
                self.release(released);
            }
        }
    }

    /// Hands parked entries of a released key to its lane.
    fn release(&self, released: Vec<(EntryId, ParkedEntry)>) {
        for (parked_id, parked) in released {
            let entry = original(parked);
            let chunk = self.room.take(std::slice::from_ref(&entry));
            let lane = self.lane_of(&self.key_of(&entry));
            if let Some(lane) = self.lanes.get(lane) {
                let held = Held::new(entry, chunk);
                lane.push([Held {
                    parked: Some(parked_id),
                    ..held
                }]);
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // A function that has given its events to another task must hear of the end.
        self.lanes.iter().for_each(|lane| lane.lose());
    }
}

/// The answer of a call that may be under way.
async fn answer<T>(
    call: &mut Option<BoxFuture<'static, tidegate_store::Result<T>>>,
) -> tidegate_store::Result<T> {
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
