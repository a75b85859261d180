//! Appending with promises: how durable, how many, and how often.
//!
//! The caller says what it wants in [`AppendOptions`], and the backends keep to it. Here is only
//! what both have in common: the words, and how one result for each entry becomes one for all.

use std::sync::Arc;
use std::time::Duration;

use crate::entry::{EntryId, NewEntry};
use crate::error::{Error, Source};
use crate::stream::Partition;

/// The most bytes a request id may have: it becomes part of a key.
pub const REQUEST_ID_BYTES_MAX: usize = 512;
/// The longest window in which a repeated append is known.
pub const IDEMPOTENCE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What an append is to promise. The default promises what the backend is configured for, and
/// takes every entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendOptions {
    /// Where the entries must be before the append returns.
    pub durability: Durability,
    /// How many entries a partition may hold.
    pub bound: Bound,
    /// For how long a second append of the same request id to the same partition is known, and
    /// appends nothing. At most [`IDEMPOTENCE_MAX`]; an entry without a request id is always
    /// appended.
    pub idempotence: Option<Duration>,
}

/// Where an entry must be before an append returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Where the backend keeps it by itself: in a Redis server's memory, or what its
    /// `appendfsync` adds to it; on the disk in the embedded store.
    #[default]
    Memory,
    /// In the memory of so many replicas besides the server itself.
    Replicated {
        /// How many; at least 1.
        replicas: u32,
    },
    /// On the server's disk.
    Fsynced,
}

/// How many entries a partition may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bound {
    /// As many as the backend has room for.
    #[default]
    None,
    /// Refuse with [`Error::Full`](crate::Error) what would exceed this many, until an owner has
    /// trimmed. Each call that is under way at once may overshoot it by one chunk of 500 entries
    /// on Redis, whose count is not asked for each entry; the embedded store is exact.
    HighWater(u64),
    /// Delete the oldest entries beyond about this many, read or not. What was dropped unread is
    /// logged, as far as the backend knows it.
    DropOldest(u64),
    /// None: what was appended before, by its request id, is answered, and anything else refused
    /// with [`Error::Sealed`](crate::Error). It asks a [sealed](crate::Store::seal) partition what
    /// it knows.
    Closed,
}

/// An entry that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its id; for a repeated append the id that the first one was given.
    pub id: EntryId,
    /// Whether it was there already, by its request id.
    pub duplicate: bool,
}

/// Some of the entries were appended before this happened.
#[derive(Debug, thiserror::Error)]
#[error("at least {appended} of {total} entries were appended, then: {source}")]
struct PartlyAppended {
    appended: usize,
    total: usize,
    source: Source,
}

