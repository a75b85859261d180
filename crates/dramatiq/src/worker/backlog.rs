//! Messages in hand whose calls have not begun: the most urgent first, then the oldest.
//!
//! How many there are is bounded by the permits that they hold.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::actor::Actor;
use crate::outcome::InHand;

/// A message that waits for its call.
pub(super) struct Waiting {
    pub(super) in_hand: InHand,
    pub(super) actor: Actor,
    /// Held until the message is settled.
    pub(super) _room: OwnedSemaphorePermit,
}

#[derive(Default)]
pub(super) struct Backlog {
    heap: Mutex<Heap>,
    arrived: Notify,
}

#[derive(Default)]
struct Heap {
    entries: BinaryHeap<Reverse<Entry>>,
    /// How many there ever were.
    count: u64,
}

impl Backlog {
    pub(super) fn push(&self, waiting: Waiting) {
        let mut heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
        heap.count += 1;
        let entry = Entry {
            rank: (waiting.actor.options.priority, heap.count),
            waiting,
        };
        heap.entries.push(Reverse(entry));
        drop(heap);
        self.arrived.notify_one();
    }

    /// The next one, as soon as there is one.
    pub(super) async fn next(&self) -> Waiting {
        loop {
            if let Some(waiting) = self.try_next() {
                return waiting;
            }
            self.arrived.notified().await;
        }
    }

    pub(super) fn try_next(&self) -> Option<Waiting> {
        let mut heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
        heap.entries.pop().map(|Reverse(entry)| entry.waiting)
    }
}

struct Entry {
    rank: (i64, u64),
    waiting: Waiting,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}
