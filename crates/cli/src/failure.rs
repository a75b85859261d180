//! Failures: what went wrong, and what a person can do about it.

use console::style;
use miette::{Report, miette};
use tidegate_drain::Error;
use tidegate_store::Error as StoreError;

use crate::progress::note;

/// Where to look when a server does not answer.
const UNAVAILABLE_HELP: &str = "check that it is running and reachable; `tidegate config show` \
                                names the URL and where it comes from";

/// Prints a report: what failed, why where that isn't said yet, and the help.
pub(crate) fn print(report: &Report) {
    let mut said = report.to_string();
    note(&format!(
        "{} {said}",
        style("error:").red().bold().for_stderr()
    ));
    for cause in report.chain().skip(1).map(ToString::to_string) {
        // Many errors show their source already.
        if !said.contains(&cause) {
            note(&format!("  because {cause}"));
            said.push_str(&cause);
        }
    }
    if let Some(help) = report.help() {
        note(&format!("{} {help}", style("help:").cyan().for_stderr()));
    }
}

/// Explains an error of the drain.
pub(crate) fn drain(error: Error) -> Report {
    let help = match &error {
        Error::Store(error) => return store_failure(error),
        Error::SinkUnavailable(_) => UNAVAILABLE_HELP,
        Error::SinkRefused(_) => {
            "check the user's password and permissions: the drain creates a schema named tidegate \
             once, and writes to it and to your tables"
        }
        Error::TooManyHeld { .. } => "`tidegate drain dead list` shows them",
        Error::Corrupt(_) => {
            "something else wrote to the tables of the schema tidegate; restore them from a backup"
        }
        Error::Fenced { .. } | Error::LedgerMoved { .. } | Error::CatalogStale => {
            "another process took over in the meantime; try again"
        }
        _ => return miette!("{error}"),
    };
    miette!(help = help, "{error}")
}

/// Explains an error of the store.
pub(crate) fn store(error: StoreError) -> Report {
    store_failure(&error)
}

fn store_failure(error: &StoreError) -> Report {
    let help = match error {
        StoreError::Unavailable(_) => UNAVAILABLE_HELP,
        StoreError::Refused(_) => {
            "check the login in store.url, the user's permissions, and that the server is Redis \
             7.0 or newer, or Valkey"
        }
        StoreError::Corrupt(_) => {
            "something else writes to the stream's keys; use another drain.stream, or stop it"
        }
        _ => return miette!("{error}"),
    };
    miette!(help = help, "{error}")
}
