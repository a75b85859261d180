//! The SQLite sink: a target database in one file, written in this process.
//!
//! ```text
//!          ┌─ begin ─► the write connection, in turns ─► statements in the stream's order ─► commit
//! caller ──┤
//!          └─ catalog, ledger, dead letters ─► the read connection
//! ```
//!
//! SQLite runs inside the process, so a statement for each row costs little, and the sink keeps to
//! the order of the stream instead of planning. The file may also be the embedded store's, and
//! other processes may have it open. A commit is on the disk when it is answered; if the process
//! dies before that, the transaction never was.
//!
//! In the order of the flow: [`connection`] and [`schema`] open and prepare the file; [`tables`]
//! reads the catalog, with [`declared`] and [`rank`] to understand it; [`codec`] encodes values as
//! [`cell`]s, with [`decimal`], [`moment`] and [`iso8601`]; [`statement`] and [`script`] turn units
//! into SQL; [`writer`] and [`transaction`] hold the transaction in which [`run`] applies them, with
//! [`deferred`] and [`refusal`] for what goes wrong; [`ledger`] and [`letters`] are the drain's own
//! tables, with [`mod@column`] for their numbers; [`reader`] serves reports; [`failure`] translates
//! SQLite's errors.

mod cell;
mod codec;
mod column;
mod compare;
mod connection;
mod decimal;
mod declared;
mod deferred;
mod failure;
mod iso8601;
mod ledger;
mod letters;
mod moment;
mod peek;
mod rank;
mod reader;
mod refusal;
mod run;
mod schema;
mod script;
mod statement;
mod tables;
mod transaction;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_store::{Epoch, Partition, StreamName};

use self::column::ShardKey;
use self::failure::from_sqlite;
use self::reader::Reader;
use self::script::Script;
use self::transaction::SqliteTransaction;
use self::writer::{Writer, blocking};
use crate::catalog::Catalog;
use crate::change::Change;
use crate::dead_letter::{DeadLetterFilter, StoredLetter};
use crate::diff::Peek;
use crate::error::Result;
use crate::sink::{Claim, LedgerRow, Sink, SinkTransaction, Unit};

/// A SQLite file as the target database.
#[derive(Debug)]
pub struct SqliteSink {
    path: PathBuf,
    writer: Writer,
    reader: Reader,
}

impl SqliteSink {
    /// Opens the file; it is created when it is missing. The drain's own tables are created by
    /// [`prepare`](Sink::prepare).
    ///
    /// # Errors
    /// [`Error::SinkUnavailable`](crate::Error::SinkUnavailable) where the file can't be opened,
    /// [`Error::Corrupt`](crate::Error::Corrupt) where it is no SQLite file.
    pub async fn open(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        blocking(move || {
            let writer = Writer::open(&path)?;
            let reader = Reader::open(&path)?;
            Ok(Self {
                path,
                writer,
                reader,
            })
        })
        .await
    }
}

#[async_trait]
impl Sink for SqliteSink {
    async fn prepare(&self) -> Result<()> {
        self.writer.run(schema::prepare).await
    }

    async fn ping(&self) -> Result<()> {
        let read = |connection: &rusqlite::Connection| {
            let sql = "SELECT count(*) FROM sqlite_schema";
            connection.query_row(sql, [], |_row| Ok(()))
        };
        self.reader
            .run(move |connection| read(connection).map_err(from_sqlite))
            .await
    }

    async fn catalog(&self) -> Result<Arc<Catalog>> {
        self.reader
            .run(|connection| tables::read(connection).map_err(from_sqlite))
            .await
            .map(Arc::new)
    }

    async fn claim(&self, shard: &Partition, epoch: Epoch, preceding: u64) -> Result<Claim> {
        let open = self.writer.begin().await?;
        let shard = shard.clone();
        blocking(move || {
            let claim = ledger::claim(open.connection()?, &shard, epoch, preceding)?;
            open.commit()?;
            Ok(claim)
        })
        .await
    }

    async fn recent(&self, shard: &Partition) -> Result<Vec<Vec<u8>>> {
        let key = ShardKey::from(shard);
        self.reader
            .run(move |connection| ledger::recent(connection, &key))
            .await
    }

    fn connections_max(&self) -> usize {
        // One shard writes; another one reads and decodes meanwhile.
        2
    }

    async fn begin(&self) -> Result<Box<dyn SinkTransaction>> {
        Ok(Box::new(SqliteTransaction::new(self.writer.begin().await?)))
    }

    async fn ledger(&self, stream: &StreamName) -> Result<Vec<LedgerRow>> {
        let stream = stream.clone();
        self.reader
            .run(move |connection| ledger::report(connection, stream.as_str()))
            .await
    }

    async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<StoredLetter>> {
        let filter = filter.clone();
        self.reader
            .run(move |connection| letters::list(connection, &filter))
            .await
    }

    fn explain(&self, units: &[Unit]) -> Vec<String> {
        Script::new(units).lines()
    }

    async fn peek(&self, changes: &[Change]) -> Result<Vec<Peek>> {
        let changes = changes.to_vec();
        self.reader
            .run(move |connection| peek::peek(connection, &changes))
            .await
    }

    fn describe(&self) -> String {
        format!("sqlite://{}", self.path.display())
    }
}
