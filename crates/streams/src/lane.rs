//! A lane: what passes between the owner of a partition and one call of the user's function.
//!
//! ```text
//! consumer ── push ──► ready ── hand out ──► in hand ── next call, or the end ──► done ──► consumer
//!                        ▲                      │                                         (acknowledges)
//!                        └──── put back ◄── failure ──► runner (policy)
//! ```
//!
//! A partition has one lane, or several over which its keys are spread. A lane hands its entries
//! out in their order and guarantees that each is in exactly one of the places above. It is shared
//! memory under a lock that nobody holds while waiting. If the process dies here, all that is not
//! acknowledged is still pending in the store, and the next owner reads it first.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tidegate_store::{Entry, EntryId, Lease};
use tokio::sync::Notify;

use crate::BoxError;
use crate::metrics::Counts;
use crate::middleware::{InHand, Middleware, Outcome};
use crate::room::Chunk;

/// How long events are handed out without a break: then the owner of the partition, which shares a
/// task with the function, gets to read and acknowledge.
const TURN_MAX: Duration = Duration::from_millis(1);

/// An entry in memory, with the room that it takes.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) entry: Entry,
    /// How often it was handed out.
    pub(crate) attempts: u32,
    /// How often it failed while nothing else was in hand.
    pub(crate) failures: u32,
    /// Where it is in the parked stream, if it is there: it is not pending then.
    pub(crate) parked: Option<EntryId>,
    pub(crate) room: Arc<Chunk>,
}

impl Held {
    pub(crate) fn new(entry: Entry, room: Arc<Chunk>) -> Self {
        Self {
            entry,
            attempts: 0,
            failures: 0,
            parked: None,
            room,
        }
    }
}

/// What a function that has failed had in hand.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Nothing.
    Nothing,
    /// This alone.
    One(Held),
    /// So many; they will be handed out again one by one.
    Several(usize),
}

/// What came of asking for events.
pub(crate) enum Handed {
    /// Some were handed out.
    Some,
    /// Some are there, fewer than asked for, and more may come.
    Few,
    /// The lane has ended.
    End,
    /// The partition is another owner's.
    Lost,
}

/// Reads a record from an entry that is handed out; none, with the reason, where it can't be read.
pub(crate) trait Receive {
    fn receive(&mut self, held: &Held) -> Result<(), BoxError>;
}

/// One lane of an owned partition.
pub(crate) struct Lane {
    pub(crate) lease: Arc<Lease>,
    /// Notified when the consumer has something to do.
    pub(crate) changed: Arc<Notify>,
    /// How many done entries the consumer wants to hear of at once.
    pub(crate) done_max: usize,
    pub(crate) counts: Arc<Counts>,
    pub(crate) middleware: Arc<[Arc<dyn Middleware>]>,
    /// Notified when the runner has to store what can't be decoded.
    has_undecodable: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Which call of the function may ask; an older one gets nothing any more.
    call: u64,
    /// Whether the present call was given entries.
    took_events: bool,
    ready: VecDeque<Held>,
    in_hand: Vec<Held>,
    done: Vec<EntryId>,
    /// Done as well, by their ids in the parked stream.
    unparked: Vec<EntryId>,
    /// What can't be decoded, for the runner to store as dead letters.
    undecodable: Vec<(Held, BoxError)>,
    /// So many events are handed out alone, because they were in hand at a failure.
    one_by_one: usize,
    phase: Phase,
    /// Whether the room is full, so that waiting for more events is waiting for ever.
    is_full: bool,
    /// The function, or the runner, waits for an entry.
    waiting: Option<Waker>,
    handed_at: Option<Instant>,
    turn_began: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// Nothing more is handed out.
    Stopping,
    /// Nothing that happens here counts any more.
    Lost,
}

