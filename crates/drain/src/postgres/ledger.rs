//! The ledger's statements: how far each shard is, and who may move it.
//!
//! The row of a shard is locked by whoever writes it until the transaction ends, so owners and
//! people who retry dead letters stand in line. All of it is durable with the commit, and never
//! was before it.

use deadpool_postgres::Client;
use tidegate_store::{EntryId, Epoch, Partition, StreamName};
use tokio_postgres::types::ToSql;

use super::failure::{Verdict, judge, own};
use super::letters;
use super::session::Session;
use crate::error::{Error, Result};
use crate::held::HeldIndex;
use crate::recent::{Addition, Newest};
use crate::sink::{Claim, Fence, LedgerRow};

/// Makes `epoch` the newest owner and reads where the shard is.
pub(super) async fn claim(
    mut session: Session,
    shard: &Partition,
    epoch: Epoch,
    preceding: u64,
) -> Result<Claim> {
    let sql = "INSERT INTO tidegate.ledger AS l (stream, shard, epoch, position, preceding) \
         VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (stream, shard) DO UPDATE SET epoch = excluded.epoch, updated_at = now() \
         WHERE l.epoch <= excluded.epoch RETURNING position, revision";
    session.unsettle();
    let client = session.client()?;
    let claim = client.prepare_cached(sql).await.map_err(own)?;
    let (stream, index) = name(shard)?;
    let first = EntryId::ZERO.to_string();
    let (ours, preceding) = (number(epoch.0)?, number(preceding)?);
    let row = client
        .query_opt(&claim, &[&stream, &index, &ours, &first, &preceding])
        .await
        .map_err(own)?;
    let Some(row) = row else {
        let sql = "SELECT epoch FROM tidegate.ledger WHERE stream = $1 AND shard = $2";
        let row = client
            .query_one(sql, &[&stream, &index])
            .await
            .map_err(own)?;
        let ledger_epoch = Epoch(count(row.get(0)));
        return Err(Error::Fenced {
            shard: shard.clone(),
            epoch,
            ledger_epoch,
        });
    };
    let position = entry_id(row.get(0))?;
    let revision = row.get(1);
    let held = letters::load_index(client, shard).await?;
    let newest = "SELECT number, octet_length(entries) FROM tidegate.recent \
         WHERE stream = $1 AND shard = $2 ORDER BY number DESC LIMIT 1";
    let newest = client.prepare_cached(newest).await.map_err(own)?;
    let newest = client
        .query_opt(&newest, &[&stream, &index])
        .await
        .map_err(own)?;
    let newest = newest.map_or_else(Newest::default, |row| Newest {
        number: row.get(0),
        bytes: usize::try_from(row.get::<_, i32>(1)).unwrap_or_default(),
    });
    session.settle();
    session.commit().await?;
    Ok(Claim {
        position,
        revision,
        held,
        newest,
    })
}

