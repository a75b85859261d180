//! The writer thread: every write of this handle, many in one transaction.
//!
//! ```text
//! caller ─ command ─► bounded channel ─► begin ─► each in its own savepoint ─► commit ─► answers
//! caller ─ command ─┘                             (what waits joins, up to a bound)
//! ```
//!
//! The thread owns its connection; nobody else in the process writes through it. A commit costs a
//! wait for the disk, so commands that arrive meanwhile share the next one. A command that fails
//! is undone alone. Nobody is answered before the commit: an answer is durable.
//!
//! If the process dies here, SQLite's log holds whole transactions only: a command was either
//! committed with all it wrote, answered or not, or it left nothing.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::connection::BUSY_POLL;
use super::failure::NotCommitted;
use crate::{Error, Result};

/// How many commands may wait before their callers wait to hand theirs in.
const COMMANDS_QUEUED_MAX: usize = 1024;

/// How many commands one transaction takes.
const COMMANDS_PER_TRANSACTION_MAX: usize = 256;

/// A transaction that has lasted this long takes no more commands.
const TRANSACTION_TIME_MAX: Duration = Duration::from_millis(20);

/// After holding the file's write lock this long in a row, the thread leaves it free once…
const TURN_TIME_MAX: Duration = Duration::from_millis(20);

/// …for long enough that another process, which looks every [`BUSY_POLL`], finds it free.
const TURN_GAP: Duration = BUSY_POLL.saturating_add(Duration::from_micros(500));

/// The handle of the writer thread.
#[derive(Debug)]
pub(super) struct Writer {
    /// None only while it is being dropped.
    commands: Option<mpsc::Sender<Box<dyn Command>>>,
    /// None only while it is being dropped.
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(COMMANDS_QUEUED_MAX);
        let thread = thread::Builder::new()
            .name("tidegate-sqlite-writer".into())
            .spawn(move || write_until_closed(&connection, receiver))
            .map_err(|source| Error::Unavailable(Box::new(source)))?;
        Ok(Self {
            commands: Some(sender),
            thread: Some(thread),
        })
    }

    /// Runs work inside a transaction and returns its answer after the commit. When the work
    /// fails, what it wrote is undone. A caller that stops waiting does not stop the work.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let command = Box::new(Work {
            work: Some(work),
            outcome: None,
            reply,
        });
        let Some(commands) = &self.commands else {
            return Err(ended());
        };
        if commands.send(command).await.is_err() {
            return Err(ended());
        }
        answer.await.unwrap_or_else(|_dropped| Err(ended()))
    }
}

impl Drop for Writer {
    /// Lets the thread finish what is queued, and waits for it.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread of the embedded store has panicked");
        }
    }
}

fn ended() -> Error {
    Error::Unavailable("the writer thread of the embedded store has ended".into())
}

/// One unit of work, without the type of its answer.
trait Command: Send {
    /// Does the work; false when it failed and must be undone.
    fn apply(&mut self, connection: &Connection) -> bool;

    /// Tells the caller; with the reason where the transaction as a whole failed.
    fn answer(self: Box<Self>, committed: Result<(), NotCommitted>);
}

struct Work<W, T> {
    /// Taken when it is run.
    work: Option<W>,
    /// None until it was run.
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<W, T> Command for Work<W, T>
where
    W: FnOnce(&Connection) -> Result<T> + Send,
    T: Send,
{
    fn apply(&mut self, connection: &Connection) -> bool {
        self.outcome = self.work.take().map(|work| work(connection));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: Result<(), NotCommitted>) {
        let answer = match (self.outcome, committed) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(not_committed)) => Err(not_committed.into()),
            (Some(Ok(answer)), Ok(())) => Ok(answer),
            (None, Ok(())) => Err(ended()),
        };
        // A caller that is gone wants no answer.
        drop(self.reply.send(answer));
    }
}

fn write_until_closed(connection: &Connection, mut commands: mpsc::Receiver<Box<dyn Command>>) {
    let mut held = Duration::ZERO;
    loop {
        let waits_since = Instant::now();
        let Some(first) = commands.blocking_recv() else {
            return;
        };
        if waits_since.elapsed() >= TURN_GAP {
            held = Duration::ZERO;
        } else if held >= TURN_TIME_MAX {
            // SQLite's lock has no queue: whoever releases it and asks again at once wins it
            // again. Other processes, and the sinks of this one, need a gap to get in.
            thread::sleep(TURN_GAP);
            held = Duration::ZERO;
        }
        let began = Instant::now();
        let mut taken = Vec::new();
        let committed = transact(connection, first, &mut commands, &mut taken);
        held += began.elapsed();
        for command in taken {
            command.answer(committed.clone());
        }
    }
}

