//! The drain's own tables in the target file. All begin with `tidegate_`, like the embedded
//! store's, which may live in the same file.
//!
//! | table | row | written by |
//! |---|---|---|
//! | `tidegate_sink_meta` | the version of these tables | the first to prepare the file |
//! | `tidegate_ledger` | how far a shard is, under which epoch, and what it has counted | claim, advance, revise |
//! | `tidegate_recent` | ids and digests of entries that were settled last | advance |
//! | `tidegate_dead_letter` | a held entry with its reason and the rows it touches | hold, release |
//!
//! The tables are created in one transaction: a process that dies here leaves none of them.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::failure::from_sqlite;
use crate::error::{Error, Result};

/// The version of the tables below. A file of an earlier version is brought up to it.
const SCHEMA_VERSION: i64 = 2;

/// What version 2 adds.
const RECENT: &str = "
CREATE TABLE tidegate_recent (
    stream  TEXT NOT NULL,
    shard   INTEGER NOT NULL,
    slot    INTEGER NOT NULL,
    number  INTEGER NOT NULL,
    entries BLOB NOT NULL,
    PRIMARY KEY (stream, shard, slot)
);
";

const TABLES: &str = "
CREATE TABLE tidegate_sink_meta (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE tidegate_ledger (
    stream     TEXT NOT NULL,
    shard      INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    position   TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    applied    INTEGER NOT NULL,
    preceding  INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (stream, shard)
) WITHOUT ROWID;

CREATE TABLE tidegate_dead_letter (
    stream      TEXT NOT NULL,
    shard       INTEGER NOT NULL,
    entry_id    TEXT NOT NULL,
    entry_order TEXT NOT NULL,
    state       TEXT NOT NULL,
    code        TEXT NOT NULL,
    sqlstate    TEXT,
    reason      TEXT NOT NULL,
    since_ms    INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    row_keys    BLOB NOT NULL,
    entry       TEXT NOT NULL,
    PRIMARY KEY (stream, shard, entry_id)
);

CREATE INDEX tidegate_dead_letter_by_state ON tidegate_dead_letter (stream, shard, state);
CREATE INDEX tidegate_dead_letter_by_order ON tidegate_dead_letter (stream, entry_order, shard);
";

/// Creates the tables where they are missing, and checks their version.
///
/// # Errors
/// [`Error::SinkRefused`] for a file that a newer Tidegate has written.
pub(super) fn prepare(connection: &Connection) -> Result<()> {
    // Most files have their tables: then nobody has to wait for the writers' lock here.
    if let Some(SCHEMA_VERSION) = version(connection)? {
        return Ok(());
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
        .map_err(from_sqlite)?;
    match version(&transaction)? {
        Some(1) => upgrade(&transaction).map_err(from_sqlite)?,
        Some(found) => check(found)?,
        None => create(&transaction).map_err(from_sqlite)?,
    }
    transaction.commit().map_err(from_sqlite)
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    connection.execute_batch(RECENT)?;
    connection.execute(
        "INSERT INTO tidegate_sink_meta (key, value) VALUES ('schema_version', ?1)",
        [SCHEMA_VERSION],
    )?;
    Ok(())
}

fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(RECENT)?;
    connection.execute(
        "UPDATE tidegate_sink_meta SET value = ?1 WHERE key = 'schema_version'",
        [SCHEMA_VERSION],
    )?;
    Ok(())
}

/// The version of the file's tables; none where it has none of the drain's.
fn version(connection: &Connection) -> Result<Option<i64>> {
    let has_meta = connection
        .prepare_cached(
            "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = 'tidegate_sink_meta'",
        )
        .and_then(|mut statement| statement.exists([]))
        .map_err(from_sqlite)?;
    if !has_meta {
        return Ok(None);
    }
    connection
        .query_row(
            "SELECT value FROM tidegate_sink_meta WHERE key = 'schema_version'",
            [],
            |row| row.get(0),
        )
        .optional()
        .map_err(from_sqlite)?
        .map(Some)
        .ok_or_else(|| Error::Corrupt("tidegate_sink_meta has no schema_version".to_owned()))
}

fn check(found: i64) -> Result<()> {
    match found {
        SCHEMA_VERSION => Ok(()),
        newer if newer > SCHEMA_VERSION => Err(Error::SinkRefused(
            format!(
                "the drain's tables are of version {newer}, this Tidegate knows {SCHEMA_VERSION}: \
                 use the newer Tidegate that wrote them"
            )
            .into(),
        )),
        unknown => Err(Error::Corrupt(format!(
            "the drain's tables are of version {unknown}"
        ))),
    }
}
