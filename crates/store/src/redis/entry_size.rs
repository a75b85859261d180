//! How large entries are, by what was read before.
//!
//! Redis takes a limit of entries but not of bytes, so a limit of bytes is turned into a number
//! of entries by an average over this store handle's reads. It begins high, rises at once and
//! falls slowly: reading too few entries costs another round trip, reading too many costs memory
//! that the caller did not offer. It is lost with the process, and learnt again.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::entry::Entry;
use crate::port::ReadLimit;

/// What an entry is taken to have before one was read.
const BYTES_AT_FIRST: usize = 16 << 10;
/// With each read, the average gives up this part of the distance to what was read.
const FALL_DIVISOR: usize = 4;

/// The average number of bytes of an entry. Two reads at once may forget one of their lessons,
/// which the next read repeats.
#[derive(Debug)]
pub(super) struct EntrySize(AtomicUsize);

impl EntrySize {
    /// Nothing read yet.
    pub(super) const fn new() -> Self {
        Self(AtomicUsize::new(BYTES_AT_FIRST))
    }

    /// How many entries are about as many as the limit allows; at least one.
    pub(super) fn entries_within(&self, limit: ReadLimit) -> usize {
        let average = self.0.load(Ordering::Relaxed).max(1);
        limit.bytes.div_ceil(average).min(limit.entries).max(1)
    }

    /// Learns from what was read.
    pub(super) fn learn(&self, entries: &[Entry]) {
        let bytes: usize = entries.iter().map(Entry::bytes).sum();
        let Some(read) = bytes.checked_div(entries.len()) else {
            return;
        };
        let average = self.0.load(Ordering::Relaxed);
        let fall = average.saturating_sub(read).div_ceil(FALL_DIVISOR);
        self.0.store(read.max(average - fall), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::entry::EntryId;

    const LIMIT: ReadLimit = ReadLimit {
        entries: 10_000,
        bytes: 1 << 20,
    };

    fn entries(count: usize, bytes: usize) -> Vec<Entry> {
        let field = (Bytes::new(), Bytes::from(vec![0; bytes]));
        vec![
            Entry {
                id: EntryId::ZERO,
                fields: vec![field]
            };
            count
        ]
    }

    #[test]
    fn the_first_read_is_careful() {
        assert_eq!(EntrySize::new().entries_within(LIMIT), 64);
    }

    #[test]
    fn small_entries_are_trusted_after_some_reads() {
        let size = EntrySize::new();
        for _ in 0..40 {
            size.learn(&entries(10, 1_000));
        }
        assert_eq!(size.entries_within(LIMIT), 1_049);
    }

    #[test]
    fn one_read_of_large_entries_is_enough() {
        let size = EntrySize::new();
        size.learn(&entries(1, 1 << 20));
        assert_eq!(size.entries_within(LIMIT), 1);
    }

    #[test]
    fn the_callers_number_of_entries_is_never_exceeded_nor_is_none_asked_for() {
        let size = EntrySize::new();
        assert_eq!(
            size.entries_within(ReadLimit {
                entries: 3,
                bytes: usize::MAX
            }),
            3
        );
        assert_eq!(
            size.entries_within(ReadLimit {
                entries: 3,
                bytes: 0
            }),
            1
        );
        size.learn(&[]);
        assert_eq!(size.entries_within(LIMIT), 64);
    }
}
