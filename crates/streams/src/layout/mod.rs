//! The layout of a stream: which partitions it has, and had before its number was changed.
//!
//! ```text
//! created ─► planned ─► every partition of the generation sealed ─► switched ─► retired
//!            └────────── stream repartition, or whoever meets it ──────────┘
//! ```
//!
//! A stream has *generations* of partitions. Each has indexes of its own, which are never used
//! again, so that nothing a stale program writes can come between. What happened is a log in the
//! store (`log`), whose events are folded here into a [`Layout`]. Of two that say the same, or
//! exclude each other, the first counts: so the log itself decides between those who race.
//!
//! It guarantees that every reader of the same log sees the same layout, and that a generation is
//! never followed by two. Pure: if the process dies, the log is read again.

mod event;
pub(crate) mod log;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tidegate_store::{EntryId, Partition, StreamName};

pub use self::event::Event;
pub use self::log::load;
use crate::spec::PARTITIONS_MAX;
use crate::{Error, Result};

/// How many generations may have entries to process or to replay at a time.
pub const GENERATIONS_MAX: usize = 8;
/// How much the clocks of senders and stores may differ where a window of request ids is measured.
const CLOCK_SLACK: Duration = Duration::from_secs(60 * 60);

/// Partitions that belong together: every key has one place among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number, from 1.
    pub number: u32,
    /// The index of its first partition.
    pub first: u32,
    /// How many partitions it has.
    pub partitions: u32,
    /// Since when the next one takes its place: Unix milliseconds of the store's clock.
    pub ended_at_ms: Option<u64>,
    /// Whether every group has processed it, and nothing of it is kept.
    pub is_retired: bool,
}

impl Generation {
    /// The partition of something with this hash.
    #[must_use]
    pub fn place(&self, hash: u128) -> u32 {
        let place = hash.checked_rem(u128::from(self.partitions)).unwrap_or(0);
        // What is left of a division by a `u32` is one.
        self.first.saturating_add(u32::try_from(place).unwrap_or(0))
    }

    /// The indexes of its partitions.
    #[must_use]
    pub fn indexes(&self) -> std::ops::Range<u32> {
        self.first..self.end()
    }

    /// Its partitions in the store.
    #[must_use]
    pub fn partitions_of(&self, stream: &StreamName) -> Vec<Partition> {
        self.indexes()
            .map(|index| stream.partition(index))
            .collect()
    }

    fn end(&self) -> u32 {
        self.first.saturating_add(self.partitions)
    }
}

/// A change of the number that has been decided and not yet come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The number of the next generation.
    pub generation: u32,
    /// How many partitions it will have.
    pub partitions: u32,
}

/// What the log of a stream says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// In the order of their numbers; the last one is the current one.
    generations: Vec<Generation>,
    planned: Option<Planned>,
    /// The last event that was taken up.
    seen: EntryId,
}

impl Layout {
    /// The layout of a stream that has always had so many partitions.
    #[must_use]
    pub fn of(partitions: u32) -> Self {
        let mut layout = Self::default();
        layout.take_up(EntryId::ZERO, &Event::Created { partitions });
        layout
    }

    /// The generation to which is appended; none of a stream of which nothing was said yet.
    #[must_use]
    pub fn current(&self) -> Option<&Generation> {
        self.generations.last()
    }

    /// Those that may have something to process or to replay, the oldest first, the current one
    /// included.
    pub fn live(&self) -> impl DoubleEndedIterator<Item = &Generation> {
        self.generations.iter().filter(|it| !it.is_retired)
    }

    /// All that came before the current one, the oldest first.
    #[must_use]
    pub fn former(&self) -> &[Generation] {
        let (_, former) = self.generations.split_last().unzip();
        former.unwrap_or_default()
    }