impl Lane {
    pub(crate) fn new(
        lease: Arc<Lease>,
        changed: Arc<Notify>,
        done_max: usize,
        counts: Arc<Counts>,
        middleware: Arc<[Arc<dyn Middleware>]>,
    ) -> Arc<Self> {
        Arc::new(Self {
            lease,
            changed,
            done_max,
            counts,
            middleware,
            has_undecodable: Notify::new(),
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of middleware leaves each entry in one place.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What the consumer does.

    /// Gives entries to the lane, in their order.
    pub(crate) fn push(&self, entries: impl IntoIterator<Item = Held>) {
        let mut state = self.lock();
        state.ready.extend(entries);
        state.wake();
    }

    /// Says whether the room is full.
    pub(crate) fn set_full(&self, is_full: bool) {
        let mut state = self.lock();
        if is_full && !state.is_full {
            state.wake();
        }
        state.is_full = is_full;
    }

    /// Moves the ids of entries that are done to `ids`, up to `max` of them together.
    pub(crate) fn take_done(&self, ids: &mut Vec<EntryId>, max: usize) {
        let mut state = self.lock();
        let count = state.done.len().min(max.saturating_sub(ids.len()));
        ids.extend(state.done.drain(..count));
    }

    /// Takes the ids, in the parked stream, of entries that are done.
    pub(crate) fn take_unparked(&self) -> Vec<EntryId> {
        std::mem::take(&mut self.lock().unparked)
    }

    /// Takes back all entries of a key that wait here, in their order.
    pub(crate) fn take_back(&self, is_of_key: impl Fn(&Entry) -> bool) -> Vec<Held> {
        let mut state = self.lock();
        let ready = std::mem::take(&mut state.ready);
        let (taken, left): (Vec<_>, Vec<_>) =
            ready.into_iter().partition(|held| is_of_key(&held.entry));
        state.ready = left.into();
        taken
    }

    /// How many entries are done, and whether the lane is idle: it waits for entries.
    pub(crate) fn progress(&self) -> (usize, bool) {
        let state = self.lock();
        let is_idle = state.waiting.is_some() && state.ready.is_empty();
        (state.done.len(), is_idle)
    }

    /// Lets the function end after what it has in hand.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Stopping;
        }
        state.wake();
    }

    /// Makes whatever the function still does count for nothing.
    pub(crate) fn lose(&self) {
        let mut state = self.lock();
        state.phase = Phase::Lost;
        state.wake();
    }

    // What the runner does.

    /// Waits until there is an entry to hand out; false when nothing more will be.
    pub(crate) fn poll_work(&self, cx: &Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Poll::Ready(false);
        }
        if !state.ready.is_empty() {
            return Poll::Ready(true);
        }
        self.wait(&mut state, cx);
        Poll::Pending
    }

    /// Begins another call of the function.
    pub(crate) fn begin_call(&self) -> u64 {
        let mut state = self.lock();
        state.call += 1;
        state.took_events = false;
        state.turn_began = None;
        state.call
    }

    /// The function has returned: what it has in hand is done.
    pub(crate) fn complete(&self) {
        let mut state = self.lock();
        state.call += 1;
        self.settle_in_hand(&mut state, None);
    }

    /// The function has failed: takes from it what it has in hand.
    pub(crate) fn fail(&self, error: &BoxError) -> Failed {
        let mut state = self.lock();
        state.call += 1;
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        self.counts
            .in_hand
            .fetch_sub(state.in_hand.len() as u64, Ordering::Relaxed);
        self.after(&state, Outcome::Failed(error));
        let mut in_hand = std::mem::take(&mut state.in_hand);
        if in_hand.len() > 1 {
            let count = in_hand.len();
            state.one_by_one = state.one_by_one.max(count);
            for held in in_hand.drain(..).rev() {
                state.ready.push_front(held);
            }
            state.in_hand = in_hand;
            return Failed::Several(count);
        }
        in_hand.pop().map_or(Failed::Nothing, Failed::One)
    }

    /// Makes an entry the first to be handed out, alone.
    pub(crate) fn put_back(&self, held: Held) {
        let mut state = self.lock();
        state.one_by_one = state.one_by_one.max(1);
        state.ready.push_front(held);
    }

    /// An entry that failed is dealt with: it can be acknowledged.
    pub(crate) fn settle(&self, held: &Held) {
        let mut state = self.lock();
        state.one_by_one = state.one_by_one.saturating_sub(1);
        self.push_done(&mut state, held);
    }

    /// Waits until something can't be decoded.
    pub(crate) async fn undecodable(&self) {
        self.has_undecodable.notified().await;
    }

    /// An entry that can't be decoded is stored as a dead letter: it can be acknowledged.
    pub(crate) fn settle_undecodable(&self, held: &Held) {
        self.push_done(&mut self.lock(), held);
    }

    /// Whether the last call of the function was given events, or is out of luck because none
    /// could be decoded.
    pub(crate) fn took_events(&self) -> bool {
        self.lock().took_events
    }

    /// What can't be decoded.
    pub(crate) fn take_undecodable(&self) -> Vec<(Held, BoxError)> {
        std::mem::take(&mut self.lock().undecodable)
    }

