//! The backlog: what a group still has to do in partitions that are sealed.
//!
//! Between a generation of partitions and the next one. A group begins with the next one only when
//! it has no backlog in the one before: then nothing of any key can come later that was sent
//! earlier. Parked entries count, since later ones of their keys must go behind them. It only
//! looks: if the process dies here, nothing is lost.

use tidegate_store::{GroupName, Partition, Store};

use crate::Result;

/// How many partitions are asked about at once.
const ASKED_AT_ONCE: usize = 64;

/// What a group still has to do in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The group.
    pub group: GroupName,
    /// The partition.
    pub partition: Partition,
    /// Entries that it has not been given.
    pub waiting: u64,
    /// Entries that it was given and has not acknowledged.
    pub pending: u64,
    /// Entries that it has parked.
    pub parked: u64,
}

impl Backlog {
    /// How many entries there are in all.
    #[must_use]
    pub fn entries(&self) -> u64 {
        let given = self.pending.saturating_add(self.parked);
        self.waiting.saturating_add(given)
    }
}

/// The partitions of a list in which a group still has something to do.
///
/// # Errors
/// The store's.
pub async fn backlog(
    store: &dyn Store,
    group: &GroupName,
    partitions: &[Partition],
) -> Result<Vec<Backlog>> {
    let mut all = Vec::new();
    for some in partitions.chunks(ASKED_AT_ONCE) {
        all.extend(backlog_of_some(store, group, some).await?);
    }
    Ok(all)
}

/// Whether a group has nothing to do any more in sealed partitions.
///
/// # Errors
/// The store's.
pub(crate) async fn is_done(
    store: &dyn Store,
    group: &GroupName,
    partitions: &[Partition],
) -> tidegate_store::Result<bool> {
    for some in partitions.chunks(ASKED_AT_ONCE) {
        if !backlog_of_some(store, group, some).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn backlog_of_some(
    store: &dyn Store,
    group: &GroupName,
    partitions: &[Partition],
) -> tidegate_store::Result<Vec<Backlog>> {
    let parked: Vec<Partition> = partitions
        .iter()
        .filter_map(|it| Some(it.stream.parked(group)?.partition(it.index)))
        .collect();
    let lags = store.lag(group, partitions).await?;
    let parked = store.lag(group, &parked).await?;
    let of_one = |((partition, lag), parked): ((&Partition, _), tidegate_store::Lag)| {
        let lag: tidegate_store::Lag = lag;
        Backlog {
            group: group.clone(),
            partition: partition.clone(),
            waiting: lag.undelivered,
            pending: lag.pending,
            parked: parked.held,
        }
    };
    let all = partitions.iter().zip(lags).zip(parked).map(of_one);
    Ok(all.filter(|it| it.entries() > 0).collect())
}
