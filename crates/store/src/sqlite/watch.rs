//! Watch: waiting for entries without spinning.
//!
//! ```text
//! append of this handle ──────── Notify ──┐
//! commit of anyone else ─ data_version ───┴─► look at the positions ─► answer
//! interrupt, timeout ───────────────────────────────────────────────► answer: none
//! ```
//!
//! `PRAGMA data_version` is a number in shared memory that moves with every commit of another
//! connection; asking for it takes microseconds. It is asked on a connection that never writes,
//! often after news and more and more seldom in a calm. If the process dies here, nothing is
//! lost: waiting writes nothing.

use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Notify;

use super::connection::{self, Access};
use super::partition;
use super::read::first_ordinal_after;
use super::readers::blocking;
use crate::Result;
use crate::entry::EntryId;
use crate::stream::Partition;

/// The pause between two looks right after news.
const POLL_MIN: Duration = Duration::from_millis(2);

/// The pause between two looks in a calm: what a commit of another process waits at most.
const POLL_MAX: Duration = Duration::from_millis(20);

/// Waits for news of the file.
#[derive(Debug)]
pub(super) struct Watch {
    connection: Arc<Mutex<Connection>>,
    /// One caller waits for entries; others queue for this.
    turn: tokio::sync::Mutex<()>,
    /// The same for tasks.
    task_turn: tokio::sync::Mutex<()>,
    /// Appends and tasks of this handle.
    news: Notify,
}

/// Asks the file for the indexes of what has news.
pub(super) trait Question:
    Fn(&Connection) -> Result<Vec<usize>> + Send + Sync + 'static
{
}

impl<F: Fn(&Connection) -> Result<Vec<usize>> + Send + Sync + 'static> Question for F {}

/// What one look has found.
struct Look {
    version: i64,
    ready: Vec<usize>,
}

impl Watch {
    /// Opens the connection that is asked for news.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            connection: Arc::new(Mutex::new(connection::open(path, Access::Read)?)),
            turn: tokio::sync::Mutex::default(),
            task_turn: tokio::sync::Mutex::default(),
            news: Notify::new(),
        })
    }

    /// Says that this handle has written something that is waited for.
    pub(super) fn tell(&self) {
        self.news.notify_waiters();
    }

    /// Waits until one of the positions has entries after it.
    pub(super) async fn wait(
        &self,
        positions: &[(Partition, EntryId)],
        timeout: Duration,
        interrupt: &Notify,
    ) -> Result<Vec<usize>> {
        let positions: Arc<[_]> = positions.into();
        let is_empty = positions.is_empty();
        let look = move |connection: &Connection| {
            let mut ready = Vec::new();
            for (index, (partition, after)) in positions.iter().enumerate() {
                if has_entry_after(connection, partition, *after)? {
                    ready.push(index);
                }
            }
            Ok(ready)
        };
        // With no positions there is nothing to look at: it waits for the interrupt or the timeout.
        let turn = (!is_empty).then_some(&self.turn);
        self.wait_until(turn, Arc::new(look), timeout, interrupt)
            .await
    }

    /// Waits until a look finds some queues with news.
    pub(super) async fn wait_for_tasks(
        &self,
        look: Arc<impl Question>,
        timeout: Duration,
        interrupt: &Notify,
    ) -> Result<Vec<usize>> {
        let turn = Some(&self.task_turn);
        self.wait_until(turn, look, timeout, interrupt).await
    }

    /// Looks until something is found. Without a turn there is nothing to look at.
    async fn wait_until(
        &self,
        turn: Option<&tokio::sync::Mutex<()>>,
        question: Arc<impl Question>,
        timeout: Duration,
        interrupt: &Notify,
    ) -> Result<Vec<usize>> {
        let mut interrupted = pin!(interrupt.notified());
        let mut timed_out = pin!(tokio::time::sleep(timeout));
        let Some(turn) = turn else {
            tokio::select! {
                () = interrupted => {}
                () = timed_out => {}
            }
            return Ok(Vec::new());
        };
        let _turn = tokio::select! {
            biased;
            turn = turn.lock() => turn,
            () = &mut interrupted => return Ok(Vec::new()),
            () = &mut timed_out => return Ok(Vec::new()),
        };
        let mut seen = None;
        let mut pause = POLL_MIN;
        loop {
            // Listen before looking, so that no append falls between the two.
            let news = self.news.notified();
            let look = self.look(Arc::clone(&question), seen).await?;
            if !look.ready.is_empty() {
                return Ok(look.ready);
            }
            let is_calm = seen == Some(look.version);
            pause = if is_calm {
                (pause * 2).min(POLL_MAX)
            } else {
                POLL_MIN
            };
            seen = Some(look.version);
            tokio::select! {
                () = &mut interrupted => return Ok(Vec::new()),
                () = &mut timed_out => return Ok(Vec::new()),
                () = news => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Asks the question, unless the file is as it was at the last look.
    async fn look(&self, question: Arc<impl Question>, seen: Option<i64>) -> Result<Look> {
        let connection = Arc::clone(&self.connection);
        blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            // The version first: what is committed after it moves it again.
            let version = connection
                .prepare_cached("PRAGMA data_version")?
                .query_row([], |row| row.get(0))?;
            let ready = match seen == Some(version) {
                true => Vec::new(),
                false => question(&connection)?,
            };
            Ok(Look { version, ready })
        })
        .await
    }
}

fn has_entry_after(connection: &Connection, partition: &Partition, after: EntryId) -> Result<bool> {
    match partition::find(connection, partition)? {
        // The newest entry may be trimmed, so its id alone is no proof.
        Some(row) if row.last_id > after => {
            Ok(first_ordinal_after(connection, row.id, after)?.is_some())
        }
        _ => Ok(false),
    }
}
