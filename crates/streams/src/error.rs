//! What can go wrong in streams, named for what the caller can do about it.

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
    /// The store could not do its part.
    #[error(transparent)]
    Store(#[from] tidegate_store::Error),
    /// The ownership of partitions ended.
    #[error(transparent)]
    Cluster(#[from] tidegate_cluster::Error),
}
