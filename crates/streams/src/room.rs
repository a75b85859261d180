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
//! nobody waits for anybody else's, so a stalled partition takes no room from the others. They are
//! those of a worker that owns all partitions: what one of few has taken could not be taken back
//! when more come. A chunk counts whole until its last entry is settled, because its entries share
//! one buffer. The bound: a worker holds no more bytes of entries than its budget, and one entry
//! more for each partition. If the process dies here, nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_store::{Entry, ReadLimit};
use tokio::sync::Notify;

/// What an entry costs in memory besides its bytes: its id, and where its fields are.
const ENTRY_OVERHEAD_BYTES: usize = 256;

/// The bytes that all partitions of a worker may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    /// What each of them may hold.
    share: usize,
}

impl Budget {
    /// So many bytes for all partitions that a worker may come to own.
    pub(crate) fn new(bytes: usize, partitions: usize) -> Arc<Self> {
        Arc::new(Self {
            share: bytes / partitions.max(1),
        })
    }
}

/// The room of one partition.
#[derive(Debug)]
pub(crate) struct Room {
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
        budget: &Budget,
        entries_max: usize,
        bytes_max: usize,
        changed: Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(Self {
            entries_max,
            bytes_max: bytes_max.min(budget.share),
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            changed,
        })
    }

    /// How much may be read now; none while there is no room for another chunk. There always is
    /// when nothing is held, so that each partition goes on however small its share is.
    pub(crate) fn chunk_limit(&self) -> Option<ReadLimit> {
        let (entries, bytes) = (
            self.entries.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        );
        let (entries_chunk, bytes_chunk) = (self.entries_max / 2, self.bytes_max / 2);
        let has_room = entries == 0 || (entries <= entries_chunk && bytes <= bytes_chunk);
        // A chunk is half of what may be held, and half of the chunk's bytes are for what entries
        // cost besides their own.
        let bytes = bytes_chunk / 2;
        let limit = ReadLimit {
            entries: entries_chunk.min(bytes / ENTRY_OVERHEAD_BYTES).max(1),
            bytes: bytes.max(1),
        };
        has_room.then_some(limit)
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

    fn room(budget: &Budget, entries_max: usize) -> Arc<Room> {
        Room::new(budget, entries_max, 1 << 20, Arc::default())
    }

    #[test]
    fn two_chunks_fit_and_a_third_waits_for_the_first() {
        let room = room(&Budget::new(1 << 20, 1), 10);
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
        for entry_bytes in [1, 100, 300, 1_000, 10_000] {
            for budget_bytes in [1 << 20, 16 << 20] {
                let budget = Budget::new(budget_bytes, 1_000);
                let mut held = Vec::new();
                let mut rooms = Vec::new();
                for _ in 0..1_000 {
                    // The first one has read what it may before the last one comes.
                    let room = room(&budget, 1_000);
                    while let Some(limit) = room.chunk_limit() {
                        // What the store brings: as many as fit, and the one that crosses the
                        // limit.
                        let count = (limit.bytes / entry_bytes + 1).min(limit.entries);
                        held.push(room.take(&entries(count, entry_bytes)));
                    }
                    rooms.push(room);
                }
                let bytes: usize = rooms
                    .iter()
                    .map(|room| room.bytes.load(Ordering::Relaxed))
                    .sum();
                let one_each = 1_000 * (entry_bytes + ENTRY_OVERHEAD_BYTES);
                assert!(bytes <= budget_bytes + one_each, "{entry_bytes}: {bytes}");
                drop(held);
                assert!(rooms.iter().all(|room| room.chunk_limit().is_some()));
            }
        }
    }

    #[test]
    fn an_entry_larger_than_the_share_is_still_read() {
        let room = room(&Budget::new(100, 1), 10);
        let limit = room.chunk_limit().unwrap();
        assert_eq!(limit.entries, 1);
        let held = room.take(&entries(1, 1_000));
        assert!(room.chunk_limit().is_none());
        drop(held);
        assert!(room.chunk_limit().is_some());
    }
}
