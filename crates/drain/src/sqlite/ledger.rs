//! The ledger: one row per shard that says how far it is and under which epoch.
//!
//! Every function runs inside an open transaction that holds the file's write lock (but for
//! [`report`], which only reads), so what one of them reads nobody changes before the commit.
//! If the process dies before the commit, the ledger is as it was.

use rusqlite::{Connection, OptionalExtension, named_params};
use tidegate_store::{EntryId, Epoch, Partition};

use super::column::{ShardKey, entry_id, number, to_sql};
use super::failure::from_sqlite;
use super::letters;
use crate::error::{Error, Result};
use crate::recent::{Addition, Newest};
use crate::sink::{Claim, Fence, LedgerRow};

/// The database's clock, in Unix milliseconds.
const NOW_MS: &str = "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)";

const ENTER: &str = "
    INSERT INTO tidegate_ledger
        (stream, shard, epoch, position, revision, applied, preceding, updated_ms)
    VALUES (:stream, :shard, :epoch, :position, 0, 0, :preceding, {now})";

const TAKE_OVER: &str = "
    UPDATE tidegate_ledger SET epoch = :epoch, updated_ms = {now}
    WHERE stream = :stream AND shard = :shard";

const ADVANCE: &str = "
    UPDATE tidegate_ledger
    SET position = :to, applied = applied + :applied, updated_ms = {now}
    WHERE stream = :stream AND shard = :shard AND epoch = :epoch AND revision = :revision
      AND position = :from";

const REVISE: &str = "
    UPDATE tidegate_ledger
    SET applied = applied + :applied, revision = revision + 1, updated_ms = {now}
    WHERE stream = :stream AND shard = :shard";

const REPORT: &str = "
    SELECT ledger.*,
        (SELECT count(*) FROM held WHERE shard = ledger.shard AND state = 'dead') AS dead,
        (SELECT count(*) FROM held WHERE shard = ledger.shard AND state = 'waiting') AS waiting,
        (SELECT count(*) FROM held WHERE shard = ledger.shard AND state = 'parked') AS parked,
        (SELECT count(*) FROM held WHERE shard = ledger.shard AND state = 'discarded') AS discarded
    FROM tidegate_ledger AS ledger
    WHERE stream = :stream ORDER BY shard";

fn with_clock(sql: &str) -> String {
    sql.replace("{now}", NOW_MS)
}

/// Makes `epoch` the shard's newest one; see [`Sink::claim`](crate::sink::Sink::claim).
pub(super) fn claim(
    connection: &Connection,
    shard: &Partition,
    epoch: Epoch,
    preceding: u64,
) -> Result<Claim> {
    let key = ShardKey::from(shard);
    let epoch_sql = to_sql(epoch.0, "epoch")?;
    let preceding = to_sql(preceding, "count")?;
    let Some((ledger_epoch, position, revision)) = find(connection, &key)? else {
        connection
            .prepare_cached(&with_clock(ENTER))
            .and_then(|mut statement| {
                statement.execute(named_params! {
                    ":stream": key.stream, ":shard": key.shard, ":epoch": epoch_sql,
                    ":position": EntryId::ZERO.to_string(), ":preceding": preceding,
                })
            })
            .map_err(from_sqlite)?;
        let held = letters::index(connection, &key)?;
        return Ok(Claim {
            position: EntryId::ZERO,
            revision: 0,
            held,
            newest: Newest::default(),
        });
    };
    if ledger_epoch > epoch {
        return Err(Error::Fenced {
            shard: shard.clone(),
            epoch,
            ledger_epoch,
        });
    }
    connection
        .prepare_cached(&with_clock(TAKE_OVER))
        .and_then(|mut statement| {
            statement.execute(named_params! {
                ":stream": key.stream, ":shard": key.shard, ":epoch": epoch_sql,
            })
        })
        .map_err(from_sqlite)?;
    Ok(Claim {
        position,
        revision,
        held: letters::index(connection, &key)?,
        newest: newest(connection, &key).map_err(from_sqlite)?,
    })
}

fn newest(connection: &Connection, key: &ShardKey) -> rusqlite::Result<Newest> {
    let mut statement = connection.prepare_cached(
        "SELECT number, length(entries) FROM tidegate_recent
         WHERE stream = ?1 AND shard = ?2 ORDER BY number DESC LIMIT 1",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Newest {
            number: row.get(0)?,
            bytes: usize::try_from(row.get::<_, i64>(1)?).unwrap_or_default(),
        })
    };
    let newest = statement.query_row((&key.stream, key.shard), read);
    Ok(newest.optional()?.unwrap_or_default())
}

