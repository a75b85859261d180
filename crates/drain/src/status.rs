//! Status and proof: what was sent, and what became of it.
//!
//! For every shard, `appended = preceding + applied + dead + waiting + parked + discarded +
//! pending`. The left side is counted by the store, the right side by the ledger, the dead
//! letters and the stream; they never look at each other, so the sum is a proof.

use std::sync::Arc;

use tidegate_store::{EntryId, Lag, Partition, ReadLimit, Store, WorkerId};

use crate::error::Result;
use crate::options::Options;
use crate::sink::{LedgerRow, Sink};

/// How often a sum is taken again that does not come out while the drain is running.
const PROOF_TRIES_MAX: usize = 20;

/// Where a shard is.
#[derive(Clone, Debug)]
pub struct ShardStatus {
    /// The shard.
    pub shard: u32,
    /// The worker that owns it now.
    pub owner: Option<WorkerId>,
    /// Whether a program that is not Tidegate holds the shard's lock.
    pub is_foreign: bool,
    /// What the ledger says.
    pub ledger: LedgerRow,
    /// What the store says.
    pub lag: Lag,
}

impl ShardStatus {
    /// Entries that are not settled yet, as far as the store knows: entries of a batch that was
    /// committed a moment ago may still be counted.
    #[must_use]
    pub fn pending(&self) -> u64 {
        if self.is_drained() {
            0
        } else {
            self.lag.undelivered
        }
    }

    /// Whether every entry of the shard is settled.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.ledger.position >= self.lag.last_id
    }
}

/// Where all shards are, in their order.
///
/// # Errors
/// Those of the store and the sink.
pub async fn status(
    store: &dyn Store,
    sink: &dyn Sink,
    options: &Options,
) -> Result<Vec<ShardStatus>> {
    let group = options.group()?;
    let shards: Vec<Partition> = (0..options.partitions)
        .map(|index| options.stream.partition(index))
        .collect();
    // The ledger first: what it has settled by then, the store has surely seen.
    let ledger = sink.ledger(&options.stream).await?;
    let lags = store.lag(&group, &shards).await?;
    let holders = store.lease_holders(&group, &shards).await?;
    let statuses = shards
        .iter()
        .zip(lags)
        .zip(holders)
        .map(|((shard, lag), holder)| {
            let row = ledger.iter().find(|row| row.shard == shard.index).cloned();
            // A shard that nobody claimed yet will remember this number at its first claim.
            let ledger = row.unwrap_or_else(|| LedgerRow {
                shard: shard.index,
                preceding: lag.appended.saturating_sub(lag.held),
                ..LedgerRow::default()
            });
            ShardStatus {
                shard: shard.index,
                owner: holder.and_then(|holder| holder.worker),
                is_foreign: holder.is_some_and(|holder| holder.worker.is_none()),
                ledger,
                lag,
            }
        });
    Ok(statuses.collect())
}

/// Whether nothing is left to do: every entry is settled, and none waits for a parent row.
///
/// # Errors
/// Those of the store and the sink.
pub async fn is_drained(store: &dyn Store, sink: &dyn Sink, options: &Options) -> Result<bool> {
    let shards = status(store, sink, options).await?;
    Ok(shards.iter().all(|shard| {
        let ledger = &shard.ledger;
        // Parked entries without a dead letter before them will be tried again by themselves.
        let is_settled = ledger.waiting == 0 && (ledger.parked == 0 || ledger.dead > 0);
        shard.is_drained() && is_settled
    }))
}

/// The sum of one shard.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The shard, with both sides' numbers.
    pub status: ShardStatus,
    /// Entries that are in the stream and not settled, counted one by one.
    pub pending: u64,
}

impl Proof {
    /// What the right side of the sum comes to.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        let ledger = &self.status.ledger;
        ledger.preceding
            + ledger.applied
            + ledger.dead
            + ledger.waiting
            + ledger.parked
            + ledger.discarded
            + self.pending
    }

    /// Whether the sum comes out.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.accounted() == self.status.lag.appended
    }
}

/// Takes the sum of every shard. While workers are running, a sum that doesn't come out is taken
/// again a few times, because the two sides can't be read at one moment.
///
/// # Errors
/// Those of the store and the sink.
pub async fn verify(
    store: &Arc<dyn Store>,
    sink: &dyn Sink,
    options: &Options,
) -> Result<Vec<Proof>> {
    let mut tries = 0;
    loop {
        let mut proofs = Vec::with_capacity(options.partitions as usize);
        for status in status(&**store, sink, options).await? {
            let shard = options.stream.partition(status.shard);
            let (after, through) = (status.ledger.position, status.lag.last_id);
            let pending = count(&**store, &shard, after, through, options.read_limit()).await?;
            proofs.push(Proof { status, pending });
        }
        tries += 1;
        if tries == PROOF_TRIES_MAX || proofs.iter().all(Proof::holds) {
            return Ok(proofs);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn count(
    store: &dyn Store,
    shard: &Partition,
    mut after: EntryId,
    through: EntryId,
    limit: ReadLimit,
) -> Result<u64> {
    let mut counted = 0;
    while after < through {
        let entries = store.read_after(shard, after, limit).await?;
        let Some(last) = entries.last() else { break };
        after = last.id;
        counted += entries.iter().filter(|entry| entry.id <= through).count() as u64;
    }
    Ok(counted)
}
