//! The SQLite sink: one file, in this process.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_store::{Epoch, Partition, StreamName};

use crate::catalog::Catalog;
use crate::dead_letter::{DeadLetterFilter, StoredLetter};
use crate::error::{Error, Result};
use crate::sink::{Claim, LedgerRow, Sink, SinkTransaction, Unit};

/// A SQLite file as the drain's target.
#[derive(Debug)]
pub struct SqliteSink;

impl SqliteSink {
    /// Opens the file; it is created when it is missing.
    ///
    /// # Errors
    /// Those of opening.
    #[expect(clippy::unused_async, reason = "a skeleton")]
    pub async fn open(_path: &Path) -> Result<Self> {
        Err(skeleton())
    }
}

fn skeleton() -> Error {
    Error::Invalid("the SQLite sink is a skeleton".to_owned())
}

#[async_trait]
impl Sink for SqliteSink {
    async fn prepare(&self) -> Result<()> {
        Err(skeleton())
    }

    async fn catalog(&self) -> Result<Arc<Catalog>> {
        Err(skeleton())
    }

    async fn claim(&self, _shard: &Partition, _epoch: Epoch, _preceding: u64) -> Result<Claim> {
        Err(skeleton())
    }

    async fn begin(&self) -> Result<Box<dyn SinkTransaction>> {
        Err(skeleton())
    }

    async fn ledger(&self, _stream: &StreamName) -> Result<Vec<LedgerRow>> {
        Err(skeleton())
    }

    async fn dead_letters(&self, _filter: &DeadLetterFilter) -> Result<Vec<StoredLetter>> {
        Err(skeleton())
    }

    fn explain(&self, _units: &[Unit]) -> Vec<String> {
        Vec::new()
    }

    fn describe(&self) -> String {
        "sqlite://".to_owned()
    }
}
