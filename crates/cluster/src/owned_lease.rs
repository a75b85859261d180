//! What the user of a partition holds, and how the ownership speaks with it.
//!
//! ```text
//! Ownership ── OwnedLease ──► OwnedLeases ─► the owner of one partition
//!     │  ── release requested, lost (tokens) ─────►  │
//!     └◄──────────── handed back (channel) ──────────┘
//! ```
//!
//! It guarantees that an owner hears of the end of its lease, even when the ownership itself ends
//! or panics; and that the ownership hears when an owner has stopped, even by a panic. Neither
//! waits for the other. If the process dies here, the store ends the lease after its time.

use std::collections::BTreeMap;

use tidegate_store::{Epoch, Lease};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A partition that is this worker's, until the owner hands it back.
///
/// The lease is renewed as long as this value lives and the store allows it. Dropping it hands
/// the partition back; it is assigned anew at the next look at the store, maybe to this worker.
#[derive(Debug)]
#[must_use = "the partition is handed back as soon as this is dropped"]
pub struct OwnedLease {
    lease: Lease,
    release_requested: CancellationToken,
    lost: CancellationToken,
    handed_back: mpsc::Sender<HandedBack>,
}

impl OwnedLease {
    /// The lease, for the store's calls and the ledger.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Cancelled when another worker should have the partition, at shutdown, and when the lease
    /// is lost: finish what has begun, begin nothing new, and hand back. Until then the lease is
    /// renewed.
    #[must_use]
    pub fn release_requested(&self) -> &CancellationToken {
        &self.release_requested
    }

    /// Cancelled when the lease is lost, or may be because the store was silent for too long:
    /// stop at once, nothing that is under way can be relied on, and hand back.
    #[must_use]
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives the partition back: after a requested release, after a loss, or by the owner's own
    /// wish (an epoch that the ledger refused). The owner has stopped when it calls this.
    pub fn hand_back(self) {
        drop(self);
    }
}

impl Drop for OwnedLease {
    fn drop(&mut self) {
        let handed_back = HandedBack {
            index: self.lease.partition.index,
            epoch: self.lease.epoch,
        };
        // There is room for every partition. It fails only when the ownership has ended, and then
        // nobody needs to know.
        let _ = self.handed_back.try_send(handed_back);
    }
}

/// The leases that were acquired, for their owners to come.
///
/// Dropping it ends the ownership as its shutdown does: nobody would work on the partitions.
#[derive(Debug)]
pub struct OwnedLeases {
    leases: mpsc::Receiver<OwnedLease>,
}

impl OwnedLeases {
    /// Waits for the next lease; none once the ownership has ended. Cancel safe.
    ///
    /// Keep calling it until it answers none: a lease that waits here at shutdown has an owner
    /// that doesn't answer.
    pub async fn next(&mut self) -> Option<OwnedLease> {
        self.leases.recv().await
    }
}

/// An owner has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandedBack {
    pub(crate) index: u32,
    pub(crate) epoch: Epoch,
}

/// The ownership's side: one owner per partition. Dropping it tells all owners that they have
/// lost their leases.
#[derive(Debug)]
pub(crate) struct Owners {
    owners: BTreeMap<u32, Owner>,
    leases: mpsc::Sender<OwnedLease>,
    handed_back_sender: mpsc::Sender<HandedBack>,
    handed_back: mpsc::Receiver<HandedBack>,
}

#[derive(Debug)]
struct Owner {
    release_requested: CancellationToken,
    _lost_when_dropped: DropGuard,
}

impl Owners {
    /// Room for `partitions` owners. At most one [`OwnedLease`] of a partition exists until it is
    /// handed back, so that neither channel can be full.
    pub(crate) fn new(partitions: u32) -> (Self, OwnedLeases) {
        let (leases_sender, leases) = mpsc::channel(partitions as usize);
        let (handed_back_sender, handed_back) = mpsc::channel(partitions as usize);
        let owners = BTreeMap::new();
        let this = Self {
            owners,
            leases: leases_sender,
            handed_back_sender,
            handed_back,
        };
        (this, OwnedLeases { leases })
    }

    /// Gives a lease to whoever takes it next. It comes back at once if nobody can.
    pub(crate) fn hand_over(&mut self, lease: Lease) {
        let index = lease.partition.index;
        let lost = CancellationToken::new();
        let release_requested = lost.child_token();
        let owner = Owner {
            release_requested: release_requested.clone(),
            _lost_when_dropped: lost.clone().drop_guard(),
        };
        self.owners.insert(index, owner);
        let handed_back = self.handed_back_sender.clone();
        // A lease that can't be sent is dropped, which hands it back.
        let _ = self.leases.try_send(OwnedLease {
            lease,
            release_requested,
            lost,
            handed_back,
        });
    }

    /// Asks the owner of a partition to hand it back.
    pub(crate) fn request_release(&self, index: u32) {
        if let Some(owner) = self.owners.get(&index) {
            owner.release_requested.cancel();
        }
    }

    /// Tells the owner of a partition to stop at once.
    pub(crate) fn lose(&mut self, index: u32) {
        self.owners.remove(&index);
    }

    /// Waits for the next owner that has stopped. Cancel safe.
    pub(crate) async fn next_handed_back(&mut self) -> Option<HandedBack> {
        let handed_back = self.handed_back.recv().await?;
        self.owners.remove(&handed_back.index);
        Some(handed_back)
    }

    /// Where the leases go; it is closed when nobody can take them any longer.
    pub(crate) fn listener(&self) -> mpsc::Sender<OwnedLease> {
        self.leases.clone()
    }
}
