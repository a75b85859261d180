//! The tables of the embedded store. All begin with `tidegate_`, so that a sink's tables can
//! live in the same file.
//!
//! | table | row | written by |
//! |---|---|---|
//! | `tidegate_meta` | the version of these tables | the first to open the file |
//! | `tidegate_partition` | a partition: its newest id, how many entries were ever appended, and whether it is sealed | append, seal |
//! | `tidegate_sent` | a request id, the entry that was appended for it, and until when it is known | append |
//! | `tidegate_entry` | an entry, clustered by its position; `ordinal` counts from 1 in each partition | append, trim |
//! | `tidegate_group` | a group's position in a partition | fetch, acknowledge through |
//! | `tidegate_pending` | an entry delivered to a group and not acknowledged | fetch, acknowledge |
//! | `tidegate_lease` | who owns a partition for a group; the row, and so the epoch, outlives every owner | acquire, renew, release |
//! | `tidegate_mark` | a small fact about a group's part in a partition | put, set and clear mark |
//! | `tidegate_member` | a worker that is alive | beat, leave |
//! | `tidegate_task_queue` | a queue of background tasks | the first to enqueue or work |
//! | `tidegate_task` | a key and a value of a queue; `task/machine/map.rs` lists the keys | every transition of a task |
//!
//! Trimming deletes only the oldest entries, so the ordinals of a partition have no gaps (but those
//! of a parked stream's, from which any entry can go): two of them tell how many entries lie between, and no question has to count the entries.
//!
//! The tables are created in one transaction: a process that dies here leaves none of them.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::{Error, Result};

/// The version of the tables below: that of [`TABLES`] alone is 1, and each upgrade adds one.
const SCHEMA_VERSION: i64 = 5;

/// What brings a file of each version to the next one, from version 1 on.
const UPGRADES: [&str; 4] = [
    "
CREATE TABLE tidegate_mark (
    partition_id INTEGER NOT NULL,
    group_name   TEXT NOT NULL,
    name         TEXT NOT NULL,
    value        BLOB NOT NULL,
    PRIMARY KEY (partition_id, group_name, name)
) WITHOUT ROWID;
",
    "
CREATE TABLE tidegate_sent (
    id           INTEGER PRIMARY KEY,
    partition_id INTEGER NOT NULL,
    request_id   BLOB NOT NULL,
    ms           INTEGER NOT NULL,
    sequence     INTEGER NOT NULL,
    ends_at_ms   INTEGER NOT NULL,
    UNIQUE (partition_id, request_id)
);
CREATE INDEX tidegate_sent_end ON tidegate_sent (ends_at_ms);
",
    "
ALTER TABLE tidegate_partition ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;
",
    "
CREATE TABLE tidegate_task_queue (
    id   INTEGER PRIMARY KEY,
    app  TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (app, name)
);
CREATE TABLE tidegate_task (
    queue_id INTEGER NOT NULL,
    key      BLOB NOT NULL,
    value    BLOB NOT NULL,
    PRIMARY KEY (queue_id, key)
) WITHOUT ROWID;
",
];

const TABLES: &str = "
CREATE TABLE tidegate_meta (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE tidegate_partition (
    id            INTEGER PRIMARY KEY,
    stream        TEXT NOT NULL,
    number        INTEGER NOT NULL,
    last_ms       INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    appended      INTEGER NOT NULL,
    UNIQUE (stream, number)
);

CREATE TABLE tidegate_entry (
    partition_id INTEGER NOT NULL,
    ms           INTEGER NOT NULL,
    sequence     INTEGER NOT NULL,
    ordinal      INTEGER NOT NULL,
    fields       BLOB NOT NULL,
    PRIMARY KEY (partition_id, ms, sequence)
) WITHOUT ROWID;

CREATE TABLE tidegate_group (
    id                 INTEGER PRIMARY KEY,
    partition_id       INTEGER NOT NULL,
    name               TEXT NOT NULL,
    delivered_ms       INTEGER NOT NULL,
    delivered_sequence INTEGER NOT NULL,
    UNIQUE (partition_id, name)
);

CREATE TABLE tidegate_pending (
    group_id INTEGER NOT NULL,
    ms       INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (group_id, ms, sequence)
) WITHOUT ROWID;

CREATE TABLE tidegate_lease (
    partition_id INTEGER NOT NULL,
    group_name   TEXT NOT NULL,
    epoch        INTEGER NOT NULL,
    worker       TEXT,
    ends_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (partition_id, group_name)
) WITHOUT ROWID;

CREATE TABLE tidegate_member (
    stream     TEXT NOT NULL,
    group_name TEXT NOT NULL,
    worker     TEXT NOT NULL,
    ends_at_ms INTEGER NOT NULL,
    PRIMARY KEY (stream, group_name, worker)
) WITHOUT ROWID;
";

/// Creates the tables where they are missing, and brings those of an earlier version up to date.
///
/// # Errors
/// [`Error::Refused`] for a file that a newer Tidegate has written.
pub(super) fn prepare(connection: &mut Connection) -> Result<()> {
    // Most files have their tables: then nobody has to wait for the writers' lock here.
    if version(connection)? == Some(SCHEMA_VERSION) {
        return Ok(());
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let found = match version(&transaction)? {
        Some(found) => found,
        None => {
            transaction.execute_batch(TABLES)?;
            transaction.execute(
                "INSERT INTO tidegate_meta (key, value) VALUES ('schema_version', 1)",
                [],
            )?;
            1
        }
    };
    check(found)?;
    for (version, upgrade) in (2..).zip(UPGRADES) {
        if version > found {
            transaction.execute_batch(upgrade)?;
        }
    }
    transaction.execute(
        "UPDATE tidegate_meta SET value = ?1 WHERE key = 'schema_version'",
        [SCHEMA_VERSION],
    )?;
    transaction.commit()?;
    Ok(())
}

/// The version of the file's tables; none where it has none of Tidegate's.
pub(super) fn version(connection: &Connection) -> Result<Option<i64>> {
    let has_meta = connection
        .prepare_cached(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'tidegate_meta'",
        )?
        .exists([])?;
    if !has_meta {
        return Ok(None);
    }
    connection
        .prepare_cached("SELECT value FROM tidegate_meta WHERE key = 'schema_version'")?
        .query_row([], |row| row.get(0))
        .optional()?
        .map(Some)
        .ok_or_else(|| Error::Corrupt("tidegate_meta has no schema_version".into()))
}

fn check(found: i64) -> Result<()> {
    match found {
        1..=SCHEMA_VERSION => Ok(()),
        newer if newer > SCHEMA_VERSION => Err(Error::Refused(
            format!(
                "the file's tables are of version {newer}, this Tidegate knows {SCHEMA_VERSION}: \
                 use the newer Tidegate that wrote it"
            )
            .into(),
        )),
        unknown => Err(Error::Corrupt(format!(
            "the file's tables are of version {unknown}"
        ))),
    }
}