/// Runs commands in one transaction and leaves them in `taken`, to be answered.
fn transact(
    connection: &Connection,
    first: Box<dyn Command>,
    waiting: &mut mpsc::Receiver<Box<dyn Command>>,
    taken: &mut Vec<Box<dyn Command>>,
) -> Result<(), NotCommitted> {
    taken.push(first);
    if let Err(error) = execute(connection, "BEGIN IMMEDIATE") {
        // Those that wait behind would wait as long again, one after the other.
        while taken.len() < COMMANDS_PER_TRANSACTION_MAX
            && let Ok(command) = waiting.try_recv()
        {
            taken.push(command);
        }
        return Err(error.into());
    }
    let began = Instant::now();
    let done = loop {
        let Some(command) = taken.last_mut() else {
            break Ok(());
        };
        if let Err(error) = apply(connection, command.as_mut()) {
            break Err(error);
        }
        if taken.len() >= COMMANDS_PER_TRANSACTION_MAX || began.elapsed() >= TRANSACTION_TIME_MAX {
            break Ok(());
        }
        match waiting.try_recv() {
            Ok(command) => taken.push(command),
            Err(_empty_or_closed) => break Ok(()),
        }
    };
    let committed = done.and_then(|()| execute(connection, "COMMIT"));
    if committed.is_err() && !connection.is_autocommit() {
        // A rollback that fails leaves the transaction open, and the next BEGIN says so.
        drop(execute(connection, "ROLLBACK"));
    }
    Ok(committed?)
}

/// Runs one command so that its failure undoes nothing but itself.
fn apply(connection: &Connection, command: &mut dyn Command) -> rusqlite::Result<()> {
    execute(connection, "SAVEPOINT tidegate_command")?;
    if !command.apply(connection) {
        // A full disk ends the whole transaction; then this fails, and all are told.
        execute(connection, "ROLLBACK TO tidegate_command")?;
    }
    execute(connection, "RELEASE tidegate_command")
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use futures::future::join_all;

    use super::super::connection::{Access, open};
    use super::*;

    fn start(path: &Path) -> Writer {
        let connection = open(path, Access::Write).unwrap();
        connection
            .execute_batch(
                "PRAGMA foreign_keys = ON;
                 CREATE TABLE IF NOT EXISTS parent (id INTEGER PRIMARY KEY);
                 CREATE TABLE IF NOT EXISTS child (
                     id INTEGER PRIMARY KEY,
                     parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED
                 );",
            )
            .unwrap();
        Writer::start(connection).unwrap()
    }

    fn insert(id: i64) -> impl FnOnce(&Connection) -> Result<i64> + Send + 'static {
        move |connection| {
            connection.execute("INSERT INTO parent VALUES (?1)", [id])?;
            Ok(id)
        }
    }

    fn ids(path: &Path) -> Vec<i64> {
        let connection = open(path, Access::Read).unwrap();
        let mut statement = connection
            .prepare("SELECT id FROM parent ORDER BY id")
            .unwrap();
        let ids = statement.query_map([], |row| row.get(0)).unwrap();
        ids.collect::<rusqlite::Result<_>>().unwrap()
    }

    #[tokio::test]
    async fn a_failed_command_is_undone_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let writer = start(&path);
        let answers = join_all((0..100).map(|id| {
            let work = insert(id);
            writer.run(move |connection| {
                let id = work(connection)?;
                if id % 3 == 0 {
                    Err(Error::Invalid("a third fails".into()))
                } else {
                    Ok(id)
                }
            })
        }))
        .await;
        let kept: Vec<i64> = (0..100).filter(|id| id % 3 != 0).collect();
        assert_eq!(
            answers
                .into_iter()
                .filter_map(Result::ok)
                .collect::<Vec<_>>(),
            kept
        );
        assert_eq!(ids(&path), kept);
    }

    #[tokio::test]
    async fn a_commit_that_fails_is_told_to_all_and_the_next_one_works() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let writer = start(&path);
        // The missing parent is noticed by the commit, not by the insert.
        let orphan = writer.run(|connection| {
            connection.execute("INSERT INTO child VALUES (1, 999)", [])?;
            Ok(())
        });
        let refused = orphan.await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
        assert_eq!(writer.run(insert(7)).await.unwrap(), 7);
        assert_eq!(ids(&path), [7]);
    }

    #[tokio::test]
    async fn dropping_the_writer_finishes_what_is_queued() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let writer = start(&path);
        for id in 0..500 {
            // Polled once: the command is queued, and the answer is not waited for.
            let mut run = std::pin::pin!(writer.run(insert(id)));
            let _pending = futures::poll!(run.as_mut());
            // A task may hand in only so many commands before tokio makes it pause.
            tokio::task::yield_now().await;
        }
        drop(writer);
        assert_eq!(ids(&path), (0..500).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_command_that_panics_ends_the_writer_with_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let writer = start(&directory.path().join("store.sqlite"));
        let answer = writer.run::<(), _>(|_| panic!("a broken invariant")).await;
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
        let next = writer.run(insert(1)).await;
        assert!(matches!(next, Err(Error::Unavailable(_))), "{next:?}");
    }
}
