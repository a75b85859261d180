//! What can go wrong, named for what the caller can do about it.

/// What every operation answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server, or what it was asked.
    #[error(transparent)]
    Store(#[from] tidegate_store::Error),
    /// What was to be sent can't be: the text says why. Nothing was sent.
    #[error("not sent: {0}")]
    Unsendable(String),
    /// What is kept as a result is none.
    #[error("a result that can't be read: {0}")]
    Unreadable(String),
}
