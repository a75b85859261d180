//! Dead letters in the target file: held entries, whole, with their reasons.
//!
//! The writing functions run inside an open transaction; what is held becomes true with the
//! ledger's step past it, or not at all. If the process dies before the commit, nothing is held
//! and the entries are read from the stream again.

use rusqlite::{Connection, OptionalExtension, Row, named_params, params_from_iter, types::Value};
use tidegate_store::EntryId;

use super::column::{ShardKey, entry_id, number, order_of, to_sql};
use super::failure::from_sqlite;
use crate::dead_letter::{
    DeadLetter, DeadLetterFilter, LetterId, StoredLetter, pack_rows, unpack_rows,
};
use crate::envelope::Envelope;
use crate::error::{Error, Result};
use crate::held::{Held, HeldIndex, HeldState};

const HOLD: &str = "
    INSERT INTO tidegate_dead_letter
        (stream, shard, entry_id, entry_order, state, code, sqlstate, reason, since_ms, attempts,
         row_keys, entry)
    VALUES (:stream, :shard, :entry_id, :entry_order, :state, :code, :sqlstate, :reason,
         :since_ms, :attempts, :row_keys, :entry)
    ON CONFLICT (stream, shard, entry_id) DO UPDATE SET
        state = excluded.state, code = excluded.code, sqlstate = excluded.sqlstate,
        reason = excluded.reason, since_ms = excluded.since_ms,
        attempts = attempts + excluded.attempts, row_keys = excluded.row_keys";

const INDEX: &str = "
    SELECT entry_id, state, code, since_ms, row_keys FROM tidegate_dead_letter
    WHERE stream = ?1 AND shard = ?2 AND state <> 'discarded'";

const LOAD: &str = "
    SELECT entry FROM tidegate_dead_letter
    WHERE stream = ?1 AND shard = ?2 AND entry_id = ?3 AND state <> 'discarded'";

const RELEASE: &str = "
    DELETE FROM tidegate_dead_letter
    WHERE stream = ?1 AND shard = ?2 AND entry_id = ?3 AND state <> 'discarded'";

const DISCARD: &str = "
    UPDATE tidegate_dead_letter SET state = 'discarded'
    WHERE stream = ?1 AND shard = ?2 AND entry_id = ?3";

/// Stores held entries; one that is there already gets the new state and reason.
pub(super) fn hold(connection: &Connection, key: &ShardKey, letters: &[DeadLetter]) -> Result<()> {
    let mut statement = connection.prepare_cached(HOLD).map_err(from_sqlite)?;
    for letter in letters {
        // What is parked behind another entry was not tried itself.
        let was_tried = matches!(letter.state, HeldState::Dead | HeldState::Waiting);
        let parameters = named_params! {
            ":stream": key.stream, ":shard": key.shard,
            ":entry_id": letter.envelope.id.to_string(),
            ":entry_order": order_of(letter.envelope.id),
            ":state": letter.state.as_str(),
            ":code": letter.rejection.code.as_str(),
            ":sqlstate": letter.rejection.sqlstate,
            ":reason": letter.rejection.reason,
            ":since_ms": to_sql(letter.since_ms, "time")?,
            ":attempts": was_tried,
            ":row_keys": pack_rows(&letter.rows),
            ":entry": letter.envelope.to_json(),
        };
        statement.execute(parameters).map_err(from_sqlite)?;
    }
    Ok(())
}

/// What a shard holds.
pub(super) fn index(connection: &Connection, key: &ShardKey) -> Result<HeldIndex> {
    let mut statement = connection.prepare_cached(INDEX).map_err(from_sqlite)?;
    let mut rows = statement
        .query((&key.stream, key.shard))
        .map_err(from_sqlite)?;
    let mut index = HeldIndex::default();
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        let packed: Vec<u8> = row.get("row_keys").map_err(from_sqlite)?;
        let code: String = row.get("code").map_err(from_sqlite)?;
        let since_ms = number(row, "since_ms")?;
        let held = Held::stored(state(row)?, &code, since_ms, unpack_rows(&packed)?);
        index.hold(entry_id(row, "entry_id")?, held);
    }
    Ok(index)
}

