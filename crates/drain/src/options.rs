//! The drain's settings, with their bounds.

use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{GroupName, ReadLimit, StreamName};

use crate::apply::Rules;
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::hyperswitch::Forms;
use crate::policy::Policies;
use crate::sink::Sink;

/// The consumer group under which the drain's position can be seen in the stream.
pub const GROUP: &str = "tidegate_drain";
/// The most shards a stream may have.
pub const PARTITIONS_MAX: u32 = 4_096;

/// How one stream is drained. Every process that drains the same stream must agree on `stream` and
/// `partitions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The stream.
    pub stream: StreamName,
    /// How many shards it has: 1 to [`PARTITIONS_MAX`].
    pub partitions: u32,
    /// The most entries of one transaction.
    pub batch_max: usize,
    /// About how many bytes of entries are read at once.
    pub batch_bytes_max: usize,
    /// The most bytes of one entry; a larger one is a dead letter.
    pub entry_bytes_max: usize,
    /// How long an entry waits for the parent row of a foreign key before it is a dead letter.
    pub parent_wait: Duration,
    /// The most entries a shard holds back; then it reads no more.
    pub held_max: usize,
    /// How long a state is kept after its operation was applied.
    pub state_ttl: Duration,
    /// How long a dead process keeps its shards.
    pub lease_ttl: Duration,
    /// How long a shutdown waits for the batches in flight.
    pub grace: Duration,
    /// What becomes of changes that meet another row than they expected, by table.
    pub policies: Policies,
    /// How Hyperswitch's forms are read; without it, those that need nothing to be known.
    pub forms: Option<Arc<Forms>>,
}

impl Options {
    /// The defaults, for a stream.
    #[must_use]
    pub fn new(stream: StreamName, partitions: u32) -> Self {
        Self {
            stream,
            partitions,
            batch_max: 4_000,
            batch_bytes_max: 8 << 20,
            entry_bytes_max: 1 << 20,
            parent_wait: Duration::from_secs(30),
            held_max: 100_000,
            state_ttl: Duration::from_secs(60),
            lease_ttl: Duration::from_secs(10),
            grace: Duration::from_secs(10),
            policies: Policies::default(),
            forms: None,
        }
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the first setting that is out of its bounds.
    pub fn check(&self) -> Result<()> {
        in_bounds(
            "partitions",
            self.partitions as usize,
            1,
            PARTITIONS_MAX as usize,
        )?;
        in_bounds("batch_max", self.batch_max, 1, 100_000)?;
        in_bounds("batch_bytes_max", self.batch_bytes_max, 1 << 10, 1 << 30)?;
        in_bounds("entry_bytes_max", self.entry_bytes_max, 1 << 10, 256 << 20)?;
        in_bounds("held_max", self.held_max, 1, 10_000_000)?;
        Ok(())
    }

    /// Reads the sink's catalog, under the policies.
    ///
    /// # Errors
    /// The sink's.
    pub async fn catalog(&self, sink: &dyn Sink) -> Result<Arc<Catalog>> {
        Ok(sink.catalog().await?.under(&self.policies))
    }

    pub(crate) fn group(&self) -> Result<GroupName> {
        Ok(GroupName::new(GROUP)?)
    }

    pub(crate) fn read_limit(&self) -> ReadLimit {
        ReadLimit {
            entries: self.batch_max,
            bytes: self.batch_bytes_max,
        }
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules {
            entry_bytes_max: self.entry_bytes_max,
            parent_wait_ms_max: u64::try_from(self.parent_wait.as_millis()).unwrap_or(u64::MAX),
            forms: self.forms.clone(),
        }
    }
}

fn in_bounds(name: &str, value: usize, min: usize, max: usize) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "drain.{name} = {value}: use {min} to {max}"
    )))
}