/// What is remembered of the entries settled last, from the oldest slot to the newest.
pub(super) fn recent(connection: &Connection, key: &ShardKey) -> Result<Vec<Vec<u8>>> {
    let read = || {
        let mut statement = connection.prepare_cached(
            "SELECT entries FROM tidegate_recent WHERE stream = ?1 AND shard = ?2 ORDER BY number",
        )?;
        let rows = statement.query_map((&key.stream, key.shard), |row| row.get(0))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(from_sqlite)
}

/// Adds to what is remembered.
pub(super) fn remember(connection: &Connection, key: &ShardKey, addition: &Addition) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO tidegate_recent (stream, shard, slot, number, entries)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET number = excluded.number, entries = CASE
                 WHEN number = excluded.number THEN CAST(entries || excluded.entries AS BLOB)
                 ELSE excluded.entries END",
        )
        .and_then(|mut statement| {
            statement.execute((
                &key.stream,
                key.shard,
                addition.slot(),
                addition.number,
                &addition.chunk,
            ))
        })
        .map_err(from_sqlite)?;
    Ok(())
}

/// Moves the ledger if the fence holds, and says whether it did.
pub(super) fn advance(
    connection: &Connection,
    key: &ShardKey,
    fence: &Fence,
    position: EntryId,
    applied: u64,
) -> Result<bool> {
    let epoch = to_sql(fence.epoch.0, "epoch")?;
    let applied = to_sql(applied, "count")?;
    let moved = connection
        .prepare_cached(&with_clock(ADVANCE))
        .and_then(|mut statement| {
            statement.execute(named_params! {
                ":stream": key.stream, ":shard": key.shard, ":epoch": epoch,
                ":revision": fence.revision, ":from": fence.position.to_string(),
                ":to": position.to_string(), ":applied": applied,
            })
        })
        .map_err(from_sqlite)?;
    Ok(moved == 1)
}

/// Whether the shard was ever claimed. Its row needs no lock of its own: the transaction has the
/// whole file's.
pub(super) fn exists(connection: &Connection, key: &ShardKey) -> Result<bool> {
    Ok(find(connection, key)?.is_some())
}

/// Counts applied entries and gives the ledger a new revision.
pub(super) fn revise(connection: &Connection, key: &ShardKey, applied: u64) -> Result<()> {
    let applied = to_sql(applied, "count")?;
    let revised = connection
        .prepare_cached(&with_clock(REVISE))
        .and_then(|mut statement| {
            statement.execute(named_params! {
                ":stream": key.stream, ":shard": key.shard, ":applied": applied,
            })
        })
        .map_err(from_sqlite)?;
    match revised {
        1 => Ok(()),
        _ => Err(Error::Invalid(format!(
            "shard {}/{} was never claimed, so its ledger can't be revised",
            key.stream, key.shard
        ))),
    }
}

/// The ledger of a stream with what its shards hold, in one statement and so of one moment.
pub(super) fn report(connection: &Connection, stream: &str) -> Result<Vec<LedgerRow>> {
    let sql = format!(
        "WITH held AS NOT MATERIALIZED
            (SELECT shard, state FROM tidegate_dead_letter WHERE stream = :stream) {REPORT}"
    );
    let mut statement = connection.prepare_cached(&sql).map_err(from_sqlite)?;
    let mut rows = statement
        .query(named_params! { ":stream": stream })
        .map_err(from_sqlite)?;
    let mut ledger = Vec::new();
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        ledger.push(LedgerRow {
            shard: number(row, "shard")?,
            epoch: Epoch(number(row, "epoch")?),
            position: entry_id(row, "position")?,
            applied: number(row, "applied")?,
            preceding: number(row, "preceding")?,
            dead: number(row, "dead")?,
            waiting: number(row, "waiting")?,
            parked: number(row, "parked")?,
            discarded: number(row, "discarded")?,
            updated_ms: number(row, "updated_ms")?,
        });
    }
    Ok(ledger)
}

/// Epoch, position and revision of a shard.
fn find(connection: &Connection, key: &ShardKey) -> Result<Option<(Epoch, EntryId, i64)>> {
    let mut statement = connection
        .prepare_cached(
            "SELECT epoch, position, revision FROM tidegate_ledger
             WHERE stream = ?1 AND shard = ?2",
        )
        .map_err(from_sqlite)?;
    statement
        .query_row((&key.stream, key.shard), |row| {
            let read = || {
                let position = entry_id(row, "position")?;
                let revision = row.get("revision").map_err(from_sqlite)?;
                Ok((Epoch(number(row, "epoch")?), position, revision))
            };
            Ok(read())
        })
        .optional()
        .map_err(from_sqlite)?
        .transpose()
}
