//! What can go wrong in an application, named for what the caller can do about it.

use tidegate_streams::BoxError;

/// Why an application could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's input is wrong: the text says what, and what is allowed.
    #[error("{0}")]
    Invalid(String),
    /// Streams could not do their part.
    #[error(transparent)]
    Streams(#[from] tidegate_streams::Error),
    /// Tasks could not do their part.
    #[error(transparent)]
    Tasks(#[from] tidegate_tasks::Error),
    /// The store could not do its part.
    #[error(transparent)]
    Store(#[from] tidegate_store::Error),
    /// A file could not be read, or the output not be written.
    #[error("{what}: {source}")]
    File {
        /// Which one, and what was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Some lines of a file were not sent.
    #[error("{refused} of {total} records were not sent; each is named above")]
    NotAllSent {
        /// How many were not.
        refused: u64,
        /// How many there were.
        total: u64,
    },
    /// A record that was given as JSON is none.
    #[error("record {place}: {source}")]
    Record {
        /// Its line in the file.
        place: u64,
        /// Why it is none.
        source: BoxError,
    },
}

impl Error {
    /// A failure of the system, with what was being done.
    pub(crate) fn file(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::File { what, source }
    }
}
