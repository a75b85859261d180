//! What can go wrong in a store, named for what the caller can do about it.

use crate::entry::EntryId;
use crate::lease::{Epoch, WorkerId};
use crate::stream::Partition;
use crate::task::{Fence, QueueName, TaskId};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another owner has taken the partition: stop working on it; nothing was changed.
    #[error("the lease on {partition} with epoch {epoch} is lost; another worker may own it")]
    LeaseLost {
        /// The partition.
        partition: Partition,
        /// The epoch that is stale.
        epoch: Epoch,
    },
    /// The partition holds as many entries as the caller allows: nothing was appended. It has room
    /// again when its owners have acknowledged and trimmed.
    #[error("{partition} is full: it holds {held} entries, and {high_water} are allowed")]
    Full {
        /// The partition.
        partition: Partition,
        /// How many entries it holds.
        held: u64,
        /// How many the caller allows.
        high_water: u64,
    },
    /// The partition takes nothing more, for ever: nothing was appended. Its stream has other
    /// partitions now; ask which, and append there.
    #[error("{partition} is sealed; the stream has other partitions now")]
    Sealed {
        /// The partition.
        partition: Partition,
    },
    /// The entry was appended, but is not known to be as durable as was asked. Appending it again
    /// adds it a second time, unless it has a request id.
    #[error("entry {id} was appended, but is not as durable as asked: {reason}")]
    NotDurable {
        /// The entry.
        id: EntryId,
        /// What is missing.
        reason: String,
    },
    /// The task is no longer in the caller's hands: its worker was taken for dead, and another
    /// attempt may be under way. Nothing was changed.
    #[error("the attempt {fence} at task {task} is over; another one may hold the task")]
    FenceLost {
        /// The task.
        task: TaskId,
        /// The token that is stale.
        fence: Fence,
    },
    /// The worker is taken for dead by the queue: it beats before it takes again.
    #[error("worker {worker} has given no sign of life to the queue {queue}")]
    WorkerLost {
        /// The queue.
        queue: QueueName,
        /// The worker.
        worker: WorkerId,
    },
    /// The server can't be reached, is loading or shutting down, or the file is locked: the same
    /// call may succeed later. Whether this call took effect is not known.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] Source),
    /// The store refused the call, and will again until something is changed.
    #[error("the store refused: {0}")]
    Refused(#[source] Source),
    /// The caller's input is wrong: the text says what, and what is allowed.
    #[error("{0}")]
    Invalid(String),
    /// What the store holds under one of Tidegate's keys is not what Tidegate writes there.
    #[error("the store holds something unexpected: {0}")]
    Corrupt(String),
}

/// The backend's own error.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

impl Error {
    /// Whether the same call may succeed later, with nothing changed but time.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
