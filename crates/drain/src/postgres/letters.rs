//! The dead letters' statements: entries that are held, stored whole.
//!
//! They are written and forgotten in the transaction that moves the ledger past them, or that
//! applies them after all; so an entry is at any time either in the stream, or here, or applied.

use deadpool_postgres::Client;
use tidegate_store::{EntryId, Partition};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::failure::own;
use super::ledger::{entry_id, name, number};
use crate::dead_letter::{
    DeadLetter, DeadLetterFilter, LetterId, StoredLetter, pack_rows, unpack_rows,
};
use crate::envelope::{Envelope, GLOBAL_ID, PUSHED_AT, REQUEST_ID};
use crate::error::{Error, Result};
use crate::held::{Held, HeldIndex, HeldState};

/// What is known of all held entries of a shard.
pub(super) async fn load_index(client: &Client, shard: &Partition) -> Result<HeldIndex> {
    let sql = "SELECT entry_id, state, since_ms, row_keys, code FROM tidegate.dead_letter \
         WHERE stream = $1 AND shard = $2 AND state <> 'discarded'";
    let statement = client.prepare_cached(sql).await.map_err(own)?;
    let (stream, index) = name(shard)?;
    let mut held = HeldIndex::default();
    for row in client
        .query(&statement, &[&stream, &index])
        .await
        .map_err(own)?
    {
        let since_ms = u64::try_from(row.get::<_, i64>(2)).unwrap_or_default();
        let rows = unpack_rows(row.get(3))?;
        let known = Held::stored(state(row.get(1))?, row.get(4), since_ms, rows);
        held.hold(entry_id(row.get(0))?, known);
    }
    Ok(held)
}

/// Stores letters; one that is stored already gets the new state and reason.
pub(super) async fn hold(client: &Client, shard: &Partition, letters: &[DeadLetter]) -> Result<()> {
    // A parked entry was not tried.
    let sql = "INSERT INTO tidegate.dead_letter AS d \
           (stream, shard, entry_id, entry_ms, entry_sequence, state, code, sqlstate, reason, \
            request_id, global_id, pushed_at, entry, row_keys, since_ms, attempts) \
         SELECT $1, $2, u.id, split_part(u.id, '-', 1)::numeric, split_part(u.id, '-', 2)::numeric, \
           u.state, u.code, u.sqlstate, u.reason, u.request_id, u.global_id, u.pushed_at, u.entry, \
           u.row_keys, u.since_ms, CASE WHEN u.state = 'parked' THEN 0 ELSE 1 END \
         FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], \
             $9::text[], $10::text[], $11::text[], $12::bytea[], $13::bigint[]) \
           AS u(id, state, code, sqlstate, reason, request_id, global_id, pushed_at, entry, \
             row_keys, since_ms) \
         ON CONFLICT (stream, shard, entry_id) DO UPDATE SET \
           state = excluded.state, code = excluded.code, sqlstate = excluded.sqlstate, \
           reason = excluded.reason, row_keys = excluded.row_keys, since_ms = excluded.since_ms, \
           attempts = d.attempts + excluded.attempts, updated_at = now()";
    let statement = client.prepare_cached(sql).await.map_err(own)?;
    let (stream, index) = name(shard)?;
    let texts = |read: &dyn Fn(&DeadLetter) -> String| -> Vec<String> {
        letters
            .iter()
            .map(|letter| without_nul(read(letter)))
            .collect()
    };
    let ids = texts(&|letter| letter.envelope.id.to_string());
    let states = texts(&|letter| letter.state.as_str().to_owned());
    let codes = texts(&|letter| letter.rejection.code.as_str().to_owned());
    let sqlstates: Vec<_> = letters
        .iter()
        .map(|letter| letter.rejection.sqlstate.clone())
        .collect();
    let reasons = texts(&|letter| letter.rejection.reason.clone());
    let request_ids = texts(&|letter| letter.envelope.text(REQUEST_ID));
    let global_ids = texts(&|letter| letter.envelope.text(GLOBAL_ID));
    let pushed_at = texts(&|letter| letter.envelope.text(PUSHED_AT));
    // In JSON a NUL is an escape, so the entry keeps its own.
    let entries = texts(&|letter| letter.envelope.to_json());
    let row_keys: Vec<_> = letters
        .iter()
        .map(|letter| pack_rows(&letter.rows))
        .collect();
    let since_ms = letters
        .iter()
        .map(|letter| number(letter.since_ms))
        .collect::<Result<Vec<_>>>()?;
    let parameters: [&(dyn ToSql + Sync); 13] = [
        &stream,
        &index,
        &ids,
        &states,
        &codes,
        &sqlstates,
        &reasons,
        &request_ids,
        &global_ids,
        &pushed_at,
        &entries,
        &row_keys,
        &since_ms,
    ];
    client.execute(&statement, &parameters).await.map_err(own)?;
    Ok(())
}

