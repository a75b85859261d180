//! Members: which workers of a group are alive.
//!
//! A worker that dies is forgotten when its last beat runs out; its leases end by themselves.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::clock::whole_ms;
use super::column::sql_number;
use super::lease::stored_worker;
use crate::Result;
use crate::lease::WorkerId;
use crate::stream::{GroupName, StreamName};

/// Says that a worker is alive, and forgets those that are not.
pub(super) fn beat(
    connection: &Connection,
    stream: &StreamName,
    group: &GroupName,
    worker: WorkerId,
    ttl: Duration,
    now_ms: u64,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO tidegate_member (stream, group_name, worker, ends_at_ms)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET ends_at_ms = excluded.ends_at_ms",
        )?
        .execute(params![
            stream.identity(),
            group.as_str(),
            worker.to_string(),
            sql_number(now_ms.saturating_add(whole_ms(ttl))),
        ])?;
    connection
        .prepare_cached(
            "DELETE FROM tidegate_member
             WHERE stream = ?1 AND group_name = ?2 AND ends_at_ms <= ?3",
        )?
        .execute(params![
            stream.identity(),
            group.as_str(),
            sql_number(now_ms)
        ])?;
    Ok(())
}

/// Says that a worker has gone.
pub(super) fn leave(
    connection: &Connection,
    stream: &StreamName,
    group: &GroupName,
    worker: WorkerId,
) -> Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM tidegate_member WHERE stream = ?1 AND group_name = ?2 AND worker = ?3",
        )?
        .execute(params![
            stream.identity(),
            group.as_str(),
            worker.to_string()
        ])?;
    Ok(())
}

/// The workers that are alive, sorted.
pub(super) fn workers(
    connection: &Connection,
    stream: &StreamName,
    group: &GroupName,
    now_ms: u64,
) -> Result<Vec<WorkerId>> {
    let mut statement = connection.prepare_cached(
        "SELECT worker FROM tidegate_member
         WHERE stream = ?1 AND group_name = ?2 AND ends_at_ms > ?3",
    )?;
    let mut rows = statement.query(params![
        stream.identity(),
        group.as_str(),
        sql_number(now_ms)
    ])?;
    let mut workers = Vec::new();
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        workers.push(stored_worker(&text)?);
    }
    // The text of an id doesn't sort as the id does.
    workers.sort_unstable();
    Ok(workers)
}
