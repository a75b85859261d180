//! Parking: which keys of a partition stand still, and what is done about it next. Pure.
//!
//! ```text
//! a key's entry fails ─► queue ─► park ─► the parked stream ◄─ read ◄─ released by a person
//! a later entry of it ────┘                                     │
//!                                        unpark ◄─ done ◄─ lane ◄┘ failed again: stays parked
//! ```
//!
//! It guarantees the order of each key: while a key stands still, all that comes of it goes behind
//! what is parked; while it is released, too, until nothing of it is parked any more. One step is
//! under way at a time. If the process dies here, what was queued is still pending, what was
//! released is still parked, and the next owner loads the keys before it begins.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tidegate_store::{EntryId, ParkedEntry};

use crate::lane::Held;
use crate::room::Chunk;

/// The most entries that may be parked of a partition; one more puts it in quarantine.
pub const PARKED_MAX: usize = 10_000;
/// The most bytes of a key that can be parked: it becomes part of a mark's name.
pub(crate) const KEY_BYTES_MAX: usize = 1_024;
/// How many entries are parked at once.
const BATCH_MAX: usize = 100;
/// What the mark of a released key begins with.
const RELEASE: &str = "release:";

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Move these to the parked stream.
    Park(Vec<ParkedEntry>, Vec<Arc<Chunk>>),
    /// Read the first parked entries of this key.
    Read(String),
    /// The release of this key has ended: clear its mark.
    Clear(String),
}

/// The keys that stand still.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    keys: BTreeSet<String>,
    /// How many entries are in the parked stream.
    count: usize,
    queue: VecDeque<(ParkedEntry, Arc<Chunk>)>,
    release: Option<Release>,
}

#[derive(Debug)]
struct Release {
    key: String,
    phase: Phase,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing of the key is in its lane.
    Reading,
    /// So many entries of the key are in its lane.
    InLane(usize),
    /// It has ended.
    Over,
}

impl Parking {
    /// Takes up a parked entry that was there before this owner.
    pub(crate) fn load(&mut self, entry: &ParkedEntry) {
        self.keys.insert(text(entry));
        self.count += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether there is no room for the entries that are parked and queued.
    pub(crate) fn is_full(&self) -> bool {
        self.count + self.queue.len() > PARKED_MAX
    }

    /// Whether entries of this key go behind what is parked.
    pub(crate) fn holds(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Lets a key stand still, from an entry on that has failed. One that was parked before stays
    /// where it is, and its release is over.
    pub(crate) fn stop(&mut self, key: &str, held: Held, reason: String) {
        self.keys.insert(key.to_owned());
        if held.parked.is_none() {
            self.push(key, held, reason);
            return;
        }
        if let Some(release) = &mut self.release
            && release.key == key
        {
            release.phase = Phase::Over;
        }
    }

    /// Puts a later entry of a key that stands still behind the others.
    pub(crate) fn follow(&mut self, key: &str, held: Held) {
        if held.parked.is_none() {
            self.push(key, held, "an earlier entry of its key is parked".into());
        }
    }

    fn push(&mut self, key: &str, held: Held, reason: String) {
        let Held { entry, room, .. } = held;
        let parked = ParkedEntry {
            id: entry.id,
            key: key.to_owned().into(),
            reason,
            fields: entry.fields,
        };
        self.queue.push_back((parked, room));
    }

    /// Takes up what persons have asked for: keys that are parked first, so that a mark for one
    /// that isn't holds up no other.
    pub(crate) fn see_marks<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        if self.release.is_none() {
            let asked = names.filter_map(|name| name.strip_prefix(RELEASE));
            let key = asked.min_by_key(|key| !self.holds(key));
            self.release = key.map(|key| Release {
                key: key.to_owned(),
                phase: Phase::Reading,
            });
        }
    }

    /// What to do next. With `only_park`, nothing that leads to more work.
    pub(crate) fn next_step(&mut self, only_park: bool) -> Option<Step> {
        if !self.queue.is_empty() {
            let batch = self.queue.drain(..self.queue.len().min(BATCH_MAX));
            let (entries, room) = batch.unzip();
            return Some(Step::Park(entries, room));
        }
        let release = self.release.as_ref().filter(|_| !only_park)?;
        match release.phase {
            Phase::Reading => Some(Step::Read(release.key.clone())),
            Phase::InLane(_) => None,
            Phase::Over => Some(Step::Clear(release.key.clone())),
        }
    }

    /// Entries were parked.
    pub(crate) fn parked(&mut self, count: usize) {
        self.count += count;
    }

    /// So many parked entries of the released key were read and are in its lane now. None are
    /// left where there are none, unless some were queued in the meantime.
    pub(crate) fn read(&mut self, count: usize) {
        let Some(release) = &mut self.release else {
            return;
        };
        if count > 0 {
            release.phase = Phase::InLane(count);
        } else if self.queue.iter().all(|(entry, _)| entry.key != release.key) {
            self.keys.remove(&release.key);
            release.phase = Phase::Over;
        }
    }

    /// Released entries are done.
    pub(crate) fn unparked(&mut self, count: usize) {
        self.count = self.count.saturating_sub(count);
        if let Some(Release { phase, .. }) = &mut self.release
            && let Phase::InLane(left) = phase
        {
            *left = left.saturating_sub(count);
            if *left == 0 {
                *phase = Phase::Reading;
            }
        }
    }

    /// The mark of the release that was over is cleared.
    pub(crate) fn cleared(&mut self) {
        self.release = None;
    }
}

/// The name of the mark that releases a key.
pub(crate) fn release_mark(key: &str) -> String {
    format!("{RELEASE}{key}")
}

/// The key of an entry whose record has none: such entries have nothing to do with one another.
pub(crate) fn key_of_keyless(id: EntryId) -> String {
    format!("#{id}")
}

/// A parked entry's key as text.
pub(crate) fn text(entry: &ParkedEntry) -> String {
    String::from_utf8_lossy(&entry.key).into_owned()
}

#[cfg(test)]
mod tests {
    use tidegate_store::Entry;

