//! What can go wrong in streams, named for what the caller can do about it.

use tidegate_store::{EntryId, Partition};

/// A failure of the user's own code.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a stream could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's input is wrong: the text says what, and what is allowed.
    #[error("{0}")]
    Invalid(String),
    /// A record can't be written as an entry.
    #[error("the record can't be encoded: {0}")]
    Unencodable(#[source] BoxError),
    /// The record was not sent, since one before it in the same call failed: it can be sent again.
    #[error("not sent: a record before it failed")]
    NotTried,
    /// An event failed and its processor's policy is to halt: the worker has stopped. The entry is
    /// not acknowledged and stays the first of its partition. Mend what it fails on, and start again.
    #[error("processor {processor} halted at entry {id} of {partition}: {source}")]
    Halted {
        /// The processor's name.
        processor: String,
        /// The partition.
        partition: Partition,
        /// The entry.
        id: EntryId,
        /// What the processor's function said.
        source: BoxError,
    },
    /// A processor whose policy is to halt failed while it had no event in hand.
    #[error("processor {processor} failed on {partition} with no event in hand: {source}")]
    Failed {
        /// The processor's name.
        processor: String,
        /// The partition.
        partition: Partition,
        /// What the processor's function said.
        source: BoxError,
    },
    /// The partition is another worker's now: end the function; what is in hand will be handed
    /// out by the new owner.
    #[error("{partition} is no longer this worker's")]
    LeaseLost {
        /// The partition.
        partition: Partition,
    },
    /// Another command is at work there: try again when it has ended.
    #[error("another command is at work on {partition}; try again when it has ended")]
    Busy {
        /// The partition.
        partition: Partition,
    },
    /// A part of the worker has stopped that never should: this is a defect.
    #[error("a part of the worker has stopped: {0}")]
    Broken(String),
    /// The store could not do its part.
    #[error(transparent)]
    Store(#[from] tidegate_store::Error),
    /// The ownership of partitions ended.
    #[error(transparent)]
    Cluster(#[from] tidegate_cluster::Error),
}

impl Error {
    /// Whether the partition belongs to another owner now.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::LeaseLost { .. } | Self::Store(tidegate_store::Error::LeaseLost { .. })
        )
    }
}