/// The failure of a chunk, told to each of its entries.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
struct Shared(#[source] Arc<Error>);

/// Checks what can be checked without the backend.
///
/// # Errors
/// [`Error::Invalid`], and then nothing may be appended.
pub(crate) fn check_options(options: &AppendOptions) -> Result<(), Error> {
    let AppendOptions {
        durability,
        bound,
        idempotence,
    } = options;
    if *durability == (Durability::Replicated { replicas: 0 }) {
        return Err(Error::Invalid("0 replicas: ask for at least 1".into()));
    }
    if matches!(bound, Bound::HighWater(0) | Bound::DropOldest(0)) {
        return Err(Error::Invalid(
            "a bound of 0 entries: use at least 1".into(),
        ));
    }
    match idempotence {
        Some(window) if *window > IDEMPOTENCE_MAX || window.as_millis() == 0 => {
            Err(Error::Invalid(format!(
                "a window of {window:?} for request ids: use 1 ms to {} days",
                IDEMPOTENCE_MAX.as_secs() / 86_400
            )))
        }
        _ => Ok(()),
    }
}

/// Checks one entry.
///
/// # Errors
/// [`Error::Invalid`]: this entry must not be appended.
pub(crate) fn check_entry(entry: &NewEntry) -> Result<(), Error> {
    let partition = &entry.partition;
    if entry.fields.is_empty() {
        return Err(Error::Invalid(format!(
            "an entry for {partition} has no field; it needs at least one"
        )));
    }
    match &entry.request_id {
        Some(id) if id.is_empty() || id.len() > REQUEST_ID_BYTES_MAX => Err(Error::Invalid(
            format!("an entry for {partition}: a request id has 1 to {REQUEST_ID_BYTES_MAX} bytes"),
        )),
        _ => Ok(()),
    }
}

/// One failure for several entries, which keeps its kind.
pub(crate) fn repeated(failure: Error) -> impl Fn() -> Error {
    let failure = Arc::new(failure);
    move || {
        let shared = || Box::new(Shared(Arc::clone(&failure)));
        match &*failure {
            Error::LeaseLost { partition, epoch } => Error::LeaseLost {
                partition: partition.clone(),
                epoch: *epoch,
            },
            Error::Full {
                partition,
                held,
                high_water,
            } => full(partition, *held, *high_water),
            Error::Sealed { partition } => sealed(partition),
            Error::NotDurable { id, reason } => Error::NotDurable {
                id: *id,
                reason: reason.clone(),
            },
            Error::Unavailable(_) => Error::Unavailable(shared()),
            Error::Refused(_) => Error::Refused(shared()),
            Error::Invalid(text) => Error::Invalid(text.clone()),
            Error::Corrupt(text) => Error::Corrupt(text.clone()),
            Error::FenceLost { task, fence } => Error::FenceLost {
                task: *task,
                fence: *fence,
            },
            Error::WorkerLost { queue, worker } => Error::WorkerLost {
                queue: queue.clone(),
                worker: *worker,
            },
        }
    }
}

/// The refusal at a high-water mark.
pub(crate) fn full(partition: &Partition, held: u64, high_water: u64) -> Error {
    Error::Full {
        partition: partition.clone(),
        held,
        high_water,
    }
}

/// The refusal of a sealed partition.
pub(crate) fn sealed(partition: &Partition) -> Error {
    Error::Sealed {
        partition: partition.clone(),
    }
}

/// The ids of a whole append, or its first failure, which says how far it got.
pub(crate) fn all_appended(results: Vec<Result<Appended, Error>>) -> Result<Vec<EntryId>, Error> {
    let (total, mut ids) = (results.len(), Vec::with_capacity(results.len()));
    let mut failure = None;
    for result in results {
        match result {
            Ok(appended) => ids.push(appended.id),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(failure) => Err(partly(failure, ids.len(), total)),
        None => Ok(ids),
    }
}

fn partly(failure: Error, appended: usize, total: usize) -> Error {
    let partly = |source| {
        Box::new(PartlyAppended {
            appended,
            total,
            source,
        })
    };
    match failure {
        Error::Unavailable(source) => Error::Unavailable(partly(source)),
        Error::Refused(source) => Error::Refused(partly(source)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_how_far_it_got_and_keeps_its_kind() {
        let appended = Appended {
            id: EntryId::ZERO,
            duplicate: false,
        };
        let again = repeated(Error::Unavailable("full".into()));
        let results = vec![Ok(appended), Ok(appended), Err(again()), Err(again())];
        let failure = all_appended(results).unwrap_err();
        assert!(failure.is_transient());
        let text = failure.to_string();
        assert!(
            text.contains("at least 2 of 4 entries were appended"),
            "{text}"
        );
        assert!(text.ends_with("full"), "{text}");
    }

    #[test]
    fn options_that_promise_nothing_are_invalid() {
        let with = |change: fn(&mut AppendOptions)| {
            let mut options = AppendOptions::default();
            change(&mut options);
            check_options(&options)
        };
        assert!(with(|_| ()).is_ok());
        for change in [
            (|options| options.bound = Bound::HighWater(0)) as fn(&mut AppendOptions),
            |options| options.bound = Bound::DropOldest(0),
            |options| options.durability = Durability::Replicated { replicas: 0 },
            |options| options.idempotence = Some(Duration::ZERO),
            |options| options.idempotence = Some(Duration::MAX),
        ] {
            assert!(matches!(with(change), Err(Error::Invalid(_))));
        }
    }
}
