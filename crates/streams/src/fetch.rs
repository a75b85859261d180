//! Fetching: the next entries of a partition, or a sleep until there are some.
//!
//! A new owner reads what is pending first, page by page, and then what is new. It guarantees
//! that no entry is passed over: after a call without an answer, which may have made entries
//! pending, it reads what is pending behind the last entry it has seen. If the process dies here,
//! what was fetched is pending, and the next owner begins with it.

use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{Entry, EntryId, Fetch, Lease, ReadLimit, Result};

use crate::executor::Shared;
use crate::persist::Pauses;

/// How long an idle partition sleeps when nothing wakes it.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// What a fetch brought, and where to go on.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) entries: Vec<Entry>,
    pub(crate) next: Fetch,
}

/// Fetches entries for the owner of a partition; `delivered` is the last one that the group has
/// been given.
///
/// # Errors
/// What the store refuses; `LeaseLost` for an owner that is none any more.
pub(crate) async fn fetch(
    shared: Arc<Shared>,
    lease: Arc<Lease>,
    mut next: Fetch,
    delivered: EntryId,
    limit: ReadLimit,
) -> Result<Fetched> {
    let mut pauses = Pauses::default();
    loop {
        let entries = match shared.store.fetch(&lease, next, limit).await {
            Ok(entries) => entries,
            Err(error) if error.is_transient() => {
                if next == Fetch::New {
                    next = Fetch::Pending(delivered);
                }
                pauses.pause().await;
                continue;
            }
            Err(error) => return Err(error),
        };
        pauses.reset();
        let was_new = next == Fetch::New;
        next = match entries.last() {
            Some(last) if !was_new => Fetch::Pending(last.id),
            _ => Fetch::New,
        };
        if !entries.is_empty() {
            return Ok(Fetched { entries, next });
        }
        if was_new {
            let (arrivals, partition) = (&shared.arrivals, &lease.partition);
            arrivals.sleep(partition, delivered, IDLE_MAX).await;
        }
    }
}
