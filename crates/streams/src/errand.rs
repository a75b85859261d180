//! Errands: the rare calls of a consumer to the store, one at a time beside the usual ones.
//!
//! They move entries to the parked stream and back, and look at the marks that persons set. Each
//! is fenced by the lease where it writes. If the process dies here, an errand was done or not;
//! the next owner begins with what the store says.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tidegate_store::{Entry, EntryId, Lease, ParkedEntry, ReadLimit, Result, Store};

use crate::parking::{self, Step};
use crate::persist::persist;

/// How many parked entries are read at once.
const PAGE: ReadLimit = ReadLimit {
    entries: 1_000,
    bytes: 1 << 20,
};
/// How many entries of a released key are in its lane at once.
const RELEASED_MAX: usize = 100;

/// What an errand has brought.
#[derive(Debug)]
pub(crate) enum Brought {
    /// So many entries were parked.
    Parked(usize),
    /// So many were deleted from the parked stream.
    Unparked(usize),
    /// The next parked entries of a released key, with where they are in the parked stream.
    Released(Vec<(EntryId, ParkedEntry)>),
    /// The mark of a release is gone.
    Cleared,
    /// The marks.
    Marks(BTreeMap<String, Bytes>),
}

/// Errands for one owner.
#[derive(Clone, Debug)]
pub(crate) struct Errands {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) lease: Arc<Lease>,
}

/// An errand on its way.
pub(crate) type Errand = BoxFuture<'static, Result<Brought>>;

impl Errands {
    /// Takes a step of parking.
    pub(crate) fn step(&self, step: Step) -> Errand {
        let Self { store, lease } = self.clone();
        Box::pin(async move {
            match step {
                Step::Park(entries, room) => {
                    persist(|| store.park(&lease, entries.clone())).await?;
                    drop(room);
                    Ok(Brought::Parked(entries.len()))
                }
                Step::Read(key) => {
                    let mut released = Vec::new();
                    let of_key = |id: EntryId, entry: ParkedEntry| {
                        if parking::text(&entry) == key && released.len() < RELEASED_MAX {
                            released.push((id, entry));
                        }
                    };
                    read_parked(&*store, &lease, of_key).await?;
                    Ok(Brought::Released(released))
                }
                Step::Clear(key) => {
                    let name = parking::release_mark(&key);
                    persist(|| store.put_mark(&lease, &name, None)).await?;
                    Ok(Brought::Cleared)
                }
            }
        })
    }

    /// Deletes entries that are done from the parked stream.
    pub(crate) fn unpark(&self, ids: Vec<EntryId>) -> Errand {
        let Self { store, lease } = self.clone();
        Box::pin(async move {
            persist(|| store.unpark(&lease, &ids)).await?;
            Ok(Brought::Unparked(ids.len()))
        })
    }

    /// Looks at the marks.
    pub(crate) fn marks(&self) -> Errand {
        let Self { store, lease } = self.clone();
        Box::pin(async move {
            let marks = persist(|| store.marks(&lease.group, &lease.partition)).await?;
            Ok(Brought::Marks(marks))
        })
    }
}

/// Reads all that is parked of a partition.
pub(crate) async fn read_parked(
    store: &dyn Store,
    lease: &Lease,
    mut each: impl FnMut(EntryId, ParkedEntry),
) -> Result<()> {
    let Some(stream) = lease.partition.stream.parked(&lease.group) else {
        return Ok(());
    };
    let partition = stream.partition(lease.partition.index);
    let mut after = EntryId::ZERO;
    loop {
        let page = persist(|| store.read_after(&partition, after, PAGE)).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = last.id;
        for entry in &page {
            if let Some(parked) = ParkedEntry::from_entry(entry) {
                each(entry.id, parked);
            }
        }
    }
}

/// The entry that was parked, as it was.
pub(crate) fn original(parked: ParkedEntry) -> Entry {
    Entry {
        id: parked.id,
        fields: parked.fields,
    }
}
