//! One run of one contestant, in a process of its own.
//!
//! A process of its own, because processor time and the memory's high-water mark are counted by
//! process: the load generator and the other contestants must not be in them. The parent passes
//! the run as JSON and reads back one line of JSON; what the run has to say beside it goes to
//! the standard error. If the parent dies, the servers die, and the run fails.

use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::process::Command;
use tokio::time::timeout;
use tracing::level_filters::LevelFilter;

use crate::error::{Error, Result};

/// Longer than any run with sensible arguments takes.
pub(crate) const RUN_WITHIN: Duration = Duration::from_secs(900);

/// Runs `command` of this program in another process, for `contestant`.
pub(crate) async fn spawn<T: DeserializeOwned>(
    command: &str,
    contestant: &str,
    run: &impl Serialize,
) -> Result<T> {
    let program = std::env::current_exe().map_err(Error::system("finding this program"))?;
    let child = Command::new(program)
        .args([command, &serde_json::to_string(run)?])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::system("starting a run"))?;
    let Ok(output) = timeout(RUN_WITHIN, child.wait_with_output()).await else {
        return Err(Error::TooSlow {
            contestant: contestant.to_owned(),
            within: RUN_WITHIN,
        });
    };
    let output = output.map_err(Error::system("reading a run's result"))?;
    if !output.status.success() {
        return Err(Error::Run {
            contestant: contestant.to_owned(),
            status: output.status,
        });
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Performs a run in this process, and returns what the parent reads.
///
/// # Errors
/// Whatever kept the run from its end.
pub(crate) async fn perform<T: Serialize>(run: impl Future<Output = Result<T>>) -> Result<String> {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    Ok(serde_json::to_string(&run.await?)?)
}
