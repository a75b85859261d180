//! Why an ownership could not start, or ended by itself.

/// Why [`Ownership`](crate::Ownership) could not start, or ended before its shutdown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The options are wrong: the text says what, and what is allowed.
    #[error("{0}")]
    Invalid(String),
    /// The store refused a call, and will again until something is changed. Every owner has been
    /// told that its lease is lost.
    #[error("ownership can't go on: {0}")]
    Store(#[from] tidegate_store::Error),
}
