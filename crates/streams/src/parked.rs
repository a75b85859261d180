//! Parked keys, for the commands of a person: what stands still, and its release.
//!
//! A release is a mark that the partition's owner finds within about a second; if the owner dies
//! in the middle of it, the next one goes on. Entries of the key are then handed out in their
//! order before anything new of it. One that fails again leaves the key parked.

use bytes::Bytes;
use tidegate_store::{EntryId, GroupName, ParkedEntry, Partition, ReadLimit, Store};

use crate::parking::release_mark;
use crate::{Error, Result};

/// Reads up to `limit` parked entries of a group's partition, in their order, with where they are
/// in the parked stream; those after `after` there.
///
/// # Errors
/// The store's; [`Error::Invalid`] for a stream that is no application's.
pub async fn list(
    store: &dyn Store,
    group: &GroupName,
    partition: &Partition,
    after: EntryId,
    limit: ReadLimit,
) -> Result<Vec<(EntryId, ParkedEntry)>> {
    let stream = partition.stream.parked(group).ok_or_else(|| {
        Error::Invalid(format!(
            "the stream {} parks nothing: it is no application's",
            partition.stream
        ))
    })?;
    let entries = store
        .read_after(&stream.partition(partition.index), after, limit)
        .await?;
    let parked = entries.iter().filter_map(|entry| {
        let parked = ParkedEntry::from_entry(entry)?;
        Some((entry.id, parked))
    });
    Ok(parked.collect())
}

/// Asks the owner of a partition to go on with a key.
///
/// # Errors
/// The store's.
pub async fn release(
    store: &dyn Store,
    group: &GroupName,
    partition: &Partition,
    key: &str,
) -> Result<()> {
    let asked = Bytes::from_static(b"1");
    Ok(store
        .set_mark(group, partition, &release_mark(key), asked)
        .await?)
}