/// Reads held entries back.
pub(super) async fn load(
    client: &Client,
    shard: &Partition,
    ids: &[EntryId],
) -> Result<Vec<Envelope>> {
    let sql = "SELECT entry_id, entry FROM tidegate.dead_letter \
         WHERE stream = $1 AND shard = $2 AND entry_id = ANY($3) AND state <> 'discarded'";
    let statement = client.prepare_cached(sql).await.map_err(own)?;
    let (stream, index) = name(shard)?;
    let ids: Vec<_> = ids.iter().map(EntryId::to_string).collect();
    let rows = client
        .query(&statement, &[&stream, &index, &ids])
        .await
        .map_err(own)?;
    rows.iter()
        .map(|row| envelope(row.get(0), row.get(1)))
        .collect()
}

/// Forgets entries that are applied now.
pub(super) async fn release(client: &Client, shard: &Partition, ids: &[EntryId]) -> Result<()> {
    let sql = "DELETE FROM tidegate.dead_letter \
         WHERE stream = $1 AND shard = $2 AND entry_id = ANY($3)";
    let statement = client.prepare_cached(sql).await.map_err(own)?;
    let (stream, index) = name(shard)?;
    let ids: Vec<_> = ids.iter().map(EntryId::to_string).collect();
    client
        .execute(&statement, &[&stream, &index, &ids])
        .await
        .map_err(own)?;
    Ok(())
}

/// Keeps entries for the record only: a person has given them up.
pub(super) async fn discard(client: &Client, shard: &Partition, ids: &[EntryId]) -> Result<()> {
    let sql = "UPDATE tidegate.dead_letter SET state = 'discarded', updated_at = now() \
         WHERE stream = $1 AND shard = $2 AND entry_id = ANY($3)";
    let statement = client.prepare_cached(sql).await.map_err(own)?;
    let (stream, index) = name(shard)?;
    let ids: Vec<_> = ids.iter().map(EntryId::to_string).collect();
    client
        .execute(&statement, &[&stream, &index, &ids])
        .await
        .map_err(own)?;
    Ok(())
}

/// Lists letters for people, oldest first.
pub(super) async fn list(client: &Client, filter: &DeadLetterFilter) -> Result<Vec<StoredLetter>> {
    let sql = "SELECT shard, entry_id, state, code, sqlstate, reason, since_ms, attempts, entry \
         FROM tidegate.dead_letter \
         WHERE stream = $1 AND (cardinality($2::text[]) = 0 OR state = ANY($2)) \
           AND ($3::integer IS NULL OR shard = $3 AND entry_id = $4) \
         ORDER BY entry_ms, entry_sequence, shard LIMIT $5";
    let statement = client.prepare_cached(sql).await.map_err(own)?;
    let states: Vec<_> = filter.states.iter().map(|state| state.as_str()).collect();
    let (shard, id) = match filter.id {
        Some(id) => (
            Some(name(&id.partition(&filter.stream))?.1),
            Some(id.entry.to_string()),
        ),
        None => (None, None),
    };
    let parameters: [&(dyn ToSql + Sync); 5] = [
        &filter.stream.as_str(),
        &states,
        &shard,
        &id,
        &i64::from(filter.count_max),
    ];
    let rows = client.query(&statement, &parameters).await.map_err(own)?;
    rows.iter().map(stored).collect()
}

fn stored(row: &Row) -> Result<StoredLetter> {
    let below_zero = || Error::Corrupt("a dead letter has a number below zero".to_owned());
    let envelope = envelope(row.get(1), row.get(8))?;
    let shard = u32::try_from(row.get::<_, i32>(0)).map_err(|_negative| below_zero())?;
    Ok(StoredLetter {
        id: LetterId {
            shard,
            entry: envelope.id,
        },
        state: state(row.get(2))?,
        code: row.get(3),
        sqlstate: row.get(4),
        reason: row.get(5),
        since_ms: u64::try_from(row.get::<_, i64>(6)).map_err(|_negative| below_zero())?,
        attempts: u32::try_from(row.get::<_, i32>(7)).map_err(|_negative| below_zero())?,
        envelope,
    })
}

fn envelope(id: &str, entry: &str) -> Result<Envelope> {
    Envelope::from_json(entry_id(id)?, entry)
        .ok_or_else(|| Error::Corrupt(format!("the dead letter {id} holds no entry")))
}

fn state(name: &str) -> Result<HeldState> {
    HeldState::from_name(name)
        .ok_or_else(|| Error::Corrupt("a dead letter has a state that is none".to_owned()))
}

/// PostgreSQL has no NUL in a text; these are only shown, so a sign of it is enough.
fn without_nul(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    }
}
