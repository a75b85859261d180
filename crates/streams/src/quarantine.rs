//! Quarantine: a partition that stands still until a person releases it.
//!
//! It is a mark in the store, so it outlives workers: every later owner sees it first and waits.
//! A person releases the partition by clearing the mark, and the entry that failed is then the
//! first to be handed out. If the process dies before the mark is written, the entry fails again.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidegate_store::{GroupName, Partition, Store};

use crate::Result;

/// The mark's name.
pub(crate) const MARK: &str = "quarantine";
/// The most bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 4_096;

/// Why a partition stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// The entry that failed.
    pub entry: String,
    /// Why.
    pub reason: String,
    /// Since when: UTC, ISO 8601.
    pub since: String,
}

impl Quarantine {
    pub(crate) fn new(entry: String, reason: &str, since: String) -> Self {
        let reason = reason.chars().take(REASON_BYTES_MAX / 4).collect();
        Self {
            entry,
            reason,
            since,
        }
    }

    pub(crate) fn to_mark(&self) -> Bytes {
        // Text can always be written as JSON.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// Whether a group's partition is in quarantine, and why. A mark that can't be read, as a person
/// may have set it, counts.
///
/// # Errors
/// The store's.
pub async fn look(
    store: &dyn Store,
    group: &GroupName,
    partition: &Partition,
) -> Result<Option<Quarantine>> {
    let marks = store.marks(group, partition).await?;
    Ok(marks.get(MARK).map(|mark| {
        serde_json::from_slice(mark).unwrap_or_else(|_| Quarantine {
            entry: String::new(),
            reason: String::from_utf8_lossy(mark).into_owned(),
            since: String::new(),
        })
    }))
}

/// Releases a partition. Answers whether it was in quarantine.
///
/// # Errors
/// The store's.
pub async fn release(store: &dyn Store, group: &GroupName, partition: &Partition) -> Result<bool> {
    Ok(store.clear_mark(group, partition, MARK).await?)
}
