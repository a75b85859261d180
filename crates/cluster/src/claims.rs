//! What this worker holds of each partition, and what follows from what it hears: a pure state
//! machine. The clock is given, and what is to be done comes out as [`Step`]s.
//!
//! ```text
//!            acquire            acquired, handed over
//! (nothing) ────────► Acquiring ────────────────────► Held ──── lost, or trust ended ──► Lost
//!     ▲                   │ refused                     │ handed back       handed back   │
//!     ├───────────────────┘                             ▼                                 │
//!     └──────────────────── released ─────────────── Releasing ◄─────────────────────────┘
//! ```
//!
//! It stands between the answers of the store and the calls and owners at the rim. It guarantees
//! that a partition is with one owner of this process at a time: it is not acquired again before
//! the owner has handed it back, even when its lease is long lost. A lease is Held only while
//! the store holds it for this worker, as long as the clocks of both run at about the same rate.
//! If the process dies, the leases end by themselves, and the next owners have larger epochs.

#[cfg(test)]
mod event;
#[cfg(test)]
mod model_store;
mod survey;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::collections::BTreeMap;

use tidegate_store::{Epoch, GroupName, Lease, StreamName, WorkerId};
use tokio::time::Instant;

pub(crate) use self::survey::View;
use crate::timing::Timing;

/// What is to be done at the rim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Try to take the lease on this partition.
    Acquire(u32),
    /// Try to take the lease that this worker holds since a former life, under this epoch.
    TakeAgain(u32, Epoch),
    /// Give the lease to an owner.
    HandOver(Lease),
    /// Ask the owner of this partition to finish what it has begun and to hand it back.
    RequestRelease(u32),
    /// Tell the owner of this lease to stop at once.
    Lose(Lease),
    /// Give the lease back to the store.
    Release(Lease),
}

#[derive(Debug)]
enum Claim {
    Acquiring,
    Held {
        lease: Lease,
        trusted_until: Instant,
        release_requested: bool,
    },
    Lost(Lease),
    Releasing,
}

/// The claims of one worker on the partitions of one stream, for one group.
#[derive(Debug)]
pub(crate) struct Claims {
    stream: StreamName,
    group: GroupName,
    worker: WorkerId,
    timing: Timing,
    /// The index of the first partition that is shared.
    first: u32,
    is_static: bool,
    stopping: bool,
    claims: BTreeMap<u32, Claim>,
    steps: Vec<Step>,
}

impl Claims {
    /// No claim on any partition.
    pub(crate) fn new(
        stream: StreamName,
        group: GroupName,
        worker: WorkerId,
        timing: Timing,
    ) -> Self {
        let (claims, steps) = (BTreeMap::new(), Vec::new());
        Self {
            stream,
            group,
            worker,
            timing,
            first: 0,
            is_static: false,
            stopping: false,
            claims,
            steps,
        }
    }

    /// Lets the partitions that are shared begin with another index than 0.
    pub(crate) fn beginning_at(self, first: u32) -> Self {
        Self { first, ..self }
    }

    /// Lets this worker come back as the same: at the end its leases stay, and at the beginning it
    /// takes those that it finds.
    pub(crate) fn become_static(&mut self) {
        self.is_static = true;
    }

    /// Whether a lease is on its way back to the store.
    pub(crate) fn is_releasing(&self) -> bool {
        let mut claims = self.claims.values();
        claims.any(|claim| matches!(claim, Claim::Releasing))
    }

    /// What is to be done since the last time this was asked.
    pub(crate) fn take_steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    /// Whether nothing is held, taken or being released.
    pub(crate) fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// The leases to renew, those whose release was requested included: their owners are still
    /// at work.
    pub(crate) fn held(&self) -> Vec<Lease> {
        let held = self.claims.values().filter_map(|claim| match claim {
            Claim::Held { lease, .. } => Some(lease.clone()),
            Claim::Acquiring | Claim::Lost(_) | Claim::Releasing => None,
        });
        held.collect()
    }

    /// When the trust in the first lease ends unless it is renewed.
    pub(crate) fn trusted_until(&self) -> Option<Instant> {
        let ends = self.claims.values().filter_map(|claim| match claim {
            Claim::Held { trusted_until, .. } => Some(*trusted_until),
            Claim::Acquiring | Claim::Lost(_) | Claim::Releasing => None,
        });
        ends.min()
    }

