//! A queue's ordered map in a table.

use rusqlite::{Connection, OptionalExtension as _};

use crate::Result;
use crate::sqlite::column::sql_count;
use crate::task::QueueName;
use crate::task::machine::map::{Map, Pair};

/// The rows of one queue. A queue that has no row yet is empty, and can't be written.
#[derive(Debug)]
pub(super) struct SqliteMap<'a> {
    connection: &'a Connection,
    queue_id: Option<i64>,
}

impl<'a> SqliteMap<'a> {
    /// The map of a queue, to be read.
    pub(super) fn find(connection: &'a Connection, queue: &QueueName) -> Result<Self> {
        let queue_id = connection
            .prepare_cached("SELECT id FROM tidegate_task_queue WHERE app = ?1 AND name = ?2")?
            .query_row([queue.app(), queue.name()], |row| row.get(0))
            .optional()?;
        Ok(Self {
            connection,
            queue_id,
        })
    }

    /// The map of a queue, which is there from now on.
    pub(super) fn open(connection: &'a Connection, queue: &QueueName) -> Result<Self> {
        let found = Self::find(connection, queue)?;
        if found.queue_id.is_some() {
            return Ok(found);
        }
        connection
            .prepare_cached("INSERT INTO tidegate_task_queue (app, name) VALUES (?1, ?2)")?
            .execute([queue.app(), queue.name()])?;
        Self::find(connection, queue)
    }
}

impl Map for SqliteMap<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let value = self
            .connection
            .prepare_cached("SELECT value FROM tidegate_task WHERE queue_id = ?1 AND key = ?2")?
            .query_row((self.queue_id, key), |row| row.get(0));
        Ok(value.optional()?)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO tidegate_task (queue_id, key, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET value = excluded.value",
            )?
            .execute((self.queue_id, key, value))?;
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<bool> {
        let removed = self
            .connection
            .prepare_cached("DELETE FROM tidegate_task WHERE queue_id = ?1 AND key = ?2")?
            .execute((self.queue_id, key))?;
        Ok(removed > 0)
    }

    fn scan(&self, prefix: &[u8], skip: usize, limit: usize) -> Result<Vec<Pair>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT substr(key, ?6), value FROM tidegate_task
             WHERE queue_id = ?1 AND key >= ?2 AND key < ?3 ORDER BY key LIMIT ?4 OFFSET ?5",
        )?;
        let rows = statement.query_map(
            (
                self.queue_id,
                prefix,
                end_of(prefix),
                sql_count(limit),
                sql_count(skip),
                // SQLite counts from 1.
                sql_count(prefix.len() + 1),
            ),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn count(&self, prefix: &[u8]) -> Result<u64> {
        let count: i64 = self
            .connection
            .prepare_cached(
                "SELECT count(*) FROM tidegate_task
                 WHERE queue_id = ?1 AND key >= ?2 AND key < ?3",
            )?
            .query_row((self.queue_id, prefix, end_of(prefix)), |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}

/// The first key behind all those that begin with a prefix.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_behind_all_its_keys() {
        assert_eq!(end_of(b"ab"), b"ac");
        assert_eq!(end_of(b"a\xff"), b"b");
        assert!(end_of(b"a\0").as_slice() > b"a\0\xff\xff".as_slice());
    }
}
