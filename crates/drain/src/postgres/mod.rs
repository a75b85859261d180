//! PostgreSQL as a target database.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_store::{Epoch, Partition, StreamName};

use crate::catalog::Catalog;
use crate::dead_letter::{DeadLetterFilter, StoredLetter};
use crate::error::{Error, Result};
use crate::sink::{Claim, LedgerRow, Sink, SinkTransaction, Unit};

/// How the drain connects to PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// The most connections open at once.
    pub connections_max: usize,
    /// The schema of tables that are named without one; the session's own where it is absent.
    pub schema: Option<String>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections_max: 4,
            schema: None,
        }
    }
}

/// A PostgreSQL database.
#[derive(Debug)]
pub struct PostgresSink {}

impl PostgresSink {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a wrong URL, the sink's errors otherwise.
    pub async fn connect(_url: &str, _options: PostgresOptions) -> Result<Self> {
        Err(unfinished())
    }
}

fn unfinished() -> Error {
    Error::Invalid("the PostgreSQL sink is being written".to_owned())
}

#[async_trait]
impl Sink for PostgresSink {
    async fn prepare(&self) -> Result<()> {
        Err(unfinished())
    }

    async fn catalog(&self) -> Result<Arc<Catalog>> {
        Err(unfinished())
    }

    async fn claim(&self, _shard: &Partition, _epoch: Epoch, _preceding: u64) -> Result<Claim> {
        Err(unfinished())
    }

    async fn begin(&self) -> Result<Box<dyn SinkTransaction>> {
        Err(unfinished())
    }

    async fn ledger(&self, _stream: &StreamName) -> Result<Vec<LedgerRow>> {
        Err(unfinished())
    }

    async fn dead_letters(&self, _filter: &DeadLetterFilter) -> Result<Vec<StoredLetter>> {
        Err(unfinished())
    }

    fn explain(&self, _units: &[Unit]) -> Vec<String> {
        Vec::new()
    }

    fn describe(&self) -> String {
        "postgres".to_owned()
    }
}
