//! Room: how much of a partition is read ahead, and how much of all partitions together.
//!
//! ```text
//! Budget (a worker) ── share ──► Room (a partition) ── taken for ──► Chunk (what one read brought)
//!                                  ▲                                   │
//!                                  └────────── given back ─────────────┘ by its last entry
//! ```
//!
//! A partition holds at most two chunks' worth of entries and bytes, so that one is read while
//! the other is worked on, and at most its share of the worker's budget. Shares are equal and
//! nobody waits for anybody else's, so a stalled partition takes no room from the others. A chunk
//! counts whole until its last entry is settled, because its entries share one buffer. The bound:
//! a worker holds no more bytes of entries than its budget, and one entry more for each partition.
//! If the process dies here, nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_store::{Entry, ReadLimit};
use tokio::sync::Notify;

/// What an entry costs in memory besides its bytes: its id, and where its fields are.
const ENTRY_OVERHEAD_BYTES: usize = 256;

/// The bytes that all partitions of a worker may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: usize,
    partitions: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes,
            partitions: AtomicUsize::new(0),
        })
    }

    fn share(&self) -> usize {
        self.bytes / self.partitions.load(Ordering::Relaxed).max(1)
    }
}

/// The room of one partition.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Budget>,
    entries_max: usize,
    bytes_max: usize,
    entries: AtomicUsize,
    bytes: AtomicUsize,
    /// Notified when there is more room.
    changed: Arc<Notify>,
}

impl Room {
    /// Room for `entries_max` entries and `bytes_max` bytes, or less where the budget's share is
    /// smaller.
    pub(crate) fn new(
        budget: &Arc<Budget>,
        entries_max: usize,
        bytes_max: usize,
        changed: Arc<Notify>,
    ) -> Arc<Self> {
        budget.partitions.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            budget: budget.clone(),
            entries_max,
            bytes_max,
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            changed,
        })
    }

    /// How much may be read now; none while there is no room for another chunk. There always is
    /// when nothing is held, so that each partition goes on however small its share is.
    pub(crate) fn chunk_limit(&self) -> Option<ReadLimit> {
        let limit = self.chunk();
        let (entries, bytes) = (
            self.entries.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        );
        let has_room = entries == 0 || (entries <= limit.entries && bytes <= limit.bytes);
        has_room.then_some(limit)
    }

    /// Half of what may be held.
    fn chunk(&self) -> ReadLimit {
        let bytes = self.bytes_max.min(self.budget.share()) / 2;
        // The overhead counts as well, so that a crowd of tiny entries stays within the share.
        let entries = (self.entries_max / 2).min(bytes / ENTRY_OVERHEAD_BYTES);
        ReadLimit {
            entries: entries.max(1),
            bytes: bytes.max(1),
        }
    }

    /// Counts what was read, until the last [`Chunk`] of it is dropped.
    pub(crate) fn take(self: &Arc<Self>, entries: &[Entry]) -> Arc<Chunk> {
        let bytes = entries
            .iter()
            .map(|entry| entry.bytes() + ENTRY_OVERHEAD_BYTES)
            .sum();
        self.entries.fetch_add(entries.len(), Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Chunk {
            room: self.clone(),
            entries: entries.len(),
            bytes,
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.partitions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The room that the entries of one read take; each of them holds it.
#[derive(Debug)]
pub(crate) struct Chunk {
    room: Arc<Room>,
    entries: usize,
    bytes: usize,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.room.entries.fetch_sub(self.entries, Ordering::Relaxed);
        self.room.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.room.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tidegate_store::EntryId;

    use super::*;

    fn entries(count: usize, bytes: usize) -> Vec<Entry> {
        let field = (Bytes::new(), Bytes::from(vec![0; bytes]));
        let entry = Entry {
            id: EntryId::ZERO,
            fields: vec![field],
        };
        vec![entry; count]
    }

    fn room(budget: &Arc<Budget>, entries_max: usize) -> Arc<Room> {
        Room::new(budget, entries_max, 1 << 20, Arc::default())
    }

    #[test]
    fn two_chunks_fit_and_a_third_waits_for_the_first() {
        let room = room(&Budget::new(1 << 20), 10);
        let first = room.take(&entries(5, 1));
        assert_eq!(room.chunk_limit().unwrap().entries, 5);
        let second = room.take(&entries(5, 1));
        assert!(room.chunk_limit().is_none());
        drop(first);
        assert!(room.chunk_limit().is_some());
        drop(second);
    }

    #[test]
    fn partitions_share_the_budget_and_never_wait_for_one_another() {
        let budget = Budget::new(1 << 20);
        let rooms: Vec<_> = (0..1_000).map(|_| room(&budget, 1_000)).collect();
        let mut held = Vec::new();
        for room in &rooms {
            while let Some(limit) = room.chunk_limit() {
                // What the store brings: as many as fit, and the one that crosses the limit.
                let count = (limit.bytes / 100 + 1).min(limit.entries);
                held.push(room.take(&entries(count, 100)));
            }
        }
        let bytes: usize = rooms
            .iter()
            .map(|room| room.bytes.load(Ordering::Relaxed))
            .sum();
        assert!(
            bytes <= (1 << 20) + 1_000 * (100 + ENTRY_OVERHEAD_BYTES),
            "{bytes}"
        );
        drop(held);
        assert!(rooms.iter().all(|room| room.chunk_limit().is_some()));
    }

    #[test]
    fn an_entry_larger_than_the_share_is_still_read() {
        let room = room(&Budget::new(100), 10);
        let limit = room.chunk_limit().unwrap();
        assert_eq!(limit.entries, 1);
        let held = room.take(&entries(1, 1_000));
        assert!(room.chunk_limit().is_none());
        drop(held);
        assert!(room.chunk_limit().is_some());
    }
}