/// Reads held entries back; ids that are not held are left out.
pub(super) fn load(
    connection: &Connection,
    key: &ShardKey,
    ids: &[EntryId],
) -> Result<Vec<Envelope>> {
    let mut statement = connection.prepare_cached(LOAD).map_err(from_sqlite)?;
    let mut envelopes = Vec::with_capacity(ids.len());
    for id in ids {
        let entry: Option<String> = statement
            .query_row((&key.stream, key.shard, id.to_string()), |row| row.get(0))
            .optional()
            .map_err(from_sqlite)?;
        if let Some(entry) = entry {
            envelopes.push(envelope(*id, &entry)?);
        }
    }
    Ok(envelopes)
}

/// Forgets held entries.
pub(super) fn release(connection: &Connection, key: &ShardKey, ids: &[EntryId]) -> Result<()> {
    let mut statement = connection.prepare_cached(RELEASE).map_err(from_sqlite)?;
    for id in ids {
        statement
            .execute((&key.stream, key.shard, id.to_string()))
            .map_err(from_sqlite)?;
    }
    Ok(())
}

/// Gives held entries up: they are kept for the record and no longer held.
pub(super) fn discard(connection: &Connection, key: &ShardKey, ids: &[EntryId]) -> Result<()> {
    let mut statement = connection.prepare_cached(DISCARD).map_err(from_sqlite)?;
    for id in ids {
        statement
            .execute((&key.stream, key.shard, id.to_string()))
            .map_err(from_sqlite)?;
    }
    Ok(())
}

/// Held entries for people, oldest first.
pub(super) fn list(
    connection: &Connection,
    filter: &DeadLetterFilter,
) -> Result<Vec<StoredLetter>> {
    let (sql, parameters) = list_query(filter)?;
    let mut statement = connection.prepare_cached(&sql).map_err(from_sqlite)?;
    let mut rows = statement
        .query(params_from_iter(parameters))
        .map_err(from_sqlite)?;
    let mut letters = Vec::new();
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        letters.push(stored_letter(row)?);
    }
    Ok(letters)
}

fn list_query(filter: &DeadLetterFilter) -> Result<(String, Vec<Value>)> {
    let mut sql = "SELECT * FROM tidegate_dead_letter WHERE stream = ?".to_owned();
    let mut parameters = vec![Value::from(filter.stream.as_str().to_owned())];
    if !filter.states.is_empty() {
        let marks = vec!["?"; filter.states.len()].join(", ");
        sql.push_str(&format!(" AND state IN ({marks})"));
        parameters.extend(
            filter
                .states
                .iter()
                .map(|state| state.as_str().to_owned().into()),
        );
    }
    if let Some(id) = filter.id {
        sql.push_str(" AND shard = ? AND entry_id = ?");
        parameters.extend([Value::from(id.shard), id.entry.to_string().into()]);
    }
    sql.push_str(" ORDER BY entry_order, shard LIMIT ?");
    parameters.push(filter.count_max.into());
    Ok((sql, parameters))
}

fn stored_letter(row: &Row<'_>) -> Result<StoredLetter> {
    let id = entry_id(row, "entry_id")?;
    let entry: String = row.get("entry").map_err(from_sqlite)?;
    Ok(StoredLetter {
        id: LetterId {
            shard: number(row, "shard")?,
            entry: id,
        },
        state: state(row)?,
        code: row.get("code").map_err(from_sqlite)?,
        sqlstate: row.get("sqlstate").map_err(from_sqlite)?,
        reason: row.get("reason").map_err(from_sqlite)?,
        since_ms: number(row, "since_ms")?,
        attempts: number(row, "attempts")?,
        envelope: envelope(id, &entry)?,
    })
}

fn state(row: &Row<'_>) -> Result<HeldState> {
    let name: String = row.get("state").map_err(from_sqlite)?;
    HeldState::from_name(&name)
        .ok_or_else(|| Error::Corrupt(format!("a dead letter is in the state {name:?}")))
}

fn envelope(id: EntryId, entry: &str) -> Result<Envelope> {
    Envelope::from_json(id, entry)
        .ok_or_else(|| Error::Corrupt(format!("the dead letter {id} holds no entry")))
}
