//! What the ledger remembers of the entries that it has settled last: their ids and a digest each.
//!
//! After a failover the log may have stepped back: entries that were settled are gone, or are there
//! again, and new ones have ids that the ledger has passed already. An id alone doesn't tell them
//! apart, because the new server counts from where it was; with the digest of its content it does.
//!
//! The memory is a ring of [`SLOTS`] slots per shard, written in the transaction that moves the
//! ledger. A slot takes chunks, one per transaction, until it has [`SLOT_BYTES_MIN`]. Each chunk
//! says from where the ledger was moved, so that a gap is seen: what lies before it is forgotten.
//!
//! Pure. The memory is as durable as the ledger, and never says more or less than it did.

use std::collections::HashMap;

use tidegate_store::{Entry, EntryId};

/// How many slots a shard has.
pub const SLOTS: i64 = 32;
/// A slot with so many bytes takes no other chunk: about a thousand entries.
pub const SLOT_BYTES_MIN: usize = 8 << 10;

/// The slot that was written last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// Its number; the ring's place is the number modulo [`SLOTS`].
    pub number: i64,
    /// How many bytes it has.
    pub bytes: usize,
}

/// What a transaction adds to the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    /// The slot's number.
    pub number: i64,
    /// Whether the slot keeps what it has.
    pub is_continued: bool,
    /// The chunk.
    pub chunk: Vec<u8>,
}

impl Addition {
    /// The place in the ring.
    #[must_use]
    pub fn slot(&self) -> i64 {
        self.number.rem_euclid(SLOTS)
    }
}

impl Newest {
    /// Where the chunk of these entries goes, with which the ledger is moved from `from`.
    #[must_use]
    pub fn add(self, from: EntryId, entries: &[Entry]) -> Addition {
        let chunk = chunk(from, entries);
        let is_continued = self.bytes > 0 && self.bytes < SLOT_BYTES_MIN;
        let number = self.number + i64::from(!is_continued);
        Addition {
            number,
            is_continued,
            chunk,
        }
    }

    /// What is the newest slot after an addition.
    #[must_use]
    pub fn after(self, addition: &Addition) -> Self {
        let before = if addition.is_continued { self.bytes } else { 0 };
        Self {
            number: addition.number,
            bytes: before + addition.chunk.len(),
        }
    }
}

/// What an entry is, that the stream has at or before the ledger's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was settled.
    Settled,
    /// It was never seen.
    New,
    /// The memory doesn't reach so far back.
    Forgotten,
}

/// The memory of a shard, as far back as it goes without a gap.
#[derive(Debug, Default)]
pub struct Recent {
    digests: HashMap<EntryId, u32>,
    /// It knows everything after this; none where it knows nothing.
    after: Option<EntryId>,
}

impl Recent {
    /// Reads the slots, given from the oldest to the newest, of a ledger at `position`.
    #[must_use]
    pub fn read(slots: &[Vec<u8>], position: EntryId) -> Self {
        let mut recent = Self::default();
        let mut last = None;
        for chunk in slots.iter().flat_map(|slot| Chunks(slot)) {
            let Some((from, entries)) = read_chunk(chunk) else {
                recent = Self::default();
                last = None;
                continue;
            };
            if last != Some(from) {
                recent.digests.clear();
                recent.after = Some(from);
            }
            last = entries.last().map(|(id, _)| *id).or(last);
            recent.digests.extend(entries);
        }
        if last == Some(position) {
            recent
        } else {
            Self::default()
        }
    }

    /// It knows everything after this; none where it knows nothing.
    #[must_use]
    pub fn after(&self) -> Option<EntryId> {
        self.after
    }

    /// Judges an entry that is not after the ledger's position.
    #[must_use]
    pub fn judge(&self, entry: &Entry) -> Origin {
        match (self.digests.get(&entry.id), self.after) {
            (Some(known), _) if *known == digest(entry) => Origin::Settled,
            (_, Some(after)) if entry.id > after => Origin::New,
            _ => Origin::Forgotten,
        }
    }
}

/// `length, from, (id, digest)…`; numbers are big-endian, ids are steps from the last one.
fn chunk(from: EntryId, entries: &[Entry]) -> Vec<u8> {
    let mut chunk = vec![0; 4];
    chunk.extend_from_slice(&from.ms.to_be_bytes());
    chunk.extend_from_slice(&from.sequence.to_be_bytes());
    let mut last = from;
    for entry in entries {
        let ms = entry.id.ms.wrapping_sub(last.ms);
        let sequence = match ms {
            0 => entry.id.sequence.wrapping_sub(last.sequence),
            _ => entry.id.sequence,
        };
        put_number(&mut chunk, ms);
        put_number(&mut chunk, sequence);
        chunk.extend_from_slice(&digest(entry).to_be_bytes());
        last = entry.id;
    }
    let length = u32::try_from(chunk.len() - 4).unwrap_or(u32::MAX);
    if let Some(frame) = chunk.get_mut(..4) {
        frame.copy_from_slice(&length.to_be_bytes());
    }
    chunk
}