    // What the function does.

    /// Hands out up to `want` events; fewer than that only where no more can come or the caller
    /// is not `patient`. What was handed out before is done.
    pub(crate) fn poll_hand_out(
        &self,
        cx: &Context<'_>,
        call: u64,
        want: usize,
        patient: bool,
        receiver: &mut impl Receive,
    ) -> Poll<Handed> {
        let now = Instant::now();
        let mut state = self.lock();
        if state.phase == Phase::Lost {
            return Poll::Ready(Handed::Lost);
        }
        if state.call != call {
            return Poll::Ready(Handed::End);
        }
        self.settle_in_hand(&mut state, Some(now));
        if state.phase == Phase::Stopping {
            return Poll::Ready(Handed::End);
        }
        let turn_began = *state.turn_began.get_or_insert(now);
        if now.duration_since(turn_began) >= TURN_MAX {
            state.turn_began = None;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let want = if state.one_by_one > 0 { 1 } else { want };
        let waits_for_more = patient && state.ready.len() < want && !state.is_full;
        if waits_for_more || state.ready.is_empty() {
            self.wait(&mut state, cx);
            return match state.ready.is_empty() {
                true => Poll::Pending,
                false => Poll::Ready(Handed::Few),
            };
        }
        state.took_events = true;
        self.hand_out(&mut state, want, receiver);
        if state.in_hand.is_empty() {
            // None could be decoded. The runner must store them before anything else is read.
            self.wait(&mut state, cx);
            return Poll::Pending;
        }
        state.handed_at = Some(now);
        Poll::Ready(Handed::Some)
    }

    fn hand_out(&self, state: &mut State, want: usize, receiver: &mut impl Receive) {
        while state.in_hand.len() < want {
            let Some(mut held) = state.ready.pop_front() else {
                break;
            };
            held.attempts += 1;
            match receiver.receive(&held) {
                Ok(()) => state.in_hand.push(held),
                Err(reason) => {
                    state.one_by_one = state.one_by_one.saturating_sub(1);
                    state.undecodable.push((held, reason));
                    self.has_undecodable.notify_one();
                }
            }
        }
        self.counts
            .in_hand
            .fetch_add(state.in_hand.len() as u64, Ordering::Relaxed);
        if let Some(first) = state.in_hand.first() {
            for middleware in self.middleware.iter() {
                middleware.before(InHand {
                    lease: &self.lease,
                    first: first.entry.id,
                    count: state.in_hand.len(),
                });
            }
        }
    }

    fn wait(&self, state: &mut State, cx: &Context<'_>) {
        state.turn_began = None;
        match &mut state.waiting {
            Some(waker) => waker.clone_from(cx.waker()),
            none => {
                *none = Some(cx.waker().clone());
                // The consumer acknowledges what is done before it idles.
                self.changed.notify_one();
            }
        }
    }

    fn settle_in_hand(&self, state: &mut State, now: Option<Instant>) {
        let count = state.in_hand.len();
        if count == 0 {
            return;
        }
        self.after(state, Outcome::Done);
        if let Some(handed_at) = state.handed_at.take() {
            let took = now.unwrap_or_else(Instant::now).duration_since(handed_at);
            let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.counts.last_processing_ns.store(ns, Ordering::Relaxed);
        }
        self.counts
            .processed
            .fetch_add(count as u64, Ordering::Relaxed);
        self.counts
            .in_hand
            .fetch_sub(count as u64, Ordering::Relaxed);
        state.one_by_one = state.one_by_one.saturating_sub(count);
        let mut in_hand = std::mem::take(&mut state.in_hand);
        for held in in_hand.drain(..) {
            self.push_done(state, &held);
        }
        state.in_hand = in_hand;
    }

    fn push_done(&self, state: &mut State, held: &Held) {
        if let Some(parked) = held.parked {
            state.unparked.push(parked);
            self.changed.notify_one();
            return;
        }
        state.done.push(held.entry.id);
        if matches!(state.done.len(), 1) || state.done.len() == self.done_max {
            self.changed.notify_one();
        }
    }

    fn after(&self, state: &State, outcome: Outcome<'_>) {
        if let Some(first) = state.in_hand.first() {
            for middleware in self.middleware.iter() {
                let in_hand = InHand {
                    lease: &self.lease,
                    first: first.entry.id,
                    count: state.in_hand.len(),
                };
                middleware.after(in_hand, outcome);
            }
        }
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
