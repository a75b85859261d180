//! Why nothing could be measured, or what was measured does not count.

/// What every step of a measurement answers.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A server of our own did not start.
    #[error(transparent)]
    Testkit(#[from] tidegate_testkit::Error),
    /// PostgreSQL, asked by the bench itself.
    #[error("PostgreSQL: {}", with_cause(.0))]
    Sql(#[from] tokio_postgres::Error),
    /// No connection of the pool.
    #[error("PostgreSQL: {0}")]
    Pool(#[from] deadpool_postgres::PoolError),
    /// The pool could not be made.
    #[error("PostgreSQL: {0}")]
    PoolBuild(#[from] deadpool_postgres::BuildError),
    /// Redis, asked by the bench itself.
    #[error("Redis: {0}")]
    Redis(#[from] rustis::Error),
    /// The store, as a part of Tidegate.
    #[error(transparent)]
    Store(#[from] tidegate_store::Error),
    /// The drain, as a part of Tidegate.
    #[error(transparent)]
    Drain(#[from] tidegate_drain::Error),
    /// Streams, as a part of Tidegate.
    #[error(transparent)]
    Streams(#[from] tidegate_streams::Error),
    /// Tasks, as a part of Tidegate.
    #[error(transparent)]
    Tasks(#[from] tidegate_tasks::Error),
    /// The operating system.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// JSON that the bench itself wrote.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A task of a run panicked.
    #[error("a task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The process of one run failed.
    #[error("the run of {contestant} failed ({status})")]
    Run {
        /// Whose run it was.
        contestant: String,
        /// How its process ended.
        status: std::process::ExitStatus,
    },
    /// A run did not come to its end.
    #[error("{contestant} was not done within {within:?}")]
    TooSlow {
        /// Whose run it was.
        contestant: String,
        /// How long it was given.
        within: std::time::Duration,
    },
    /// The table does not hold what it must, so the run's time means nothing.
    #[error("{contestant} left a wrong result: {found}; it must be {expected}")]
    WrongResult {
        /// Whose result it is.
        contestant: String,
        /// What was found.
        found: String,
        /// What must be.
        expected: String,
    },
    /// Something that cannot be so.
    #[error("{0}")]
    Unexpected(String),
}

impl Error {
    /// An error of the operating system, with what was being done.
    pub(crate) fn system(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}

/// The client's errors say little without their cause.
fn with_cause(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
