//! Connecting: from the settings to an open store and an open sink.

use std::path::Path;
use std::sync::Arc;

use miette::{Report, miette};
use secrecy::ExposeSecret;
use tidegate_drain::{PostgresSink, Sink, SqliteSink};
use tidegate_store::{Store, StoreUrl};

use crate::config::Settings;
use crate::config::address::{SinkUrl, redact};
use crate::failure;

/// Both ends of the drain.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// Where the stream is.
    pub(crate) store: Arc<dyn Store>,
    /// Where the tables are.
    pub(crate) sink: Arc<dyn Sink>,
}

/// Opens the store and the sink.
///
/// # Errors
/// Which of the two can't be opened, and why.
pub(crate) async fn open(settings: &Settings) -> miette::Result<Ends> {
    let store = store(settings).await?;
    let sink = sink(settings).await?;
    Ok(Ends { store, sink })
}

/// Opens the store.
///
/// # Errors
/// Why it can't be opened.
pub(crate) async fn store(settings: &Settings) -> miette::Result<Arc<dyn Store>> {
    let url = settings.store_url.expose_secret();
    let address = StoreUrl::parse(url).map_err(failure::store)?;
    if let StoreUrl::Sqlite(file) = &address {
        require_folder("store.url", url, file)?;
    }
    let failed = |error| naming("store.url", url, failure::store(error));
    tidegate_store::connect(&address).await.map_err(failed)
}

/// Opens the sink.
///
/// # Errors
/// Why it can't be opened.
pub(crate) async fn sink(settings: &Settings) -> miette::Result<Arc<dyn Sink>> {
    let url = settings.sink_url.expose_secret();
    let failed = |error| naming("sink.url", url, failure::drain(error));
    Ok(
        match SinkUrl::parse(url).map_err(|allowed| miette!("sink.url: {allowed}"))? {
            SinkUrl::Sqlite(file) => {
                require_folder("sink.url", url, &file)?;
                Arc::new(SqliteSink::open(&file).await.map_err(failed)?)
            }
            SinkUrl::Postgres => {
                let options = settings.postgres.clone();
                Arc::new(PostgresSink::connect(url, options).await.map_err(failed)?)
            }
        },
    )
}

/// Opens the sink with the drain's own tables in place, for a command that reads them before any
/// worker has run.
///
/// # Errors
/// As [`sink`], and what keeps the tables from being created.
pub(crate) async fn prepared_sink(settings: &Settings) -> miette::Result<Arc<dyn Sink>> {
    let sink = sink(settings).await?;
    sink.prepare().await.map_err(failure::drain)?;
    Ok(sink)
}

/// SQLite creates a missing file and not its folder, and does not say which one is missing.
fn require_folder(key: &str, url: &str, file: &Path) -> miette::Result<()> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(miette!(
            help = "create it, or name another file",
            "{key} = {url}: there is no folder {}",
            folder.display()
        )),
        _ => Ok(()),
    }
}

/// Says of which setting a failure speaks.
fn naming(key: &str, url: &str, report: Report) -> Report {
    let text = format!("{key} = {}: {report}", redact(url));
    match report.help() {
        Some(help) => miette!(help = help.to_string(), "{text}"),
        None => miette!("{text}"),
    }
}
