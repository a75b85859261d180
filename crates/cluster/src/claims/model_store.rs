//! The store as the tests of claims need it: leases with epochs, and nothing else.

use std::time::Duration;

use tidegate_store::{Epoch, GroupName, Lease, LeaseHolder, StreamName, WorkerId};
use tokio::time::Instant;
use uuid::Uuid;

use super::View;

#[derive(Clone, Debug)]
pub(crate) enum Call {
    Survey,
    Renew(Vec<Lease>),
    Acquire(u32, Epoch),
    Release(Lease),
}

#[derive(Debug)]
pub(crate) enum Answer {
    View(View),
    StillHeld(Vec<bool>),
    Lease(Option<Lease>),
    Done,
}

#[derive(Debug)]
pub(crate) struct ModelStore {
    partitions: Vec<Stored>,
    ttl: Duration,
}

#[derive(Clone, Debug, Default)]
struct Stored {
    epoch: u64,
    held: Option<(WorkerId, Instant)>,
}

impl ModelStore {
    pub(crate) fn new(partitions: u32, ttl: Duration) -> Self {
        Self {
            partitions: vec![Stored::default(); partitions as usize],
            ttl,
        }
    }

    /// What the store does and answers at `now`, when these workers are `alive`.
    pub(crate) fn execute(
        &mut self,
        worker: WorkerId,
        call: &Call,
        alive: Vec<WorkerId>,
        now: Instant,
    ) -> Answer {
        for stored in &mut self.partitions {
            stored.held = stored.held.filter(|(_, ends_at)| *ends_at > now);
        }
        match call {
            Call::Survey => Answer::View(View {
                workers: alive,
                holders: self.holders(),
            }),
            Call::Renew(leases) => {
                Answer::StillHeld(leases.iter().map(|lease| self.renew(lease, now)).collect())
            }
            Call::Acquire(index, floor) => Answer::Lease(self.acquire(worker, *index, *floor, now)),
            Call::Release(lease) => {
                let stored = &mut self.partitions[lease.partition.index as usize];
                if stored.epoch == lease.epoch.0 {
                    stored.held = None;
                }
                Answer::Done
            }
        }
    }

    /// Whether the store holds this lease at `now`.
    pub(crate) fn holds(&self, lease: &Lease, now: Instant) -> bool {
        let stored = &self.partitions[lease.partition.index as usize];
        let held = stored
            .held
            .is_some_and(|(holder, ends_at)| holder == lease.worker && ends_at > now);
        held && stored.epoch == lease.epoch.0
    }

    fn holders(&self) -> Vec<Option<LeaseHolder>> {
        let holder = |stored: &Stored| {
            let (worker, _) = stored.held?;
            Some(LeaseHolder {
                worker: Some(worker),
                epoch: Epoch(stored.epoch),
                ends_in_ms: 1,
            })
        };
        self.partitions.iter().map(holder).collect()
    }

    fn renew(&mut self, lease: &Lease, now: Instant) -> bool {
        let held = self.holds(lease, now);
        if held {
            let stored = &mut self.partitions[lease.partition.index as usize];
            stored.held = Some((lease.worker, now + self.ttl));
        }
        held
    }

    fn acquire(
        &mut self,
        worker: WorkerId,
        index: u32,
        floor: Epoch,
        now: Instant,
    ) -> Option<Lease> {
        let stored = &mut self.partitions[index as usize];
        let is_free = stored.held.is_none_or(|(holder, _)| {
            // The worker itself may take it again, if it knows the epoch.
            holder == worker && floor.0 >= stored.epoch
        });
        is_free.then(|| {
            stored.epoch += 1;
            stored.held = Some((worker, now + self.ttl));
            lease(index, worker, stored.epoch)
        })
    }
}

pub(crate) fn stream() -> StreamName {
    StreamName::new("s").expect("a valid name")
}

pub(crate) fn group() -> GroupName {
    GroupName::new("g").expect("a valid name")
}

pub(crate) fn id(worker: usize) -> WorkerId {
    WorkerId::new(Uuid::from_u128(worker as u128))
}

pub(crate) fn lease(index: u32, worker: WorkerId, epoch: u64) -> Lease {
    Lease {
        group: group(),
        partition: stream().partition(index),
        worker,
        epoch: Epoch(epoch),
    }
}
