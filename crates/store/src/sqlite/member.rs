//! Members: which workers of a group are alive.
//!
//! A worker that dies is forgotten when its last beat runs out; its leases end by themselves.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::clock::whole_ms;
use super::column::sql_number;
use super::lease::stored_worker;
use super::push;
use crate::Result;
use crate::lease::WorkerId;
use crate::stream::{CONTROL_ENTRIES_MAX, GroupName, StreamName};

/// Says that a worker is alive, forgets those that are not, and announces on the group's control
/// stream who has come and who is dead. Answers whether it announced anything.
pub(super) fn beat(
    connection: &Connection,
    stream: &StreamName,
    group: &GroupName,
    worker: WorkerId,
    ttl: Duration,
    now_ms: u64,
) -> Result<bool> {
    let own = worker.to_string();
    let mut dead = forget_dead(connection, stream, group, now_ms)?;
    dead.retain(|id| *id != own);
    let ends_at_ms = sql_number(now_ms.saturating_add(whole_ms(ttl)));
    let renewed = connection
        .prepare_cached(
            "UPDATE tidegate_member SET ends_at_ms = ?4
             WHERE stream = ?1 AND group_name = ?2 AND worker = ?3",
        )?
        .execute(params![stream.identity(), group.as_str(), own, ends_at_ms])?;
    let mut announced = announce(connection, stream, group, "dead", &dead, now_ms)?;
    if renewed == 0 {
        connection
            .prepare_cached(
                "INSERT INTO tidegate_member (stream, group_name, worker, ends_at_ms)
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![stream.identity(), group.as_str(), own, ends_at_ms])?;
        announced |= announce(connection, stream, group, "join", &[own], now_ms)?;
    }
    Ok(announced)
}

fn forget_dead(
    connection: &Connection,
    stream: &StreamName,
    group: &GroupName,
    now_ms: u64,
) -> Result<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM tidegate_member
         WHERE stream = ?1 AND group_name = ?2 AND ends_at_ms <= ?3 RETURNING worker",
    )?;
    let parameters = params![stream.identity(), group.as_str(), sql_number(now_ms)];
    let dead = statement.query_map(parameters, |row| row.get(0))?;
    Ok(dead.collect::<Result<_, _>>()?)
}

/// Says that a worker has gone, and announces it, even where it had gone before: it says that it
/// has given something back since then. Answers whether it announced anything.
pub(super) fn leave(
    connection: &Connection,
    stream: &StreamName,
    group: &GroupName,
    worker: WorkerId,
    now_ms: u64,
) -> Result<bool> {
    let own = worker.to_string();
    connection
        .prepare_cached(
            "DELETE FROM tidegate_member WHERE stream = ?1 AND group_name = ?2 AND worker = ?3",
        )?
        .execute(params![stream.identity(), group.as_str(), own])?;
    announce(connection, stream, group, "leave", &[own], now_ms)
}

/// Tells the group who has come or gone, where it has a stream for that.
fn announce(
    connection: &Connection,
    stream: &StreamName,
    group: &GroupName,
    reason: &'static str,
    ids: &[String],
    now_ms: u64,
) -> Result<bool> {
    let Some(control) = stream.control(group).filter(|_| !ids.is_empty()) else {
        return Ok(false);
    };
    let control = control.partition(0);
    // An id has no character that JSON would escape.
    let ids = format!("[\"{}\"]", ids.join("\",\""));
    let fields = [
        (Bytes::from_static(b"reason"), Bytes::from(reason)),
        (Bytes::from_static(b"executor_ids"), Bytes::from(ids)),
    ];
    push::push(connection, &control, &fields, now_ms)?;
    push::cut(connection, &control, CONTROL_ENTRIES_MAX)?;
    Ok(true)
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
