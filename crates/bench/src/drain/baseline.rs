//! The baseline: a drainer without batches, written for the purpose.
//!
//! As Hyperswitch's drainer does, it reads a shard a hundred entries at a time and runs one
//! prepared `INSERT … RETURNING *` or `UPDATE … RETURNING *` after the other, each its own
//! transaction; then it trims the shard. Several shards are drained at once, over a pool of
//! connections. Unlike Hyperswitch's it never pauses between two reads (`loop_interval`, 100 ms by
//! default), which flatters it.
//!
//! It keeps no ledger and takes no lease: if it died between a statement and the trim, operations
//! would be applied twice.

use std::sync::Arc;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use rustis::client::Client as RedisClient;
use rustis::commands::{StreamCommands, StreamEntry, XTrimOptions};
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use super::load::STREAM;
use super::payment::{COLUMNS, Payment, PaymentChange, PaymentKey, TABLE};
use super::run::Run;
use crate::error::{Error, Result};
use crate::usage::{Stopwatch, Usage};

/// Connections to PostgreSQL, as Hyperswitch's default has it.
pub(super) const CONNECTIONS: u32 = 5;
/// Entries of one read, as Hyperswitch's default has it.
const READ_COUNT: usize = 100;

/// An operation as it travels.
#[derive(Deserialize)]
struct Operation {
    row: Option<Payment>,
    key: Option<PaymentKey>,
    set: Option<PaymentChange>,
}

/// What the shards share.
struct Drainer {
    redis: RedisClient,
    postgres: Pool,
    insert: String,
    update: String,
}

/// Drains all shards.
pub(super) async fn run(run: &Run) -> Result<Usage> {
    let drainer = Arc::new(Drainer::connect(run).await?);
    let watch = Stopwatch::start(run.processes)?;
    let mut shards = JoinSet::new();
    for shard in 0..run.shards {
        let drainer = drainer.clone();
        shards.spawn(async move { drainer.drain(&format!("{{shard_{shard}}}_{STREAM}")).await });
    }
    while let Some(drained) = shards.join_next().await {
        drained??;
    }
    watch.stop()
}

impl Drainer {
    async fn connect(run: &Run) -> Result<Self> {
        let config = run.postgres_url.parse()?;
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(config, NoTls, recycling);
        let postgres = Pool::builder(manager)
            .max_size(CONNECTIONS as usize)
            .build()?;
        let placeholders: Vec<String> = (1..=COLUMNS).map(|n| format!("${n}")).collect();
        let settings = PaymentChange::COLUMNS
            .iter()
            .zip(3..)
            .map(|(name, n)| format!("{name} = ${n}"));
        Ok(Self {
            redis: RedisClient::connect(run.redis_url.as_str()).await?,
            postgres,
            insert: format!(
                "INSERT INTO {TABLE} VALUES ({}) RETURNING *",
                placeholders.join(", ")
            ),
            update: format!(
                "UPDATE {TABLE} SET {} WHERE payment_id = $1 AND merchant_id = $2 RETURNING *",
                settings.collect::<Vec<_>>().join(", ")
            ),
        })
    }

    /// Drains a shard until it is empty.
    async fn drain(&self, shard: &str) -> Result<()> {
        loop {
            let entries: Vec<StreamEntry<String>> =
                self.redis.xrange(shard, "-", "+", Some(READ_COUNT)).await?;
            let Some(last) = entries.last() else {
                return Ok(());
            };
            for entry in &entries {
                let typed_sql = entry.items.get("typed_sql");
                self.apply(typed_sql.map_or("", String::as_str)).await?;
            }
            let first_kept = after(&last.stream_id)?;
            let options = XTrimOptions::min_id(None, &first_kept);
            self.redis.xtrim(shard, options).await?;
        }
    }

    async fn apply(&self, typed_sql: &str) -> Result<()> {
        let operation: Operation = serde_json::from_str(typed_sql)?;
        let client = self.postgres.get().await?;
        match (operation.row, operation.key, operation.set) {
            (Some(row), None, None) => {
                let statement = client.prepare_cached(&self.insert).await?;
                client.query_one(&statement, &row.values()).await?;
            }
            (None, Some(key), Some(set)) => {
                let statement = client.prepare_cached(&self.update).await?;
                let values: Vec<_> = key.values().into_iter().chain(set.values()).collect();
                client.query_one(&statement, &values).await?;
            }
            _ => return Err(Error::Unexpected("an operation of another kind".to_owned())),
        }
        Ok(())
    }
}

/// The smallest id after an entry's: a trim keeps what is at its limit.
fn after(id: &str) -> Result<String> {
    let next = id.split_once('-').and_then(|(ms, sequence)| {
        let sequence: u64 = sequence.parse().ok()?;
        Some(format!("{ms}-{}", sequence + 1))
    });
    next.ok_or_else(|| Error::Unexpected(format!("an entry's id {id:?}")))
}
