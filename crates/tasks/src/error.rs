//! What can go wrong with tasks, named for what the caller can do about it.

use tidegate_streams::BoxError;

/// Why tasks could not be enqueued, run or looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's input is wrong: the text says what, and what is allowed.
    #[error("{0}")]
    Invalid(String),
    /// The arguments of a task can't be written as bytes: nothing was enqueued.
    #[error("the arguments of the task {task} can't be encoded: {source}")]
    Unencodable {
        /// The task's name.
        task: String,
        /// Why not.
        source: BoxError,
    },
    /// Arguments can't be read: another version wrote them, or the key that seals them is missing.
    #[error("the arguments of the task {task} can't be read: {reason}")]
    Unreadable {
        /// The task's name.
        task: String,
        /// Why not.
        reason: String,
    },
    /// The user's database refused what belongs to tasks: the effects or the outbox.
    #[error("the database refused: {0}")]
    Database(#[source] BoxError),
    /// A part of the worker has stopped that never should: this is a defect.
    #[error("a part of the worker has stopped: {0}")]
    Broken(String),
    /// The store could not do its part.
    #[error(transparent)]
    Store(#[from] tidegate_store::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<tidegate_streams::Error> for Error {
    fn from(error: tidegate_streams::Error) -> Self {
        Self::Invalid(error.to_string())
    }
}
