//! The consumer of one owned partition: from its lease to its last acknowledgement.
//!
//! ```text
//! lease ─► quarantine? ─► parked keys ─► serve ─► hand back
//!              ▲  wait                     │ an event fails, and the policy is to quarantine
//!              └───────────────────────────┘
//! ```
//!
//! One task owns all of it. It guarantees that whatever happens to the partition, quarantine
//! included, the lease is held as long as this task works with it, and handed back after. If the
//! process dies here, the lease ends, and the next owner begins with what is pending.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::OwnedLease;
use tidegate_store::{EntryId, Lease};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::Result;
use crate::errand::read_parked;
use crate::executor::Shared;
use crate::metrics::Counts;
use crate::parking::Parking;
use crate::persist::persist;
use crate::progression::Turn;
use crate::quarantine::{self, Quarantine};
use crate::serving::{Served, Serving};

/// How often a partition in quarantine looks whether it was released, and one with parked keys
/// whether one of them was.
pub(crate) const MARKS_PAUSE: Duration = Duration::from_millis(500);

/// Consumes a partition for as long as its lease allows, then hands it back.
///
/// # Errors
/// What neither waiting nor another owner can mend; `halt` is cancelled then, before the
/// partition is handed back, so that this worker does not take it again.
pub(crate) async fn run(
    shared: Arc<Shared>,
    turn: Arc<Turn>,
    owned: OwnedLease,
    halt: CancellationToken,
) -> Result<()> {
    let lease = Arc::new(owned.lease().clone());
    let consumer = Consumer {
        counts: shared.metrics.begin(&lease),
        shared: &shared,
        turn,
        lease: lease.clone(),
        stop: owned.release_requested().clone(),
    };
    let ended = tokio::select! {
        biased;
        () = owned.lost().cancelled() => Ok(()),
        ended = consumer.consume() => ended,
    };
    let ended = match ended {
        // Another worker goes on, or this one with a newer epoch.
        Err(loss) if loss.is_loss() => Ok(()),
        Err(failure) => {
            let partition = &lease.partition;
            error!(%partition, error = %failure, "a partition can't be processed");
            halt.cancel();
            Err(failure)
        }
        Ok(()) => Ok(()),
    };
    shared.metrics.end(&lease);
    owned.hand_back();
    ended
}

struct Consumer<'a> {
    shared: &'a Arc<Shared>,
    turn: Arc<Turn>,
    lease: Arc<Lease>,
    stop: CancellationToken,
    counts: Arc<Counts>,
}

impl Consumer<'_> {
    /// Consumes until the partition is to be handed back.
    async fn consume(&self) -> Result<()> {
        let (lease, store) = (&self.lease, &self.shared.store);
        debug!(partition = %lease.partition, epoch = %lease.epoch, "consuming");
        if !self.turn.may_begin().await? {
            debug!(partition = %lease.partition, "it is the turn of earlier partitions");
            return Ok(());
        }
        loop {
            if !self.wait_for_release().await? {
                return Ok(());
            }
            let mut parking = Parking::default();
            read_parked(&**store, lease, |_, entry| parking.load(&entry)).await?;
            let serving = Serving::new(
                self.shared.clone(),
                lease.clone(),
                self.stop.clone(),
                self.counts.clone(),
                parking,
                self.delivered_through().await?,
            );
            match serving.run().await? {
                Served::HandBack => return Ok(()),
                Served::Quarantine { entry, reason } => self.quarantine(entry, &reason).await?,
            }
        }
    }

    /// Waits while the partition is in quarantine. Returns whether to go on.
    async fn wait_for_release(&self) -> Result<bool> {
        let (store, lease) = (&self.shared.store, &self.lease);
        let mut was_in_quarantine = false;
        loop {
            let marks = persist(|| store.marks(&lease.group, &lease.partition)).await?;
            if !marks.contains_key(quarantine::MARK) {
                if was_in_quarantine {
                    info!(partition = %lease.partition, "released from quarantine");
                }
                return Ok(!self.stop.is_cancelled());
            }
            if !was_in_quarantine {
                warn!(partition = %lease.partition, "in quarantine: nothing of it is processed");
                was_in_quarantine = true;
            }
            tokio::select! {
                () = tokio::time::sleep(MARKS_PAUSE) => {}
                () = self.stop.cancelled() => return Ok(false),
            }
        }
    }

    async fn quarantine(&self, entry: EntryId, reason: &str) -> Result<()> {
        let (store, lease) = (&self.shared.store, &self.lease);
        let since = jiff::Timestamp::now().to_string();
        let mark = Quarantine::new(entry.to_string(), reason, since).to_mark();
        persist(|| store.put_mark(lease, quarantine::MARK, Some(mark.clone()))).await?;
        Ok(())
    }

    /// Until where the group has been, so that an idle partition knows what would be new.
    async fn delivered_through(&self) -> Result<EntryId> {
        let (store, lease) = (&self.shared.store, &self.lease);
        let partitions = std::slice::from_ref(&lease.partition);
        let lag = persist(|| store.lag(&lease.group, partitions)).await?;
        let delivered = lag.first().map(|lag| lag.delivered_through);
        Ok(delivered.unwrap_or(EntryId::ZERO))
    }
}
