//! The PostgreSQL sink: the target database behind a small pool of connections.
//!
//! * [`pool`] and [`tls`] make connections, [`session`] is one of them inside of a transaction,
//! * [`schema`] keeps the drain's own tables, [`ledger`] and [`letters`] are their statements,
//! * [`catalog`] reads the user's tables and gives each column one of the [`codec`]s,
//! * [`transaction`] applies units, and takes an attempt back to a [`savepoint`]: [`method`] chooses
//!   how, [`statement`] makes the text, [`write`](mod@write) sends it with [`parameter`]s through a
//!   [`pipeline`], or by [`copy`](mod@copy),
//! * [`failure`] judges errors, [`search`] and [`culprits`] find the rows at fault, [`locked`] what
//!   somebody else has locked, [`refusal`] says why, [`patience`] how long is waited for a lock, [`compare`](mod@compare) looks what is in the place of a new row, and
//!   [`peek`](mod@peek) shows it.
//!
//! Everything durable happens in one transaction per batch, so a process that dies anywhere in
//! here leaves the database as it was.

mod catalog;
mod codec;
mod compare;
mod copy;
mod culprits;
mod failure;
mod identifier;
mod ledger;
mod letters;
mod locked;
mod method;
mod parameter;
mod patience;
mod peek;
mod pipeline;
mod pool;
mod refusal;
mod savepoint;
mod schema;
mod search;
mod session;
mod statement;
mod tls;
mod transaction;
mod write;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use deadpool_postgres::Pool;
use tidegate_store::{Epoch, Partition, StreamName};

use self::catalog::Quirks;
use self::patience::Patience;
pub use self::pool::PostgresOptions;
use self::session::Session;
use self::transaction::PostgresTransaction;
use crate::catalog::Catalog;
use crate::change::Change;
use crate::dead_letter::{DeadLetterFilter, StoredLetter};
use crate::diff::Peek;
use crate::error::Result;
use crate::fold::fold;
use crate::plan::plan;
use crate::sink::{Claim, LedgerRow, Sink, SinkTransaction, Unit};

/// A PostgreSQL database as the drain's target.
pub struct PostgresSink {
    pool: Pool,
    /// One connection more, so that a busy pool isn't taken for a silent database.
    probe: Pool,
    schema: Option<String>,
    description: String,
    may_fold: bool,
    patience: Arc<Patience>,
    /// Replaced whenever the catalog is read.
    quirks: RwLock<Arc<Quirks>>,
}

impl PostgresSink {
    /// Takes the address of a database, `postgres://user:password@host:port/database`. Connections
    /// are made when they are needed, so the server may still be down.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for a URL that can't be read.
    #[expect(
        clippy::unused_async,
        reason = "a sink is opened alike, whatever its database"
    )]
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Self> {
        let (pool, config) = pool::open(url, &options)?;
        let (probe, _) = pool::open(
            url,
            &PostgresOptions {
                connections_max: 1,
                ..options.clone()
            },
        )?;
        Ok(Self {
            pool,
            probe,
            schema: options.schema,
            may_fold: options.may_fold,
            patience: Arc::new(Patience::new(options.lock_timeout)),
            description: pool::describe(&config),
            quirks: RwLock::default(),
        })
    }

    fn quirks(&self) -> Arc<Quirks> {
        self.quirks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl fmt::Debug for PostgresSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The pool would show its configuration.
        f.debug_tuple("PostgresSink")
            .field(&self.description)
            .finish()
    }
}

#[async_trait]
impl Sink for PostgresSink {
    async fn prepare(&self) -> Result<()> {
        schema::prepare(Session::begin(&self.pool).await?).await
    }

    async fn ping(&self) -> Result<()> {
        Session::begin(&self.probe).await?.commit().await
    }

    async fn catalog(&self) -> Result<Arc<Catalog>> {
        let session = Session::begin(&self.pool).await?;
        let (catalog, quirks) = catalog::read(session, self.schema.as_deref()).await?;
        // A type may have been made anew under its old name; old statements would not know it.
        self.pool.manager().statement_caches.clear();
        *self.quirks.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(quirks);
        Ok(Arc::new(catalog))
    }

    async fn claim(&self, shard: &Partition, epoch: Epoch, preceding: u64) -> Result<Claim> {
        ledger::claim(Session::begin(&self.pool).await?, shard, epoch, preceding).await
    }

    async fn recent(&self, shard: &Partition) -> Result<Vec<Vec<u8>>> {
        let mut session = Session::begin(&self.pool).await?;
        session.unsettle();
        let slots = ledger::recent(session.client()?, shard).await?;
        session.settle();
        session.commit().await?;
        Ok(slots)
    }

    async fn begin(&self) -> Result<Box<dyn SinkTransaction>> {
        let patience = self.patience.begin();
        let session = Session::begin_with(&self.pool, &patience.sql()).await?;
        let transaction = PostgresTransaction::new(session, self.quirks(), patience, self.may_fold);
        Ok(Box::new(transaction))
    }

    fn connections_max(&self) -> usize {
        self.pool.status().max_size
    }

    async fn ledger(&self, stream: &StreamName) -> Result<Vec<LedgerRow>> {
        let mut session = Session::begin(&self.pool).await?;
        session.unsettle();
        let rows = ledger::rows(session.client()?, stream).await?;
        session.settle();
        session.commit().await?;
        Ok(rows)
    }

    async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<StoredLetter>> {
        let mut session = Session::begin(&self.pool).await?;
        session.unsettle();
        let letters = letters::list(session.client()?, filter).await?;
        session.settle();
        session.commit().await?;
        Ok(letters)
    }

    fn explain(&self, units: &[Unit]) -> Vec<String> {
        let quirks = self.quirks();
        let changes = units.iter().flat_map(|unit| &unit.changes);
        let folded = self.may_fold.then(|| fold(changes.clone())).flatten();
        let steps = match &folded {
            Some(folded) => plan(folded.iter().map(AsRef::as_ref)),
            None => plan(changes),
        };
        let show = |step: &crate::plan::Step<'_>| {
            let sql = statement::text(step.shape()?, method::choose(step, &quirks));
            Some(format!("{sql} -- {} rows", step.changes.len()))
        };
        steps.iter().filter_map(show).collect()
    }

    async fn peek(&self, changes: &[Change]) -> Result<Vec<Peek>> {
        peek::peek(&self.pool, changes).await
    }

    fn describe(&self) -> String {
        self.description.clone()
    }
}