/// What is remembered of the entries settled last, from the oldest slot to the newest.
pub(super) async fn recent(client: &Client, shard: &Partition) -> Result<Vec<Vec<u8>>> {
    let sql =
        "SELECT entries FROM tidegate.recent WHERE stream = $1 AND shard = $2 ORDER BY number";
    let (stream, index) = name(shard)?;
    let rows = client.query(sql, &[&stream, &index]).await.map_err(own)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Moves the ledger if the fence holds, and adds to the memory in the same statement.
pub(super) async fn advance(
    client: &Client,
    shard: &Partition,
    fence: &Fence,
    position: EntryId,
    applied: u64,
    addition: Option<Addition>,
) -> Result<bool> {
    let mut sql = "UPDATE tidegate.ledger \
         SET position = $6, applied = applied + $7, updated_at = now() \
         WHERE stream = $1 AND shard = $2 AND epoch = $3 AND position = $4 AND revision = $5"
        .to_owned();
    if addition.is_some() {
        sql = format!(
            "WITH moved AS ({sql} RETURNING stream, shard) \
             INSERT INTO tidegate.recent AS r (stream, shard, slot, number, entries) \
             SELECT stream, shard, $8::int, $9::bigint, $10::bytea FROM moved \
             ON CONFLICT (stream, shard, slot) DO UPDATE SET number = excluded.number, entries = \
               CASE WHEN r.number = excluded.number THEN r.entries || excluded.entries \
               ELSE excluded.entries END"
        );
    }
    let sql = sql.as_str();
    let statement = client.prepare_cached(sql).await.map_err(own)?;
    let (stream, index) = name(shard)?;
    let (epoch, applied) = (number(fence.epoch.0)?, number(applied)?);
    let (from, to) = (fence.position.to_string(), position.to_string());
    let slot = addition.as_ref().map_or(0, Addition::slot);
    let slot = i32::try_from(slot).unwrap_or_default();
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![
        &stream,
        &index,
        &epoch,
        &from,
        &fence.revision,
        &to,
        &applied,
    ];
    if let Some(Addition { number, chunk, .. }) = &addition {
        parameters.extend([&slot as &(dyn ToSql + Sync), number, chunk]);
    }
    match client.execute(&statement, &parameters).await {
        Ok(rows) => Ok(rows == 1),
        // Only a person who retries dead letters, or another owner, has this row locked for long.
        Err(error) if judge(&error) == Verdict::Locked => Err(Error::LedgerMoved {
            shard: shard.clone(),
        }),
        Err(error) => Err(own(error)),
    }
}

/// Locks the shard's row, after `before` and before `after`, and reads what is held.
pub(super) async fn lock(
    client: &Client,
    shard: &Partition,
    before: &str,
    after: &str,
) -> Result<Option<HeldIndex>> {
    client.batch_execute(before).await.map_err(own)?;
    let sql = "SELECT 1 FROM tidegate.ledger WHERE stream = $1 AND shard = $2 FOR UPDATE";
    let statement = client.prepare_cached(sql).await.map_err(own)?;
    let (stream, index) = name(shard)?;
    let row = client
        .query_opt(&statement, &[&stream, &index])
        .await
        .map_err(own)?;
    client.batch_execute(after).await.map_err(own)?;
    match row {
        Some(_) => letters::load_index(client, shard).await.map(Some),
        None => Ok(None),
    }
}

/// Tells the owner that somebody else settled entries.
pub(super) async fn revise(client: &Client, shard: &Partition, applied: u64) -> Result<()> {
    let sql = "UPDATE tidegate.ledger \
         SET applied = applied + $3, revision = revision + 1, updated_at = now() \
         WHERE stream = $1 AND shard = $2";
    let statement = client.prepare_cached(sql).await.map_err(own)?;
    let (stream, index) = name(shard)?;
    client
        .execute(&statement, &[&stream, &index, &number(applied)?])
        .await
        .map_err(own)?;
    Ok(())
}

/// All shards of a stream, with what is held of each.
pub(super) async fn rows(client: &Client, stream: &StreamName) -> Result<Vec<LedgerRow>> {
    let sql = "SELECT l.shard, l.epoch, l.position, l.applied, l.preceding, \
           coalesce(d.dead, 0), coalesce(d.waiting, 0), coalesce(d.parked, 0), \
           coalesce(d.discarded, 0), (extract(epoch FROM l.updated_at) * 1000)::bigint \
         FROM tidegate.ledger l \
         LEFT JOIN (SELECT shard, \
             count(*) FILTER (WHERE state = 'dead') AS dead, \
             count(*) FILTER (WHERE state = 'waiting') AS waiting, \
             count(*) FILTER (WHERE state = 'parked') AS parked, \
             count(*) FILTER (WHERE state = 'discarded') AS discarded \
           FROM tidegate.dead_letter WHERE stream = $1 GROUP BY shard) d USING (shard) \
         WHERE l.stream = $1 ORDER BY l.shard";
    let statement = client.prepare_cached(sql).await.map_err(own)?;
    let rows = client
        .query(&statement, &[&stream.as_str()])
        .await
        .map_err(own)?;
    let read = |row: &tokio_postgres::Row| {
        Ok(LedgerRow {
            shard: u32::try_from(row.get::<_, i32>(0)).map_err(|_negative| {
                Error::Corrupt("the ledger has a shard below zero".to_owned())
            })?,
            epoch: Epoch(count(row.get(1))),
            position: entry_id(row.get(2))?,
            applied: count(row.get(3)),
            preceding: count(row.get(4)),
            dead: count(row.get(5)),
            waiting: count(row.get(6)),
            parked: count(row.get(7)),
            discarded: count(row.get(8)),
            updated_ms: count(row.get(9)),
        })
    };
    rows.iter().map(read).collect()
}

/// A shard as the tables have it.
pub(super) fn name(shard: &Partition) -> Result<(&str, i32)> {
    let index = i32::try_from(shard.index).map_err(|_beyond| {
        Error::Invalid(format!(
            "shard {shard}: the ledger counts shards up to {}",
            i32::MAX
        ))
    })?;
    Ok((shard.stream.as_str(), index))
}

/// An entry's id as the tables have it.
pub(super) fn entry_id(text: &str) -> Result<EntryId> {
    text.parse().map_err(|_unread| {
        Error::Corrupt("the target database has an entry id that is none".to_owned())
    })
}

/// SQL's integers have a sign.
pub(super) fn number(value: u64) -> Result<i64> {
    i64::try_from(value)
        .map_err(|_beyond| Error::Invalid(format!("{value} is beyond what the ledger can hold")))
}

/// A count that was written by [`number`].
pub(super) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}
