//! Second tries: a person retries or discards dead letters.
//!
//! It works whether workers are running or not. The shard's row of the ledger is locked, so that
//! the owner's next transaction waits; and its revision grows, so that the owner's idea of what is
//! held is refused and read anew. What stands parked behind a retried entry follows in order.

use std::collections::BTreeMap;

use tidegate_store::EntryId;

use crate::apply::{Context, REPLAY_ENTRIES_MAX, Settled, replay};
use crate::catalog::Catalog;
use crate::dead_letter::LetterId;
use crate::error::{Error, Result};
use crate::held::{HeldIndex, HeldState};
use crate::options::Options;
use crate::shard::now_ms;
use crate::sink::{Sink, SinkTransaction};

/// Which dead letters are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// One of them.
    One(LetterId),
    /// All of the stream.
    All,
}

/// Tries dead letters again, oldest first, each followed by what is parked behind it.
///
/// # Errors
/// [`Error::Invalid`] where the selected one is not a dead letter, and the sink's errors; shards
/// that were done before the error stay done.
pub async fn retry(sink: &dyn Sink, options: &Options, selection: &Selection) -> Result<Settled> {
    let catalog = sink.catalog().await?;
    let mut total = Settled::default();
    for (shard, selected) in select(sink, options, selection).await? {
        replay_rounds(sink, options, &catalog, shard, selected, &mut total).await?;
    }
    Ok(total)
}

/// Gives dead letters up: they are kept for the record and block nothing any more. What was
/// parked behind them is tried now, in order. Returns how many were given up, and what became of
/// the parked ones.
///
/// # Errors
/// As [`retry`].
pub async fn discard(
    sink: &dyn Sink,
    options: &Options,
    selection: &Selection,
) -> Result<(u64, Settled)> {
    let catalog = sink.catalog().await?;
    let (mut discarded, mut total) = (0, Settled::default());
    for (index, selected) in select(sink, options, selection).await? {
        let shard = options.stream.partition(index);
        let mut transaction = sink.begin().await?;
        let mut held = lock(transaction.as_mut(), options, index).await?;
        let dead: Vec<EntryId> = selected
            .into_iter()
            .filter(|id| is_dead(&held, *id))
            .collect();
        transaction.discard(&shard, &dead).await?;
        transaction.revise(&shard, 0).await?;
        // If the process dies after this, the next owner finds the orphans by itself.
        transaction.commit().await?;
        discarded += dead.len() as u64;
        dead.into_iter().for_each(|id| held.release(id));
        let orphans = held.orphans().collect();
        replay_rounds(sink, options, &catalog, index, orphans, &mut total).await?;
    }
    Ok((discarded, total))
}

/// Tries entries of one shard again, in as many transactions as it takes.
async fn replay_rounds(
    sink: &dyn Sink,
    options: &Options,
    catalog: &Catalog,
    index: u32,
    mut open: Vec<EntryId>,
    total: &mut Settled,
) -> Result<()> {
    let shard = options.stream.partition(index);
    let rules = options.rules();
    while !open.is_empty() {
        let context = Context {
            shard: &shard,
            catalog,
            is_catalog_fresh: true,
            rules: &rules,
            now_ms: now_ms(),
            on_step: &|_| {},
            on_held: &|_| {},
        };
        let mut transaction = sink.begin().await?;
        let mut held = lock(transaction.as_mut(), options, index).await?;
        let order = held.replay_order(open.iter().copied(), REPLAY_ENTRIES_MAX);
        let settled = replay(&context, transaction.as_mut(), &mut held, &order).await?;
        transaction.revise(&shard, settled.applied).await?;
        transaction.commit().await?;
        total.applied += settled.applied;
        total.dead += settled.dead;
        total.waiting += settled.waiting;
        total.parked += settled.parked;
        open = rest(&held, &open, &order);
    }
    Ok(())
}

/// What is to be tried in the next round: selected entries that this round did not reach, and
/// what follows those it has freed.
fn rest(held: &HeldIndex, selected: &[EntryId], tried: &[EntryId]) -> Vec<EntryId> {
    let Some(last) = tried.last().filter(|_| tried.len() == REPLAY_ENTRIES_MAX) else {
        return Vec::new();
    };
    let unreached = selected.iter().copied().filter(|id| id > last);
    unreached.chain(held.orphans()).collect()
}

async fn lock(
    transaction: &mut dyn SinkTransaction,
    options: &Options,
    shard: u32,
) -> Result<HeldIndex> {
    let shard = options.stream.partition(shard);
    transaction.lock_ledger(&shard).await?.ok_or_else(|| {
        Error::Invalid(format!(
            "shard {shard} was never drained, so it has no dead letters"
        ))
    })
}

/// The dead letters that are meant, by shard.
async fn select(
    sink: &dyn Sink,
    options: &Options,
    selection: &Selection,
) -> Result<BTreeMap<u32, Vec<EntryId>>> {
    let mut selected: BTreeMap<u32, Vec<EntryId>> = BTreeMap::new();
    if let Selection::One(id) = selection {
        let mut transaction = sink.begin().await?;
        let held = lock(transaction.as_mut(), options, id.shard).await?;
        if !is_dead(&held, id.entry) {
            return Err(Error::Invalid(
                match held.get(id.entry).map(|held| held.state) {
                    Some(state) => format!(
                        "{id} is {}, not dead: it is tried again by itself",
                        state.as_str()
                    ),
                    None => format!(
                        "there is no dead letter {id}; `tidegate drain dead list` shows all"
                    ),
                },
            ));
        }
        selected.insert(id.shard, vec![id.entry]);
        return Ok(selected);
    }
    for row in sink
        .ledger(&options.stream)
        .await?
        .iter()
        .filter(|row| row.dead > 0)
    {
        let mut transaction = sink.begin().await?;
        let held = lock(transaction.as_mut(), options, row.shard).await?;
        selected.insert(row.shard, held.dead().collect());
    }
    Ok(selected)
}

fn is_dead(held: &HeldIndex, id: EntryId) -> bool {
    held.get(id)
        .is_some_and(|held| held.state == HeldState::Dead)
}