fn read_chunk(mut bytes: &[u8]) -> Option<(EntryId, Vec<(EntryId, u32)>)> {
    let from = EntryId::new(take_u64(&mut bytes)?, take_u64(&mut bytes)?);
    let (mut last, mut entries) = (from, Vec::new());
    while !bytes.is_empty() {
        let (ms, sequence) = (take_number(&mut bytes)?, take_number(&mut bytes)?);
        last = match ms {
            0 => EntryId::new(last.ms, last.sequence.wrapping_add(sequence)),
            _ => EntryId::new(last.ms.wrapping_add(ms), sequence),
        };
        let (digest, rest) = bytes.split_first_chunk::<4>()?;
        bytes = rest;
        entries.push((last, u32::from_be_bytes(*digest)));
    }
    Some((from, entries))
}

/// Walks over the chunks of a slot.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (chunk, rest) = rest.split_at_checked(length.min(rest.len()))?;
        self.0 = rest;
        Some(chunk)
    }
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(u64::from_be_bytes(*number))
}

/// Of names and values with their lengths, so that no two contents run into one another.
fn digest(entry: &Entry) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in entry.fields.iter().flat_map(|(name, value)| [name, value]) {
        hasher.update(&part.len().to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn entry(id: EntryId, text: &str) -> Entry {
        let field = (
            Bytes::from_static(b"f"),
            Bytes::copy_from_slice(text.as_bytes()),
        );
        Entry {
            id,
            fields: vec![field],
        }
    }

    #[test]
    fn an_id_used_again_for_another_content_is_new() {
        let (from, id) = (EntryId::new(1, 0), EntryId::new(5, 1));
        let old = entry(id, "old");
        let slots = [Newest::default()
            .add(from, std::slice::from_ref(&old))
            .chunk];
        let recent = Recent::read(&slots, id);
        assert_eq!(recent.judge(&old), Origin::Settled);
        assert_eq!(recent.judge(&entry(id, "new")), Origin::New);
        assert_eq!(recent.judge(&entry(EntryId::new(5, 0), "new")), Origin::New);
        assert_eq!(recent.judge(&entry(from, "older")), Origin::Forgotten);
        // Somebody moved the ledger on without this memory.
        let recent = Recent::read(&slots, EntryId::new(6, 0));
        assert_eq!(recent.judge(&old), Origin::Forgotten);
    }

    proptest! {
        /// However the batches fall, what the ring still has is known, and a gap is not bridged.
        #[test]
        fn the_ring_remembers_its_last_slots(steps in prop::collection::vec(
            (1..600_usize, 0..3_u64), 1..60), gap in prop::option::of(0..60_usize)) {
            let (mut newest, mut position) = (Newest::default(), EntryId::new(1, 7));
            let mut ring: HashMap<i64, (i64, Vec<u8>)> = HashMap::new();
            let (mut all, mut since_gap) = (Vec::new(), 0);
            for (number, (count, step)) in steps.into_iter().enumerate() {
                let mut entries = Vec::new();
                for _ in 0..count {
                    position = match step {
                        0 => position.next(),
                        step => EntryId::new(position.ms + step, 3),
                    };
                    entries.push(entry(position, &format!("{position}")));
                }
                if gap == Some(number) {
                    since_gap = all.len() + entries.len();
                    all.extend(entries);
                    continue;
                }
                let from = all.last().map_or(EntryId::new(1, 7), |last: &Entry| last.id);
                let addition = newest.add(from, &entries);
                let slot = ring.entry(addition.slot()).or_default();
                if !addition.is_continued { slot.1.clear(); }
                slot.0 = addition.number;
                slot.1.extend_from_slice(&addition.chunk);
                newest = newest.after(&addition);
                prop_assert_eq!(newest.bytes, slot.1.len());
                all.extend(entries);
            }
            let mut slots: Vec<_> = ring.into_values().collect();
            slots.sort_unstable();
            let slots: Vec<Vec<u8>> = slots.into_iter().map(|(_, bytes)| bytes).collect();
            let recent = Recent::read(&slots, position);
            let is_gap_last = since_gap == all.len() && since_gap > 0;
            for (number, entry) in all.iter().enumerate() {
                let is_known = !is_gap_last && number >= since_gap
                    && recent.after().is_some_and(|after| entry.id > after);
                let expected = if is_known { Origin::Settled } else { Origin::Forgotten };
                prop_assert_eq!(recent.judge(entry), expected);
            }
            if !is_gap_last {
                // At least so many are always known, where there are so many.
                let known = all.iter().filter(|it| recent.judge(it) == Origin::Settled).count();
                prop_assert!(known >= (all.len() - since_gap).min(20_000));
            }
        }
    }
}
