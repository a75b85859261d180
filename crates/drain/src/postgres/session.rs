//! A session: one pooled connection inside of one transaction.
//!
//! It guarantees that a connection goes back to the pool outside of any transaction, or not at
//! all. The pool itself would not look: it hands out a connection as it was left.
//!
//! If the process dies here, or is cut off, the server rolls the transaction back.

use deadpool_postgres::{Client, Object, Pool};
use futures::FutureExt;

use super::failure::{Verdict, closed, ends_session, judge, no_connection, own, reported};
use crate::error::{Error, Result};

/// The most statements kept prepared per connection. A stream with ever new sets of columns
/// would otherwise fill the server's memory.
const STATEMENTS_MAX: usize = 300;

/// A connection with an open transaction.
pub(super) struct Session {
    /// Gone once the transaction is over.
    client: Option<Client>,
    /// Whether every request was answered, so that a rollback is answered at once.
    is_settled: bool,
}

impl Session {
    /// Takes a connection and begins a transaction.
    pub(super) async fn begin(pool: &Pool) -> Result<Self> {
        Self::begin_with(pool, "").await
    }

    /// The same, with settings for this transaction alone.
    pub(super) async fn begin_with(pool: &Pool, settings: &str) -> Result<Self> {
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED{settings}");
        // Each pooled connection may have died unnoticed since it was used last; one more is new.
        let mut attempts = pool.status().max_size + 1;
        loop {
            let client = pool.get().await.map_err(no_connection)?;
            if client.statement_cache.size() > STATEMENTS_MAX {
                client.statement_cache.clear();
            }
            // The answer is awaited: a statement sent behind a BEGIN that failed would be a
            // transaction of its own, and committed.
            let mut session = Self {
                client: Some(client),
                is_settled: false,
            };
            let begun = session.client()?.batch_execute(&begin).await;
            match begun {
                Ok(()) => {
                    session.is_settled = true;
                    return Ok(session);
                }
                Err(error) => {
                    attempts -= 1;
                    if attempts == 0 || !ends_session(&error) {
                        return Err(own(error));
                    }
                }
            }
        }
    }

    /// The connection.
    pub(super) fn client(&self) -> Result<&Client> {
        self.client.as_ref().ok_or_else(closed)
    }

    /// To be called before requests are sent whose answers may stay out.
    pub(super) fn unsettle(&mut self) {
        self.is_settled = false;
    }

    /// To be called when all requests were answered.
    pub(super) fn settle(&mut self) {
        self.is_settled = true;
    }

    /// Gives the connection up: after an error the transaction is lost, and until its end it would
    /// hold its locks.
    pub(super) fn abandon(&mut self) {
        self.is_settled = false;
        drop(self.client.take().map(Object::take));
    }

    /// Commits. Where the answer is lost, nobody knows whether it took place but the ledger.
    pub(super) async fn commit(self) -> Result<()> {
        self.commit_or(|| ()).await
    }

    /// Commits, and calls `on_refused` where the database found fault with the rows only now. The
    /// transaction is rolled back then; the next one can know better.
    pub(super) async fn commit_or(mut self, on_refused: impl FnOnce()) -> Result<()> {
        // In a transaction that has failed, COMMIT rolls back and answers with success.
        if !self.is_settled {
            return Err(closed());
        }
        self.is_settled = false;
        match self.client()?.batch_execute("COMMIT").await {
            // Outside of a transaction the connection goes back to the pool as it is.
            Ok(()) => drop(self.client.take()),
            Err(error) if judge(&error) == Verdict::Refused => {
                on_refused();
                return Err(Error::SinkUnavailable(reported(&error)));
            }
            Err(error) => return Err(own(error)),
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else {
            return;
        };
        if self.is_settled && !client.is_closed() {
            // Polled once, the request is on its way, and whoever gets the connection next stands
            // behind it. Its answer needs no reader.
            drop(client.batch_execute("ROLLBACK").now_or_never());
        } else {
            // Something may still be running on it; without the connection the server ends it.
            drop(Object::take(client));
        }
    }
}
