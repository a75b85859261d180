//! What follows from a look at the store: the assignment, and this worker's part in reaching it.
//!
//! It stands between the survey's answer and the steps of the [`Claims`]. It guarantees that a
//! view may be old: what this worker knows of its own claims comes first, and a step that an old
//! view suggests wrongly changes nothing in the store. Pure, so that nothing is lost with the
//! process.

use tidegate_store::{Lease, LeaseHolder, WorkerId};

use super::{Claim, Claims, Step};
use crate::assignment::assign;

/// What everyone can see at a moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The workers that are alive.
    pub(crate) workers: Vec<WorkerId>,
    /// The holder of each partition, in their order.
    pub(crate) holders: Vec<Option<LeaseHolder>>,
}

impl Claims {
    /// Acts on a view, which `self.worker` has asked for. Answers whether every partition is held
    /// by the worker to which it is assigned.
    pub(crate) fn surveyed(&mut self, view: View) -> bool {
        let View {
            mut workers,
            holders,
        } = view;
        for (index, holder) in (self.first..).zip(&holders) {
            self.notice_successor(index, *holder);
        }
        // This worker is alive, even if its last beat is too old for the list.
        workers.push(self.worker);
        workers.sort_unstable();
        workers.dedup();
        let known: Vec<Option<WorkerId>> = (self.first..)
            .zip(&holders)
            .map(|(index, seen)| self.holder(index, *seen))
            .collect();
        let targets = assign(&workers, &known);
        let mut settled = true;
        for (index, (target, seen)) in (self.first..).zip(targets.into_iter().zip(holders)) {
            settled &= self.pursue(index, target, seen);
        }
        settled
    }

    /// A larger epoch than ours in the store proves that our lease is lost, whatever the age of
    /// the view. (A free partition proves nothing: the view may be older than the lease.)
    fn notice_successor(&mut self, index: u32, seen: Option<LeaseHolder>) {
        if let (Some(Claim::Held { lease, .. }), Some(seen)) = (self.claims.get(&index), seen)
            && seen.epoch > lease.epoch
        {
            self.lose(index);
        }
    }

    /// Who holds a partition: what this worker knows of itself is newer than the view.
    fn holder(&self, index: u32, seen: Option<LeaseHolder>) -> Option<WorkerId> {
        match self.claims.get(&index) {
            Some(Claim::Held { .. } | Claim::Acquiring) => Some(self.worker),
            Some(Claim::Lost(_) | Claim::Releasing) | None => seen.and_then(|seen| seen.worker),
        }
    }

    /// Does what brings a partition to its target. Answers whether it is there.
    fn pursue(&mut self, index: u32, target: WorkerId, seen: Option<LeaseHolder>) -> bool {
        let ours = target == self.worker;
        match self.claims.get_mut(&index) {
            Some(Claim::Held {
                release_requested, ..
            }) => {
                if !ours && !*release_requested {
                    *release_requested = true;
                    self.steps.push(Step::RequestRelease(index));
                }
                ours && !*release_requested
            }
            Some(Claim::Acquiring | Claim::Lost(_) | Claim::Releasing) => false,
            None => match seen {
                None => {
                    if ours && !self.stopping {
                        self.claims.insert(index, Claim::Acquiring);
                        self.steps.push(Step::Acquire(index));
                    }
                    false
                }
                Some(LeaseHolder {
                    worker: Some(holder),
                    epoch,
                    ..
                }) if holder == self.worker => {
                    if self.is_static && ours && !self.stopping {
                        self.claims.insert(index, Claim::Acquiring);
                        self.steps.push(Step::TakeAgain(index, epoch));
                        return false;
                    }
                    // The answer to an acquisition or to a release did not reach us. A release
                    // for an epoch that is over by now changes nothing.
                    let (group, partition) = (self.group.clone(), self.stream.partition(index));
                    self.release(Lease {
                        group,
                        partition,
                        worker: holder,
                        epoch,
                    });
                    false
                }
                Some(holder) => holder.worker == Some(target),
            },
        }
    }
}