    /// The trust in leases that were not renewed in time ends, however silent the store is.
    pub(crate) fn expire(&mut self, now: Instant) {
        let expired = self.claims.iter().filter_map(|(index, claim)| match claim {
            Claim::Held { trusted_until, .. } => (*trusted_until <= now).then_some(*index),
            Claim::Acquiring | Claim::Lost(_) | Claim::Releasing => None,
        });
        for index in expired.collect::<Vec<_>>() {
            self.lose(index);
        }
    }

    /// The store has answered a renewal that was sent at `sent_at`.
    pub(crate) fn renewed(&mut self, leases: &[Lease], still_held: &[bool], sent_at: Instant) {
        for (renewed, still_held) in leases.iter().zip(still_held) {
            let index = renewed.partition.index;
            match self.claims.get_mut(&index) {
                Some(Claim::Held {
                    lease,
                    trusted_until,
                    ..
                }) if lease == renewed => {
                    if *still_held {
                        *trusted_until = (*trusted_until).max(sent_at + self.timing.trust());
                    } else {
                        self.lose(index);
                    }
                }
                // The answer is about a lease that was handed back or lost in the meantime.
                _ => {}
            }
        }
    }

    /// The store has answered, or not answered, an acquisition that was sent at `sent_at`.
    pub(crate) fn acquired(
        &mut self,
        index: u32,
        lease: Option<Lease>,
        sent_at: Instant,
        now: Instant,
    ) {
        let Some(lease) = lease else {
            self.claims.remove(&index);
            return;
        };
        let trusted_until = sent_at + self.timing.trust();
        if self.stopping || trusted_until <= now {
            self.release(lease);
        } else {
            self.steps.push(Step::HandOver(lease.clone()));
            let held = Claim::Held {
                lease,
                trusted_until,
                release_requested: false,
            };
            self.claims.insert(index, held);
        }
    }

    /// The owner has stopped. The lease goes back to the store even if it is lost, because it
    /// may be lost only in the belief of this worker.
    pub(crate) fn handed_back(&mut self, index: u32, epoch: Epoch) {
        match self.claims.get(&index) {
            Some(Claim::Held { lease, .. } | Claim::Lost(lease)) if lease.epoch == epoch => {
                let lease = lease.clone();
                self.release(lease);
            }
            _ => {}
        }
    }

    /// The store has answered, or not answered, a release. If it did not happen, a later survey
    /// shows the lease, and it is released again.
    pub(crate) fn released(&mut self, index: u32) {
        if let Some(Claim::Releasing) = self.claims.get(&index) {
            self.claims.remove(&index);
        }
    }

    /// Acquires nothing from now on, and asks every owner to hand back.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
        for (index, claim) in &mut self.claims {
            if let Claim::Held {
                release_requested, ..
            } = claim
            {
                if !*release_requested {
                    self.steps.push(Step::RequestRelease(*index));
                }
                *release_requested = true;
            }
        }
    }

    /// Waits for no owner any longer: tells them to stop at once, and releases their leases. The
    /// epochs keep those that don't stop from doing harm.
    pub(crate) fn abandon(&mut self) {
        let with_owner = self.claims.iter().filter_map(|(index, claim)| match claim {
            Claim::Held { lease, .. } | Claim::Lost(lease) => Some((*index, lease.clone())),
            Claim::Acquiring | Claim::Releasing => None,
        });
        for (index, lease) in with_owner.collect::<Vec<_>>() {
            self.lose(index);
            self.release(lease);
        }
    }

    fn lose(&mut self, index: u32) {
        if let Some(claim) = self.claims.get_mut(&index)
            && let Claim::Held { lease, .. } = claim
        {
            let lease = lease.clone();
            *claim = Claim::Lost(lease.clone());
            self.steps.push(Step::Lose(lease));
        }
    }

    fn release(&mut self, lease: Lease) {
        if self.is_static && self.stopping {
            // It ends by itself, unless this worker comes back before.
            self.claims.remove(&lease.partition.index);
            return;
        }
        self.claims.insert(lease.partition.index, Claim::Releasing);
        self.steps.push(Step::Release(lease));
    }
}
