//! Connecting: from the settings to an open store and an open sink.
//!
//! Errors name the setting and never show a password. Nothing is kept open here: if the process
//! dies, its servers notice by themselves.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use secrecy::ExposeSecret;
use tidegate_drain::tenants::Ends;
use tidegate_drain::{PostgresSink, Sink, SqliteSink};
use tidegate_store::{Store, StoreUrl};

use crate::Settings;
use crate::address::{SinkUrl, redact};
use crate::tables;

/// Why one end can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("{key} = {url}: {problem}")]
pub struct Error {
    /// The setting that names the end.
    pub key: &'static str,
    /// Its value, without a password.
    pub url: String,
    /// What is wrong.
    #[source]
    pub problem: Problem,
}

/// What is wrong with an end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The URL can't be read: what is allowed.
    #[error("{0}")]
    Url(String),
    /// SQLite creates a missing file, and not its folder.
    #[error("there is no folder {}", .0.display())]
    NoFolder(PathBuf),
    /// The store says so.
    #[error(transparent)]
    Store(#[from] tidegate_store::Error),
    /// The sink says so.
    #[error(transparent)]
    Sink(tidegate_drain::Error),
}

/// Opens the store and the sink.
///
/// # Errors
/// Which of the two can't be opened, and why.
pub async fn open(settings: &Settings) -> Result<Ends, Error> {
    let store = store(settings).await?;
    let sink = sink(settings).await?;
    Ok(Ends { store, sink })
}

/// Opens the store.
///
/// # Errors
/// Why it can't be opened.
pub async fn store(settings: &Settings) -> Result<Arc<dyn Store>, Error> {
    let url = settings.store_url.expose_secret();
    let failed = |problem| failed("store.url", url, problem);
    let address = StoreUrl::parse(url).map_err(|error| failed(error.into()))?;
    if let StoreUrl::Sqlite(file) = &address {
        require_folder(file).map_err(failed)?;
    }
    let opened = tidegate_store::connect(&address).await;
    opened.map_err(|error| failed(error.into()))
}

/// Opens the sink.
///
/// # Errors
/// Why it can't be opened.
pub async fn sink(settings: &Settings) -> Result<Arc<dyn Sink>, Error> {
    let url = settings.sink_url.expose_secret();
    let failed = |problem| failed("sink.url", url, problem);
    match SinkUrl::parse(url).map_err(|allowed| failed(Problem::Url(allowed)))? {
        SinkUrl::Sqlite(file) => {
            require_folder(&file).map_err(failed)?;
            let opened = SqliteSink::open(&file).await;
            Ok(Arc::new(
                opened.map_err(|error| failed(Problem::Sink(error)))?,
            ))
        }
        SinkUrl::Postgres => {
            let opened = PostgresSink::connect(url, settings.postgres.clone()).await;
            Ok(Arc::new(
                opened.map_err(|error| failed(Problem::Sink(error)))?,
            ))
        }
    }
}

/// Opens the ends of one tenant whenever the drain asks for them, and holds its policies against
/// its tables.
pub struct Connector(pub Settings);

impl tidegate_drain::tenants::Connect for Connector {
    fn connect(&self) -> BoxFuture<'_, tidegate_drain::Result<Ends>> {
        Box::pin(async {
            let ends = open(&self.0).await.map_err(tidegate_drain::Error::from)?;
            let checked = tables::check(&self.0, &*ends.sink).await;
            checked.map_err(|fault| match fault {
                crate::Error::NoCatalog(error) => error,
                fault => tidegate_drain::Error::Invalid(fault.to_string()),
            })?;
            Ok(ends)
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The settings hold passwords, which hide themselves; the stream is enough to know it by.
        f.debug_tuple("Connector")
            .field(&self.0.drain.stream)
            .finish()
    }
}

impl From<Error> for tidegate_drain::Error {
    fn from(error: Error) -> Self {
        match error.problem {
            Problem::Store(source) => Self::Store(source),
            Problem::Sink(source) => source,
            Problem::Url(_) | Problem::NoFolder(_) => Self::Invalid(error.to_string()),
        }
    }
}

fn failed(key: &'static str, url: &str, problem: Problem) -> Error {
    Error {
        key,
        url: redact(url),
        problem,
    }
}

fn require_folder(file: &Path) -> Result<(), Problem> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(Problem::NoFolder(folder.to_owned()))
        }
        _ => Ok(()),
    }
}
