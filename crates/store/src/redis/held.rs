//! How many entries a partition holds, as far as a producer knows it.
//!
//! Asking the server with every append would cost as much as the append. So a producer asks, and
//! then counts what it appends itself, until that is a chunk; it asks again before it refuses
//! anything. What other producers append meanwhile it does not see, which is why a high-water mark
//! may be overshot, and by how much. The counts are lost with the process, and asked for again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustis::resp::cmd;
use serde::Deserialize;

use super::Result;
use super::chunk::ENTRIES_MAX;
use super::failure::Failure;
use super::server::Server;
use crate::stream::Partition;

/// How many partitions are remembered; beyond, all are forgotten and asked for again.
const PARTITIONS_MAX: usize = 8_192;
/// After so many entries of its own a producer looks at the server again.
const LOOK_AFTER: u64 = ENTRIES_MAX as u64;

/// What a producer knows of each partition.
#[derive(Debug, Default)]
pub(super) struct HeldCounts(Mutex<HashMap<Partition, Known>>);

/// What the server said last, and what was appended since.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    held: u64,
    appended_since: u64,
}

impl HeldCounts {
    /// Takes room for up to `wanted` entries, at least one; none where the server must be asked
    /// first, or has just been asked and has no room.
    pub(super) fn take_room(
        &self,
        partition: &Partition,
        wanted: usize,
        high_water: u64,
    ) -> Option<usize> {
        let mut counts = self.counts();
        let known = counts.get_mut(partition)?;
        let room = known.room(wanted, high_water)?;
        known.appended_since += u64::try_from(room).unwrap_or(u64::MAX);
        Some(room)
    }

    /// Remembers what the server said.
    pub(super) fn learn(&self, partition: &Partition, held: u64) {
        let mut counts = self.counts();
        if counts.len() >= PARTITIONS_MAX {
            counts.clear();
        }
        let known = Known {
            held,
            appended_since: 0,
        };
        counts.insert(partition.clone(), known);
    }

    /// Counts what was appended, and says whether it is time to look at the server again.
    pub(super) fn is_look_due(&self, partition: &Partition, appended: usize) -> bool {
        let appended = u64::try_from(appended).unwrap_or(u64::MAX);
        if let Some(known) = self.counts().get_mut(partition) {
            known.appended_since = known.appended_since.saturating_add(appended);
            if known.appended_since < LOOK_AFTER {
                return false;
            }
        }
        self.learn(partition, 0);
        true
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Partition, Known>> {
        // The counts are numbers that are always whole: a panic elsewhere has not broken them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn room(self, wanted: usize, high_water: u64) -> Option<usize> {
        let until_full = high_water
            .saturating_sub(self.held)
            .saturating_sub(self.appended_since);
        let until_look = LOOK_AFTER.saturating_sub(self.appended_since);
        let room = usize::try_from(until_full.min(until_look)).unwrap_or(usize::MAX);
        Some(wanted.min(room)).filter(|room| *room > 0)
    }
}

/// Asks how many entries a partition holds.
pub(super) async fn count(server: &Server, key: &str) -> Result<u64> {
    server.call(cmd("XLEN").key(key)).await?.number()
}

/// What `XINFO GROUPS` says of a group, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Group {
    /// Entries that were appended after the group's position; none where the server lost count.
    lag: Option<u64>,
}

/// Logs how many entries were dropped that the slowest group had not read. A server that doesn't
/// answer is asked another time.
pub(super) async fn report_dropped_unread(server: &Server, partition: &Partition, key: &str) {
    match dropped_unread_of(server, key).await {
        Ok(0) => {}
        Ok(unread) => {
            tracing::warn!(%partition, unread, "entries were dropped that a group had not read");
        }
        Err(failure) => tracing::debug!(%partition, %failure, "could not look for dropped entries"),
    }
}

async fn dropped_unread_of(server: &Server, key: &str) -> Result<u64, Failure> {
    let groups: Vec<Group> = server.ask(cmd("XINFO").arg("GROUPS").key(key)).await?;
    let held: u64 = server.ask(cmd("XLEN").key(key)).await?;
    Ok(dropped_unread(&groups, held))
}

/// What a group has still to read can't be more than there is, unless some of it was dropped.
fn dropped_unread(groups: &[Group], held: u64) -> u64 {
    let slowest = groups.iter().filter_map(|group| group.lag).max();
    slowest.unwrap_or(0).saturating_sub(held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::StreamName;

    fn partition() -> Partition {
        StreamName::new("s").unwrap().partition(0)
    }

    #[test]
    fn a_producer_asks_before_it_refuses_and_after_a_chunk() {
        let counts = HeldCounts::default();
        assert_eq!(counts.take_room(&partition(), 10, 100), None);
        counts.learn(&partition(), 95);
        assert_eq!(counts.take_room(&partition(), 10, 100), Some(5));
        assert_eq!(counts.take_room(&partition(), 10, 100), None);

        counts.learn(&partition(), 0);
        let chunk = usize::try_from(LOOK_AFTER).unwrap();
        assert_eq!(
            counts.take_room(&partition(), 2 * chunk, u64::MAX),
            Some(chunk)
        );
        assert_eq!(counts.take_room(&partition(), 1, u64::MAX), None);
    }

    #[test]
    fn a_look_is_due_at_first_and_after_each_chunk() {
        let counts = HeldCounts::default();
        assert!(counts.is_look_due(&partition(), 1));
        assert!(!counts.is_look_due(&partition(), ENTRIES_MAX - 1));
        assert!(counts.is_look_due(&partition(), 1));
    }

    #[test]
    fn what_is_missing_to_the_slowest_group_was_dropped_unread() {
        let groups = |lags: &[Option<u64>]| -> Vec<Group> {
            lags.iter().map(|lag| Group { lag: *lag }).collect()
        };
        assert_eq!(dropped_unread(&groups(&[Some(3), Some(12), None]), 10), 2);
        assert_eq!(dropped_unread(&groups(&[Some(3)]), 10), 0);
        assert_eq!(dropped_unread(&groups(&[None]), 10), 0);
    }
}
