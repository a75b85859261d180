//! Connecting: from the settings to an open store and an open sink.

use std::sync::Arc;

use miette::{Report, miette};
use tidegate_drain::Sink;
use tidegate_settings::connect::{self, Problem};
use tidegate_store::Store;

pub(crate) use tidegate_drain::tenants::Ends;

use crate::config::Settings;
use crate::failure;

/// Opens the store and the sink.
///
/// # Errors
/// Which of the two can't be opened, and why.
pub(crate) async fn open(settings: &Settings) -> miette::Result<Ends> {
    connect::open(settings).await.map_err(explained)
}

/// Opens the store.
///
/// # Errors
/// Why it can't be opened.
pub(crate) async fn store(settings: &Settings) -> miette::Result<Arc<dyn Store>> {
    connect::store(settings).await.map_err(explained)
}

/// Opens the sink.
///
/// # Errors
/// Why it can't be opened.
pub(crate) async fn sink(settings: &Settings) -> miette::Result<Arc<dyn Sink>> {
    connect::sink(settings).await.map_err(explained)
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

/// Adds what a person can do about it.
fn explained(error: connect::Error) -> Report {
    let text = error.to_string();
    let report = match error.problem {
        Problem::NoFolder(_) => {
            return miette!(help = "create it, or name another file", "{text}");
        }
        Problem::Store(error) => failure::store(error),
        Problem::Sink(error) => failure::drain(error),
        _ => return miette!("{text}"),
    };
    match report.help() {
        Some(help) => miette!(help = help.to_string(), "{text}"),
        None => miette!("{text}"),
    }
}
