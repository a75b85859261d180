//! Who runs, and what.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Contestant {
    /// Ours: one worker process.
    Tidegate,
    /// Dramatiq of Python, with a prefetch of 500.
    Dramatiq {
        /// How many processes work.
        processes: u32,
        /// How many threads each has.
        threads: u32,
    },
    /// `BullMQ` of Node.
    BullMq,
    /// The crate apalis-redis.
    Apalis,
}

impl Contestant {
    /// The settings of Dramatiq, of which the fastest takes part.
    pub(super) const DRAMATIQ: [Self; 4] = [
        Self::dramatiq(1, 8),
        Self::dramatiq(2, 8),
        Self::dramatiq(2, 16),
        Self::dramatiq(4, 8),
    ];

    const fn dramatiq(processes: u32, threads: u32) -> Self {
        Self::Dramatiq { processes, threads }
    }

    /// Whether there is such a thing. Dramatiq has no bulk.
    pub(super) fn has(self, stage: Stage) -> bool {
        stage != Stage::Bulk || !matches!(self, Self::Dramatiq { .. })
    }

    /// How its queue is filled before it is worked through.
    pub(super) fn fill(self) -> Stage {
        match self.has(Stage::Bulk) {
            true => Stage::Bulk,
            false => Stage::Single,
        }
    }

    /// Its name among the figures.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Tidegate => "tidegate",
            Self::Dramatiq { .. } => "dramatiq",
            Self::BullMq => "bullmq",
            Self::Apalis => "apalis_redis",
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dramatiq { processes, threads } => {
                write!(f, "dramatiq ({processes} × {threads} threads)")
            }
            other => f.write_str(other.key()),
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Tasks are enqueued by one caller, each when the last one is there.
    Single,
    /// Tasks are enqueued by one caller, many at once.
    Bulk,
    /// Tasks that are there are worked through.
    Process,
    /// A hundred tasks a second are enqueued, and begin.
    Latency,
}

impl Stage {
    /// All, in the order in which they are measured.
    pub(super) const ALL: [Self; 4] = [Self::Single, Self::Bulk, Self::Process, Self::Latency];

    /// Its name among the figures.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Single => "enqueue_single",
            Self::Bulk => "enqueue",
            Self::Process => "process",
            Self::Latency => "latency_ms",
        }
    }

    /// The word for it that the programs of the peers know.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Bulk => "bulk",
            Self::Process => "process",
            Self::Latency => "latency",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
