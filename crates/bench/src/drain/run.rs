//! One run of one contestant, in a process of its own.
//!
//! A process of its own, because processor time and the memory's high-water mark are counted by
//! process: the load generator and the other contestants must not be in them. The parent passes
//! the [`Run`] as JSON and reads back one line of JSON; what the run has to say beside it goes to
//! the standard error. If the parent dies, the servers die, and the run fails.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;
use tracing::level_filters::LevelFilter;

use super::workload::Workload;
use super::{baseline, limit, tidegate};
use crate::error::{Error, Result};
use crate::usage::{Processes, Usage};

/// Longer than any run with sensible arguments takes.
const RUN_WITHIN: Duration = Duration::from_secs(900);

/// Who runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Contestant {
    /// COPY from memory.
    Limit,
    /// The drainer without batches.
    Baseline,
    /// Ours.
    Tidegate,
}

/// Everything that a run must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(super) contestant: Contestant,
    pub(super) workload: Workload,
    pub(super) operations: u64,
    pub(super) shards: u32,
    pub(super) batch: u32,
    pub(super) connections: u32,
    pub(super) redis_url: String,
    pub(super) postgres_url: String,
    pub(super) processes: Processes,
}

impl Run {
    /// The name of the command that runs this.
    const COMMAND: &str = "drain-run";

    /// Reads what the parent passed.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Runs, in another process.
    pub(super) async fn spawn(&self) -> Result<Usage> {
        let program = std::env::current_exe().map_err(Error::system("finding this program"))?;
        let child = Command::new(program)
            .args([Self::COMMAND, &serde_json::to_string(self)?])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::system("starting a run"))?;
        let Ok(output) = timeout(RUN_WITHIN, child.wait_with_output()).await else {
            return Err(Error::TooSlow {
                contestant: self.contestant,
                within: RUN_WITHIN,
            });
        };
        let output = output.map_err(Error::system("reading a run's result"))?;
        if !output.status.success() {
            return Err(Error::Run {
                contestant: self.contestant,
                status: output.status,
            });
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Runs, in this process.
    async fn perform(&self) -> Result<Usage> {
        match self.contestant {
            Contestant::Limit => limit::run(self).await,
            Contestant::Baseline => baseline::run(self).await,
            Contestant::Tidegate => tidegate::run(self).await,
        }
    }
}

/// Runs in this process, and returns what the parent reads.
///
/// # Errors
/// Whatever kept the run from its end.
pub(crate) async fn run_one(run: &Run) -> Result<String> {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    Ok(serde_json::to_string(&run.perform().await?)?)
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Limit => "COPY from memory",
            Self::Baseline => "the per-operation drainer",
            Self::Tidegate => "Tidegate",
        })
    }
}
