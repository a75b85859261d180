//! One run of one stage of one contestant, in a process of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::contestant::{Contestant, Stage};
use super::{peer, tidegate};
use crate::error::Result;
use crate::subprocess;
use crate::table::thousands;
use crate::usage::{Processes, Usage};

/// Everything that a run must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(super) contestant: Contestant,
    pub(super) stage: Stage,
    pub(super) count: u64,
    pub(super) redis_url: String,
    pub(super) redis_port: u16,
    pub(super) processes: Processes,
}

/// What a run came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Measured {
    /// How many tasks there were; the parent knows.
    #[serde(default)]
    pub(super) count: u64,
    /// How long it took.
    #[serde(default)]
    pub(super) seconds: Option<f64>,
    /// From the call that enqueues a task to its beginning, for each.
    #[serde(default)]
    pub(super) latencies_ms: Vec<f64>,
    /// What it cost; measured for programs in Rust only.
    #[serde(default)]
    pub(super) usage: Option<Usage>,
}

impl Measured {
    /// A run that took as long as it cost.
    pub(super) fn of(usage: Usage) -> Self {
        Self {
            seconds: Some(usage.elapsed_seconds),
            usage: Some(usage),
            ..Self::default()
        }
    }

    /// Tasks a second.
    pub(super) fn rate(&self, count: u64) -> f64 {
        self.seconds.map_or(0.0, |seconds| count as f64 / seconds)
    }

    /// The latency that this part of the tasks did not exceed.
    pub(super) fn percentile_ms(&self, part: f64) -> f64 {
        let mut sorted = self.latencies_ms.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1) as f64;
        // Rounded up, so that a few latencies don't flatter.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index of the list"
        )]
        let at = (last * part).ceil() as usize;
        sorted.get(at).copied().unwrap_or_default()
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds {
            Some(_) => write!(f, "{}/s", thousands(self.rate(self.count))),
            None => write!(
                f,
                "{:.2} ms, {:.2} ms",
                self.percentile_ms(0.5),
                self.percentile_ms(0.99)
            ),
        }
    }
}

impl Run {
    /// The name of the command that runs this.
    const COMMAND: &str = "tasks-run";

    /// Reads what the parent passed.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Runs, in another process.
    pub(super) async fn spawn(&self) -> Result<Measured> {
        match self.contestant {
            Contestant::Tidegate | Contestant::Apalis => {
                subprocess::spawn(Self::COMMAND, &self.contestant.to_string(), self).await
            }
            Contestant::Dramatiq { .. } | Contestant::BullMq => peer::run(self).await,
        }
    }

    async fn perform(&self) -> Result<Measured> {
        #[cfg(feature = "apalis")]
        if self.contestant == Contestant::Apalis {
            return super::apalis::perform(self).await;
        }
        tidegate::perform(self).await
    }
}

/// Performs a run in this process, and returns what the parent reads.
///
/// # Errors
/// Whatever kept the run from its end.
pub(crate) async fn run_one(run: &Run) -> Result<String> {
    Box::pin(subprocess::perform(run.perform())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_not_flattered_by_few_latencies() {
        let measured = Measured {
            latencies_ms: vec![4.0, 1.0, 3.0, 2.0],
            ..Measured::default()
        };
        assert_eq!(measured.percentile_ms(0.5), 3.0);
        assert_eq!(measured.percentile_ms(0.99), 4.0);
        assert_eq!(Measured::default().percentile_ms(0.5), 0.0);
    }
}
