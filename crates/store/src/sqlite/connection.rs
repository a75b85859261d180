//! Opening one connection to the file, with the settings that the promises rest on.
//!
//! * `journal_mode=WAL`: readers never wait for the writer, nor it for them.
//! * `synchronous=FULL`: a commit is on the disk when it returns.
//! * `journal_size_limit`: a log that a burst has blown up shrinks again at the next checkpoint.
//!   Pages of trimmed entries stay in the file and are used again.
//! * A busy handler that looks every millisecond. SQLite's own backs off up to 100 ms and so
//!   starves whoever comes second.
//!
//! The file is opened by SQLite only, never by `std::fs`: closing any other descriptor of it
//! would drop this process's locks on it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::{Error, Result};

/// How often a connection looks whether the lock it waits for is free.
pub(super) const BUSY_POLL: Duration = Duration::from_millis(1);

/// How long a connection waits for a lock before the call is [`Error::Unavailable`].
pub(super) const BUSY_WAIT_MAX: Duration = Duration::from_secs(30);

/// A payment operation of about 1 kB stays in its leaf of the tree; with SQLite's 4,096 it would
/// take an overflow page of its own.
const PAGE_BYTES: u32 = 8192;

/// The log is cut to this size when it starts again from its beginning.
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Pages kept in memory by the writer: the ends of some dozens of partitions, and their way there.
const CACHE_KIB_WRITER: i64 = 32 * 1024;

/// Pages kept in memory by one reader.
const CACHE_KIB_READER: i64 = 8 * 1024;

/// More than the store has statements.
const STATEMENTS_CACHED: usize = 64;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// The writer thread's.
    Write,
    /// A reader's: a write through it is refused.
    Read,
}

/// Opens a connection. The file is created when it is missing.
pub(super) fn open(path: &Path, access: Access) -> Result<Connection> {
    if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
        // Each connection would get a database of its own.
        return Err(Error::Invalid(format!(
            "{}: the embedded store needs a file",
            path.display()
        )));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    connection.busy_handler(Some(wait_for_lock()))?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    switch_to_wal(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX.to_string())?;
    // A negative size counts KiB, a positive one pages.
    match access {
        Access::Write => connection.pragma_update(None, "cache_size", -CACHE_KIB_WRITER)?,
        Access::Read => {
            connection.pragma_update(None, "cache_size", -CACHE_KIB_READER)?;
            connection.pragma_update(None, "query_only", true)?;
        }
    }
    Ok(connection)
}

/// A busy handler: polls until [`BUSY_WAIT_MAX`] has passed since the first look.
fn wait_for_lock() -> impl FnMut(i32) -> bool + Send + 'static {
    let mut began = Instant::now();
    move |looks| {
        if looks == 0 {
            began = Instant::now();
        }
        // This is the timer of a lock that has no wake-up; it runs on a blocking thread.
        thread::sleep(BUSY_POLL);
        began.elapsed() < BUSY_WAIT_MAX
    }
}

/// Several processes may create one file at the same moment. Changing the journal's mode does
/// not always ask the busy handler, so the change itself is repeated.
fn switch_to_wal(connection: &Connection) -> Result<()> {
    let mut may_wait = wait_for_lock();
    let mut looks = 0;
    loop {
        let mode: rusqlite::Result<String> =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0));
        match mode.map_err(Error::from) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let why = format!("the file's journal stays in mode {mode:?}, it must be WAL");
                return Err(Error::Refused(why.into()));
            }
            Err(error) if error.is_transient() && may_wait(looks) => looks += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_durable_and_readers_do_not_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let writer = open(&path, Access::Write).unwrap();
        let full: i64 = writer
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap();
        assert_eq!(full, 2);
        let reader = open(&path, Access::Read).unwrap();
        assert!(
            reader
                .execute_batch("CREATE TABLE other (id INTEGER)")
                .is_err()
        );
    }

    #[test]
    fn a_database_in_memory_is_refused() {
        let opened = open(Path::new(":memory:"), Access::Write);
        assert!(matches!(opened, Err(Error::Invalid(_))));
    }
}