    use super::*;
    use crate::room::{Budget, Room};

    fn held(ms: u64, parked: Option<EntryId>) -> Held {
        let entry = Entry {
            id: EntryId::new(ms, 0),
            fields: Vec::new(),
        };
        let room = Room::new(&Budget::new(1 << 20, 1), 10, 1 << 20, Arc::default());
        let chunk = room.take(std::slice::from_ref(&entry));
        Held {
            parked,
            ..Held::new(entry, chunk)
        }
    }

    fn park(parking: &mut Parking) -> Vec<u64> {
        match parking.next_step(false) {
            Some(Step::Park(entries, _)) => {
                parking.parked(entries.len());
                entries.iter().map(|entry| entry.id.ms).collect()
            }
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn what_comes_of_a_key_goes_behind_what_failed() {
        let mut parking = Parking::default();
        parking.stop("a", held(1, None), "why".into());
        assert!(parking.holds("a") && !parking.holds("b"));
        parking.follow("a", held(2, None));
        assert_eq!(park(&mut parking), [1, 2]);
        assert!(parking.next_step(false).is_none());
    }

    #[test]
    fn a_released_key_stands_still_until_nothing_of_it_is_parked() {
        let mut parking = Parking::default();
        parking.stop("a", held(1, None), "why".into());
        park(&mut parking);
        parking.see_marks(["quarantine", "release:a"].into_iter());
        assert!(matches!(parking.next_step(false), Some(Step::Read(key)) if key == "a"));
        parking.read(1);
        assert!(parking.next_step(false).is_none());
        // Another one comes while the first is in the lane, and one more while nothing is.
        parking.follow("a", held(2, None));
        assert_eq!(park(&mut parking), [2]);
        parking.unparked(1);
        assert!(matches!(parking.next_step(false), Some(Step::Read(_))));
        parking.follow("a", held(3, None));
        parking.read(0);
        assert!(parking.holds("a"));
        assert_eq!(park(&mut parking), [3]);
        assert!(matches!(parking.next_step(false), Some(Step::Read(_))));
        parking.read(0);
        assert!(!parking.holds("a"));
        assert!(matches!(parking.next_step(false), Some(Step::Clear(_))));
        parking.cleared();
        assert!(parking.next_step(false).is_none());
    }

    #[test]
    fn a_released_entry_that_fails_again_stays_parked() {
        let mut parking = Parking::default();
        parking.stop("a", held(1, None), "why".into());
        park(&mut parking);
        parking.see_marks(["release:a"].into_iter());
        parking.next_step(false);
        parking.read(2);
        let parked = Some(EntryId::new(9, 9));
        parking.stop("a", held(1, parked), "again".into());
        parking.follow("a", held(2, parked));
        assert!(parking.holds("a"));
        assert!(matches!(parking.next_step(false), Some(Step::Clear(_))));
    }

    #[test]
    fn a_mark_for_a_key_that_is_not_parked_holds_up_no_other() {
        let mut parking = Parking::default();
        parking.stop("b", held(1, None), "why".into());
        park(&mut parking);
        parking.see_marks(["release:a", "release:b"].into_iter());
        assert!(matches!(parking.next_step(false), Some(Step::Read(key)) if key == "b"));
    }

    #[test]
    fn there_is_a_bound() {
        let mut parking = Parking::default();
        parking.stop("a", held(1, None), "why".into());
        for ms in 2..=10_000 {
            parking.follow("a", held(ms, None));
        }
        assert!(!parking.is_full());
        parking.follow("a", held(10_001, None));
        assert!(parking.is_full());
    }
}
