//! One run of one contestant.

use std::fmt;

use serde::{Deserialize, Serialize};
use tidegate_streams::StreamSpec;

use super::{APP, STREAM, processing, raw, sending};
use crate::error::Result;
use crate::subprocess;
use crate::usage::{Processes, Usage};

/// Who runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Contestant {
    /// XADD, pipelined.
    RawSend,
    /// Our sender, in batches.
    Send,
    /// XREADGROUP and XACK in a loop.
    RawLoop,
    /// Our processor: batches of raw entries.
    RawBatches,
    /// Our processor: batches of typed records.
    TypedBatches,
    /// Our processor: typed records, one by one.
    TypedSingle,
}

impl Contestant {
    /// Those who send; the last one leaves what the readers read.
    pub(super) const SENDERS: [Self; 2] = [Self::RawSend, Self::Send];
    /// Those who read.
    pub(super) const READERS: [Self; 4] = [
        Self::RawLoop,
        Self::RawBatches,
        Self::TypedBatches,
        Self::TypedSingle,
    ];
}

/// Everything that a run must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(super) contestant: Contestant,
    pub(super) round: u32,
    pub(super) events: u64,
    pub(super) partitions: u32,
    pub(super) count: u32,
    pub(super) redis_url: String,
    pub(super) processes: Processes,
}

impl Run {
    /// The name of the command that runs this.
    const COMMAND: &str = "streams-run";

    /// Reads what the parent passed.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Runs, in another process.
    pub(super) async fn spawn(&self) -> Result<Usage> {
        subprocess::spawn(Self::COMMAND, &self.contestant.to_string(), self).await
    }

    /// The stream, as every contestant of ours is told of it.
    pub(super) fn spec(&self) -> StreamSpec {
        StreamSpec {
            partitions: self.partitions,
            // Nobody trims, so it must all fit, wherever it goes.
            partition_size: self.events,
            ..StreamSpec::new(APP, STREAM)
        }
    }

    /// The group of a reader: each run begins at the beginning.
    pub(super) fn group(&self) -> String {
        format!("{:?}-{}", self.contestant, self.round)
    }

    /// Runs, in this process.
    async fn perform(&self) -> Result<Usage> {
        match self.contestant {
            Contestant::RawSend => raw::send(self).await,
            Contestant::Send => sending::send(self).await,
            Contestant::RawLoop => raw::read(self).await,
            Contestant::RawBatches => processing::raw_batches(self).await,
            Contestant::TypedBatches => processing::typed_batches(self).await,
            Contestant::TypedSingle => processing::typed_single(self).await,
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
            Self::RawSend => "limit: XADD, pipelined by 500",
            Self::Send => "send_many, batches of 1,000",
            Self::RawLoop => "limit: XREADGROUP + XACK loop",
            Self::RawBatches => "raw events, in batches",
            Self::TypedBatches => "typed records, in batches",
            Self::TypedSingle => "typed records, one by one",
        })
    }
}