    /// Those that may know a request id which was sent within a window.
    pub(crate) fn remembering(&self, window: Duration, now_ms: u64) -> Vec<Generation> {
        let window = window.saturating_add(CLOCK_SLACK);
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let remembers = |it: &&Generation| {
            let ended_at_ms = it.ended_at_ms.unwrap_or(u64::MAX);
            ended_at_ms.saturating_add(window_ms) >= now_ms
        };
        self.former().iter().filter(remembers).copied().collect()
    }

    /// The change under way.
    #[must_use]
    pub fn planned(&self) -> Option<Planned> {
        self.planned
    }

    /// All partitions that may have something to process or to replay.
    #[must_use]
    pub fn live_partitions(&self, stream: &StreamName) -> Vec<Partition> {
        self.live()
            .flat_map(|it| it.partitions_of(stream))
            .collect()
    }

    /// What has to be said for the stream to get so many partitions, once no other change is under
    /// way; none where it has them.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a number out of its bounds, and where too many former generations
    /// are still to be processed.
    pub fn plan(&self, partitions: u32) -> Result<Option<Event>> {
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(Error::Invalid(format!(
                "{partitions} partitions: use 1 to {PARTITIONS_MAX}"
            )));
        }
        let Some(current) = self.current() else {
            return Err(Error::Invalid("the stream has no partitions yet".into()));
        };
        if current.partitions == partitions {
            return Ok(None);
        }
        if self.live().count() >= GENERATIONS_MAX {
            return Err(Error::Invalid(format!(
                "the number of partitions was changed {} times, and what was sent before is still \
                 to be processed: let the processors catch up first",
                GENERATIONS_MAX - 1
            )));
        }
        Ok(Some(Event::Planned {
            generation: current.number.saturating_add(1),
            partitions,
        }))
    }

    /// Whether a generation has, or is to have, as many partitions as an event has planned for it.
    pub(crate) fn has_taken_up(&self, plan: &Event) -> bool {
        let begun = self.generations.iter();
        let begun = begun.map(|it| (it.number, it.partitions));
        let planned = self.planned.map(|it| (it.generation, it.partitions));
        begun.chain(planned).any(|(generation, partitions)| {
            *plan
                == Event::Planned {
                    generation,
                    partitions,
                }
        })
    }

    /// Takes up an event of the log; one that comes too late, or not in its turn, changes nothing.
    fn take_up(&mut self, id: EntryId, event: &Event) {
        self.seen = id;
        match *event {
            Event::Created { partitions } => {
                if self.generations.is_empty() && is_possible(0, partitions) {
                    self.begin(1, 0, partitions);
                }
            }
            Event::Planned {
                generation,
                partitions,
            } => {
                let next = self
                    .current()
                    .map(|it| (it.number.checked_add(1), it.end()));
                if let (None, Some((Some(number), first))) = (self.planned, next)
                    && number == generation
                    && is_possible(first, partitions)
                {
                    self.planned = Some(Planned {
                        generation,
                        partitions,
                    });
                }
            }
            Event::Switched { generation } => {
                if let Some(planned) = self.planned
                    && planned.generation == generation
                    && let Some(current) = self.generations.last_mut()
                {
                    current.ended_at_ms = Some(id.ms);
                    let first = current.end();
                    self.planned = None;
                    self.begin(generation, first, planned.partitions);
                }
            }
            Event::Retired { generation } => {
                let former = self.generations.iter_mut();
                let mut ended = former.filter(|it| it.ended_at_ms.is_some());
                if let Some(one) = ended.find(|it| it.number == generation) {
                    one.is_retired = true;
                }
            }
        }
    }

    fn begin(&mut self, number: u32, first: u32, partitions: u32) {
        self.generations.push(Generation {
            number,
            first,
            partitions,
            ended_at_ms: None,
            is_retired: false,
        });
    }
}

fn is_possible(first: u32, partitions: u32) -> bool {
    (1..=PARTITIONS_MAX).contains(&partitions) && first.checked_add(partitions).is_some()
}
