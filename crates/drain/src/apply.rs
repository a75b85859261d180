//! One transaction: from the entries that were read to the commit that settles them.
//!
//! ```text
//! entries ─► units, or dead letters ─► rows ─► dead letters ─► ledger ─► commit
//! ```
//!
//! Every entry of a batch is settled by the transaction that moves the ledger past it: it is
//! applied, or it is held with its reason. If the process dies anywhere before the commit, the
//! transaction never was; after it, the ledger says so and the entries are not read again.

use std::sync::Arc;

use tidegate_store::{Entry, EntryId, Epoch, Partition};

use crate::catalog::Catalog;
use crate::dead_letter::DeadLetter;
use crate::envelope::Envelope;
use crate::error::{Error, Result};
use crate::held::HeldIndex;
use crate::hyperswitch::Forms;
use crate::settle::Work;
use crate::sink::{Claim, Fence, Sink, SinkTransaction};

/// The most held entries that one transaction tries again.
pub const REPLAY_ENTRIES_MAX: usize = 1_000;

/// What does not change from batch to batch.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The most bytes an entry may have.
    pub entry_bytes_max: usize,
    /// How long an entry waits for the parent row of a foreign key, in milliseconds.
    pub parent_wait_ms_max: u64,
    /// How Hyperswitch's forms are read; without it, those that need nothing to be known.
    pub forms: Option<Arc<Forms>>,
}

/// What a transaction settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Entries applied, including held ones that were applied now.
    pub applied: u64,
    /// Entries that became dead letters.
    pub dead: u64,
    /// Entries that wait for a parent row.
    pub waiting: u64,
    /// Entries parked behind another one.
    pub parked: u64,
    /// Changes of applied entries that a policy left out: new rows that were there already,
    /// updates of rows that are not there.
    pub skipped: u64,
    /// Changes of applied entries that were older than the row, by its version.
    pub stale: u64,
}

/// The steps of a transaction, in order, for whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Entries were read from the stream.
    Read,
    /// The transaction was begun.
    Begun,
    /// The rows are written.
    RowsWritten,
    /// The ledger is moved.
    LedgerMoved,
    /// The transaction is committed.
    Committed,
    /// The store knows what is committed.
    Acknowledged,
    /// The stream is trimmed.
    Trimmed,
}

/// Everything one transaction of a shard needs to know.
pub struct Context<'a> {
    /// The shard.
    pub shard: &'a Partition,
    /// The tables.
    pub catalog: &'a Catalog,
    /// Whether the catalog was read again for this batch, so that a name it doesn't hold is surely
    /// unknown, and what the database refuses is refused.
    pub is_catalog_fresh: bool,
    /// Bounds.
    pub rules: &'a Rules,
    /// Now, in Unix milliseconds.
    pub now_ms: u64,
    /// Is told of every step, before the next one.
    pub on_step: &'a (dyn Fn(Step) + Send + Sync),
    /// Is told of every entry that the transaction holds. It may still be rolled back.
    pub on_held: &'a (dyn Fn(&DeadLetter) + Send + Sync),
}

/// Applies entries that were read after the claim's position and moves the ledger to the last of
/// them. On success `claim` is what the ledger says now.
///
/// # Errors
/// [`Error::LedgerMoved`] where the fence did not hold, [`Error::CatalogStale`] where an unknown
/// name may have become known, [`Error::CatalogContradicted`] where the database says that a table has
/// changed, and the sink's errors. After any error nothing was written and `claim` is worthless: claim again.
pub async fn apply_entries(
    context: &Context<'_>,
    sink: &dyn Sink,
    epoch: Epoch,
    claim: &mut Claim,
    entries: Vec<Entry>,
) -> Result<Settled> {
    let Some(last) = entries.last().map(|entry| entry.id) else {
        return Ok(Settled::default());
    };
    let fence = Fence {
        epoch,
        position: claim.position,
        revision: claim.revision,
    };
    let addition = claim.newest.add(claim.position, &entries);
    let newest = claim.newest.after(&addition);
    let mut work = Work::new(context, &mut claim.held);
    let mut units = Vec::with_capacity(entries.len());
    for entry in entries {
        work.decode(Envelope::new(entry), &mut units, context.now_ms);
    }
    if work.names_unknown() && !context.is_catalog_fresh {
        return Err(Error::CatalogStale);
    }
    let mut transaction = sink.begin().await?;
    (context.on_step)(Step::Begun);
    work.write(transaction.as_mut(), &units).await?;
    if !context.is_catalog_fresh {
        work.require_catalog()?;
    }
    (context.on_step)(Step::RowsWritten);
    let settled = work.finish(transaction.as_mut()).await?;
    transaction.remember(addition);
    commit(context, transaction, &fence, last, &settled).await?;
    claim.position = last;
    claim.newest = newest;
    Ok(settled)
}

/// Tries held entries again, with everything parked behind them, as the owner of the shard. At
/// most [`REPLAY_ENTRIES_MAX`] are tried.
///
/// # Errors
/// As [`apply_entries`].
pub async fn apply_held(
    context: &Context<'_>,
    sink: &dyn Sink,
    epoch: Epoch,
    claim: &mut Claim,
    selected: &[EntryId],
) -> Result<Settled> {
    let fence = Fence {
        epoch,
        position: claim.position,
        revision: claim.revision,
    };
    let order = claim
        .held
        .replay_order(selected.iter().copied(), REPLAY_ENTRIES_MAX);
    let mut transaction = sink.begin().await?;
    let settled = replay(context, transaction.as_mut(), &mut claim.held, &order).await?;
    commit(context, transaction, &fence, claim.position, &settled).await?;
    if order.len() == REPLAY_ENTRIES_MAX {
        // What stood behind the last of them was not reached: it is due now.
        claim.held.wake_orphans();
    }
    Ok(settled)
}

async fn commit(
    context: &Context<'_>,
    mut transaction: Box<dyn SinkTransaction>,
    fence: &Fence,
    position: EntryId,
    settled: &Settled,
) -> Result<()> {
    if !transaction
        .advance(context.shard, fence, position, settled.applied)
        .await?
    {
        return Err(Error::LedgerMoved {
            shard: context.shard.clone(),
        });
    }
    (context.on_step)(Step::LedgerMoved);
    transaction.commit().await?;
    (context.on_step)(Step::Committed);
    Ok(())
}

/// Tries held entries again, in order, with everything that is parked behind them.
///
/// # Errors
/// Those of [`apply_entries`] about the catalog, and the sink's; then `held` is worthless.
pub async fn replay(
    context: &Context<'_>,
    transaction: &mut dyn SinkTransaction,
    held: &mut HeldIndex,
    order: &[EntryId],
) -> Result<Settled> {
    let mut envelopes = transaction.load_held(context.shard, order).await?;
    envelopes.sort_unstable_by_key(|envelope| envelope.id);
    let mut work = Work::new(context, held);
    let mut units = Vec::with_capacity(envelopes.len());
    for envelope in envelopes {
        let since_ms = work.take_back(envelope.id);
        work.decode(envelope, &mut units, since_ms);
    }
    if work.names_unknown() && !context.is_catalog_fresh {
        return Err(Error::CatalogStale);
    }
    work.write(transaction, &units).await?;
    if !context.is_catalog_fresh {
        work.require_catalog()?;
    }
    work.finish(transaction).await
}
