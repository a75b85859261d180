//! One run of one contestant.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::workload::Workload;
use super::{baseline, limit, tidegate};
use crate::error::Result;
use crate::subprocess;
use crate::usage::{Processes, Usage};

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
        subprocess::spawn(Self::COMMAND, &self.contestant.to_string(), self).await
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
    Box::pin(subprocess::perform(run.perform())).await
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
