//! Opening one connection to the file, with the settings that the promises rest on.
//!
//! * `journal_mode=WAL`: readers never wait for the writer, nor it for them.
//! * `synchronous=FULL`: a commit is on the disk when it returns.
//! * `foreign_keys=ON`: SQLite leaves them unchecked otherwise.
//! * A busy handler that looks every millisecond. SQLite's own backs off up to 100 ms and so
//!   starves whoever comes second; the embedded store may have the same file open.
//!
//! The file is opened by SQLite only, never by `std::fs`: closing any other descriptor of it
//! would drop this process's locks on it. If the process dies here, nothing was written but the
//! mode of the journal.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::failure::{from_sqlite, is_worth_waiting};
use crate::error::{Error, Result};

/// How often a connection looks whether the lock it waits for is free.
pub(super) const BUSY_POLL: Duration = Duration::from_millis(1);

/// How long a connection waits for a lock before the sink is unavailable.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(30);

/// A row of about 1 kB stays in its leaf of the tree; the same as the embedded store's.
const PAGE_BYTES: u32 = 8192;

/// The log is cut to this size when it starts again from its beginning.
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The most memory one connection keeps pages in, in KiB.
const CACHE_KIB_MAX: i64 = 64 * 1024;

/// How many prepared statements a connection keeps: the drain's own, and one for each shape of
/// change that comes often.
const STATEMENTS_CACHED_MAX: usize = 256;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Rows, ledger and dead letters.
    Write,
    /// Reports and the catalog: a write through it is refused.
    Read,
}

/// Opens a connection. The file is created when it is missing.
pub(super) fn open(path: &Path, access: Access) -> Result<Connection> {
    if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
        // Each connection would get a database of its own.
        let path = path.display();
        return Err(Error::Invalid(format!(
            "{path:?}: a SQLite target needs a file; name one"
        )));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(from_sqlite)?;
    set_up(&mut connection, access).map_err(from_sqlite)?;
    switch_to_wal(&connection)?;
    if access == Access::Read {
        connection
            .pragma_update(None, "query_only", true)
            .map_err(from_sqlite)?;
    }
    Ok(connection)
}

fn set_up(connection: &mut Connection, access: Access) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    connection.busy_handler(Some(wait_for_lock()))?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX.to_string())?;
    if access == Access::Write {
        // A negative number is in KiB, a positive one would be in pages.
        connection.pragma_update(None, "cache_size", -CACHE_KIB_MAX)?;
    }
    Ok(())
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
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let why = format!("the file's journal stays in mode {mode:?}, it must be WAL");
                return Err(Error::SinkRefused(why.into()));
            }
            Err(error) if is_worth_waiting(&error) && may_wait(looks) => looks += 1,
            Err(error) => return Err(from_sqlite(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_durable_keys_are_checked_and_readers_do_not_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("target.sqlite");
        let writer = open(&path, Access::Write).unwrap();
        let pragma = |name| writer.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        assert_eq!(
            (pragma("synchronous"), pragma("foreign_keys")),
            (Ok(2), Ok(1))
        );
        let reader = open(&path, Access::Read).unwrap();
        assert!(
            reader
                .execute_batch("CREATE TABLE other (id INTEGER)")
                .is_err()
        );
    }

    #[test]
    fn a_database_in_memory_is_refused() {
        assert!(matches!(
            open(Path::new(":memory:"), Access::Write),
            Err(Error::Invalid(_))
        ));
    }
}
