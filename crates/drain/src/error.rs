//! What can go wrong in the drain, named for what the caller can do about it.

use tidegate_store::{Epoch, Partition};

/// The database driver's own error.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// What every operation of the drain answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the drain could not go on. A bad entry is never an error: it becomes a dead letter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The ledger knows a newer owner of the shard: stop working on it; nothing was written.
    #[error("shard {shard} is fenced: our epoch is {epoch}, the ledger has {ledger_epoch}")]
    Fenced {
        /// The shard.
        shard: Partition,
        /// Ours.
        epoch: Epoch,
        /// The newer one.
        ledger_epoch: Epoch,
    },
    /// The ledger moved while a transaction was open: a person retried or discarded dead letters,
    /// or a commit whose answer was lost did take place. Read the ledger again and go on from it.
    #[error("the ledger of shard {shard} has changed; the transaction was rolled back")]
    LedgerMoved {
        /// The shard.
        shard: Partition,
    },
    /// The target database can't be reached, is restarting, is full, or chose this transaction as
    /// the victim of a deadlock: the same may succeed later.
    #[error("the target database is unavailable: {0}")]
    SinkUnavailable(#[source] Source),
    /// The target database refuses the drain itself (a login, a permission): somebody has to
    /// change something.
    #[error("the target database refused: {0}")]
    SinkRefused(#[source] Source),
    /// An operation names something that the catalog doesn't hold, and the catalog is not new:
    /// read it again, then apply the batch again.
    #[error("the catalog is out of date")]
    CatalogStale,
    /// As many entries are held as may be: nothing more is read from the shard until some of them
    /// are retried or discarded.
    #[error(
        "shard {shard} holds {held} dead letters and parked entries, as many as drain.held_max \
         allows; retry or discard some (`tidegate drain dead list`)"
    )]
    TooManyHeld {
        /// The shard.
        shard: Partition,
        /// How many it holds.
        held: usize,
    },
    /// The log.
    #[error(transparent)]
    Store(#[from] tidegate_store::Error),
    /// The caller's input is wrong: the text says what, and what is allowed.
    #[error("{0}")]
    Invalid(String),
    /// Tidegate's own tables in the target hold something that Tidegate did not write.
    #[error("the ledger holds something unexpected: {0}")]
    Corrupt(String),
}

impl Error {
    /// Whether waiting may be enough. A refusal counts: the drain keeps its place until somebody
    /// has given it the permission.
    #[must_use]
    pub fn is_worth_waiting(&self) -> bool {
        match self {
            Self::SinkUnavailable(_)
            | Self::SinkRefused(_)
            | Self::LedgerMoved { .. }
            | Self::CatalogStale
            | Self::TooManyHeld { .. } => true,
            Self::Store(source) => source.is_transient(),
            Self::Fenced { .. } | Self::Invalid(_) | Self::Corrupt(_) => false,
        }
    }
}

impl Error {
    /// Whether the shard is no longer ours: another worker goes on with it.
    #[must_use]
    pub fn is_lease_lost(&self) -> bool {
        let lost = |source: &tidegate_store::Error| {
            matches!(source, tidegate_store::Error::LeaseLost { .. })
        };
        match self {
            Self::Fenced { .. } => true,
            Self::Store(source) => lost(source),
            _ => false,
        }
    }

    /// A word for the kind of error, for metrics: there are few of them, and they don't change.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "fenced",
            Self::LedgerMoved { .. } => "ledger_moved",
            Self::SinkUnavailable(_) => "sink_unavailable",
            Self::SinkRefused(_) => "sink_refused",
            Self::CatalogStale => "catalog_stale",
            Self::TooManyHeld { .. } => "too_many_held",
            Self::Store(tidegate_store::Error::LeaseLost { .. }) => "lease_lost",
            Self::Store(source) if source.is_transient() => "store_unavailable",
            Self::Store(_) => "store_refused",
            Self::Invalid(_) => "invalid",
            Self::Corrupt(_) => "corrupt",
        }
    }
}

impl From<tidegate_cluster::Error> for Error {
    fn from(error: tidegate_cluster::Error) -> Self {
        match error {
            tidegate_cluster::Error::Store(source) => Self::Store(source),
            other => Self::Invalid(other.to_string()),
        }
    }
}
