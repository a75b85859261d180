//! The write connection: one for each sink, handed from transaction to transaction.
//!
//! ```text
//! begin ─► the connection's turn (fair) ─► BEGIN IMMEDIATE ─► steps ─► COMMIT
//!                                                               └─ dropped ─► ROLLBACK
//! ```
//!
//! SQLite has one writer at a time, so a second connection would only wait in a worse queue. An
//! [`OpenTransaction`] owns the connection until it is committed or dropped, and dropping it rolls
//! back before anybody else gets the connection. If the process dies, the next one to open the
//! file finds what was committed.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::connection::{self, Access, BUSY_POLL};
use super::deferred::DeferredKeys;
use super::failure::from_sqlite;
use crate::error::{Error, Result};

/// After holding the file's write lock this long in a row, the sink leaves it free once…
const TURN_TIME_MAX: Duration = Duration::from_millis(20);

/// …for long enough that another process, which looks every [`BUSY_POLL`], finds it free.
const TURN_GAP: Duration = BUSY_POLL.saturating_mul(2);

/// Hands out the write connection.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    lane: Arc<Mutex<Lane>>,
}

/// The connection, and how long it has held the file's lock.
#[derive(Debug)]
struct Lane {
    connection: Connection,
    deferred: DeferredKeys,
    held: Duration,
    ended: Instant,
}

impl Writer {
    /// Opens the write connection.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let connection = connection::open(path, Access::Write)?;
        let deferred = DeferredKeys::new(&connection).map_err(from_sqlite)?;
        let lane = Lane {
            connection,
            deferred,
            held: Duration::ZERO,
            ended: Instant::now(),
        };
        Ok(Self {
            lane: Arc::new(Mutex::new(lane)),
        })
    }

    /// Begins a transaction that may write.
    pub(super) async fn begin(&self) -> Result<OpenTransaction> {
        let lane = Arc::clone(&self.lane).lock_owned().await;
        blocking(move || OpenTransaction::begin(lane)).await
    }

    /// Runs work on the connection outside of a transaction.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let lane = Arc::clone(&self.lane).lock_owned().await;
        blocking(move || work(&lane.connection)).await
    }
}

/// A transaction that holds the file's write lock.
#[derive(Debug)]
pub(super) struct OpenTransaction {
    lane: OwnedMutexGuard<Lane>,
    began: Instant,
}

impl OpenTransaction {
    fn begin(mut lane: OwnedMutexGuard<Lane>) -> Result<Self> {
        lane.leave_gap();
        if !lane.connection.is_autocommit() {
            // An earlier rollback failed; nothing may join what it left.
            lane.connection
                .execute_batch("ROLLBACK")
                .map_err(from_sqlite)?;
        }
        execute(&lane.connection, "BEGIN IMMEDIATE")?;
        // From here on a failure rolls back.
        let mut open = Self {
            lane,
            began: Instant::now(),
        };
        let lane = &mut *open.lane;
        lane.deferred
            .refresh(&lane.connection)
            .map_err(from_sqlite)?;
        Ok(open)
    }

    /// The connection, for a step of the transaction.
    ///
    /// # Errors
    /// Where SQLite has ended the transaction by itself: a further statement would stand alone.
    pub(super) fn connection(&self) -> Result<&Connection> {
        if self.lane.connection.is_autocommit() {
            return Err(Error::SinkUnavailable(
                "SQLite has rolled the transaction back".into(),
            ));
        }
        Ok(&self.lane.connection)
    }

    /// Tells whether foreign keys are violated whose check is deferred to the commit.
    pub(super) fn deferred(&self) -> &DeferredKeys {
        &self.lane.deferred
    }

    /// Commits. After an error it is rolled back, unless the disk failed in the very commit: then
    /// only the ledger knows.
    pub(super) fn commit(self) -> Result<()> {
        execute(self.connection()?, "COMMIT")
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        if !self.lane.connection.is_autocommit()
            && let Err(error) = execute(&self.lane.connection, "ROLLBACK")
        {
            tracing::error!(%error, "a rollback failed; it is tried again before the next begin");
        }
        self.lane.held += self.began.elapsed();
        self.lane.ended = Instant::now();
    }
}

impl Lane {
    /// SQLite's lock has no queue: whoever releases it and asks again at once wins it again. The
    /// embedded store and other processes need a gap to get in.
    fn leave_gap(&mut self) {
        if self.ended.elapsed() >= TURN_GAP {
            self.held = Duration::ZERO;
        } else if self.held >= TURN_TIME_MAX {
            thread::sleep(TURN_GAP);
            self.held = Duration::ZERO;
        }
    }
}

fn execute(connection: &Connection, sql: &str) -> Result<()> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map(drop)
        .map_err(from_sqlite)
}

/// Runs work that waits for the disk where it holds up no other task. A caller that stops waiting
/// doesn't stop the work.
pub(super) async fn blocking<T, W>(work: W) -> Result<T>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(stopped) => Err(Error::SinkUnavailable(Box::new(stopped))),
    }
}
