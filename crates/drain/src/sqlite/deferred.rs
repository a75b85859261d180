//! Foreign keys that are `DEFERRABLE INITIALLY DEFERRED`: is one violated right now?
//!
//! SQLite checks such keys at the commit, when it is too late to say which entry is at fault. It
//! counts the open violations, but rusqlite has no safe way to ask for the count
//! (`sqlite3_db_status` with `SQLITE_DBSTATUS_DEFERRED_FKS`), and `PRAGMA foreign_key_check` reads
//! the whole table. So the count is observed: SQLite skips the work of settling violations while
//! there are none, and the number of steps of a statement tells whether it was skipped.
//!
//! The observation is calibrated on a made-up violation when the connection is opened. Where it
//! can't tell the two apart (a later SQLite), the drain doesn't open rather than guess. Files
//! without such keys never pay for any of this. If the process dies here, only temporary tables
//! are lost.

use rusqlite::{Connection, StatementStatus};

const TABLES: &str = "
CREATE TEMP TABLE tidegate_probe_parent (id INTEGER PRIMARY KEY);
CREATE TEMP TABLE tidegate_probe_child (
    id     INTEGER PRIMARY KEY,
    parent INTEGER REFERENCES tidegate_probe_parent DEFERRABLE INITIALLY DEFERRED
);
";

/// Inserts a child without a parent's key, which violates nothing.
const ADD: &str = "INSERT INTO temp.tidegate_probe_child (id, parent) VALUES (1, NULL)";

/// Deleting a child makes SQLite look whether that settles a violation, if there is any at all.
const REMOVE: &str = "DELETE FROM temp.tidegate_probe_child WHERE id = 1";

/// A made-up violation.
const VIOLATE: &str = "INSERT INTO temp.tidegate_probe_child (id, parent) VALUES (2, 7)";

/// What is known of the file's deferred foreign keys.
#[derive(Debug)]
pub(super) struct DeferredKeys {
    /// The steps of [`REMOVE`] while nothing is violated.
    steps_unviolated: i32,
    /// The file's schema that `may_exist` is about.
    schema_version: Option<i64>,
    may_exist: bool,
}

impl DeferredKeys {
    /// Sets the observation up on a connection and calibrates it.
    pub(super) fn new(connection: &Connection) -> rusqlite::Result<Self> {
        connection.execute_batch(TABLES)?;
        connection.execute_batch("SAVEPOINT tidegate_probe")?;
        let steps_unviolated = settled_steps(connection)?;
        let keys = Self {
            steps_unviolated,
            schema_version: None,
            may_exist: true,
        };
        let is_quiet = !keys.are_violated(connection)?;
        connection.execute_batch(VIOLATE)?;
        let is_loud = keys.are_violated(connection)?;
        connection.execute_batch("ROLLBACK TO tidegate_probe; RELEASE tidegate_probe")?;
        if is_quiet && is_loud {
            return Ok(keys);
        }
        Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_MISUSE),
            Some("this SQLite doesn't let deferred foreign keys be observed".to_owned()),
        ))
    }

    /// Looks whether the file may have deferred keys, if its schema has changed.
    pub(super) fn refresh(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let version = connection
            .prepare_cached("PRAGMA main.schema_version")?
            .query_row([], |row| row.get(0))?;
        if self.schema_version != Some(version) {
            // The word is there wherever the clause is; elsewhere it only costs time.
            self.may_exist = connection
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema
                     WHERE type = 'table' AND sql LIKE '%deferred%')",
                )?
                .query_row([], |row| row.get(0))?;
            self.schema_version = Some(version);
        }
        Ok(())
    }

    /// Whether the file may have a deferred key at all.
    pub(super) fn may_exist(&self) -> bool {
        self.may_exist
    }

    /// Whether a commit would fail now because of a deferred key.
    pub(super) fn are_violated(&self, connection: &Connection) -> rusqlite::Result<bool> {
        // A statement that is compiled anew takes more steps once, so one look more is needed
        // before an entry is blamed.
        Ok(steps(connection)? != self.steps_unviolated
            && steps(connection)? != self.steps_unviolated)
    }
}

/// The steps when they have come to be the same twice.
fn settled_steps(connection: &Connection) -> rusqlite::Result<i32> {
    steps(connection)?;
    steps(connection)
}

fn steps(connection: &Connection) -> rusqlite::Result<i32> {
    connection.prepare_cached(ADD)?.execute([])?;
    let mut remove = connection.prepare_cached(REMOVE)?;
    remove.reset_status(StatementStatus::VmStep);
    remove.execute([])?;
    Ok(remove.reset_status(StatementStatus::VmStep))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "
        PRAGMA foreign_keys = ON;
        CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (
            id INTEGER PRIMARY KEY,
            parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED
        );
    ";

    #[test]
    fn a_violation_is_seen_until_it_is_settled() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let mut keys = DeferredKeys::new(&connection).unwrap();
        keys.refresh(&connection).unwrap();
        assert!(keys.may_exist());
        connection
            .execute_batch("BEGIN; INSERT INTO child VALUES (1, 5)")
            .unwrap();
        assert!(keys.are_violated(&connection).unwrap());
        connection
            .execute_batch("SAVEPOINT s; INSERT INTO parent VALUES (5)")
            .unwrap();
        assert!(!keys.are_violated(&connection).unwrap());
        connection.execute_batch("ROLLBACK TO s").unwrap();
        assert!(keys.are_violated(&connection).unwrap());
        connection
            .execute_batch("INSERT INTO parent VALUES (5); COMMIT")
            .unwrap();
        assert!(!keys.are_violated(&connection).unwrap());
    }

    #[test]
    fn a_change_of_the_schema_does_not_look_like_a_violation() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let mut keys = DeferredKeys::new(&connection).unwrap();
        for number in 0..20 {
            connection
                .execute_batch(&format!("CREATE TEMP TABLE other_{number} (id)"))
                .unwrap();
            connection
                .execute_batch(&format!("CREATE TABLE more_{number} (id)"))
                .unwrap();
            keys.refresh(&connection).unwrap();
            assert!(!keys.are_violated(&connection).unwrap());
        }
    }

    #[test]
    fn a_file_without_such_keys_pays_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        let mut keys = DeferredKeys::new(&connection).unwrap();
        keys.refresh(&connection).unwrap();
        assert!(!keys.may_exist());
    }
}
