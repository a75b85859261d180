//! Leases with epochs: who may act for a group on a partition, and how a stale owner is known.
//!
//! A partition has one owner per group. The owner holds a lease that ends by itself unless it is
//! renewed, and carries an epoch that grows with every new owner and is never used again. Every
//! write of an owner carries the epoch, so that a process which slept through the end of its
//! lease can do no harm when it wakes up.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::Error;
use crate::stream::{GroupName, Partition};

/// The fencing token of an ownership. Larger is newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One run of one worker process. A restarted process is another worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(Uuid);

impl WorkerId {
    /// A worker id from a UUID the caller has drawn.
    #[must_use]
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// A fresh worker id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for WorkerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|source| Error::Invalid(format!("worker id {text:?}: {source}")))
    }
}

/// The right to act for a group on a partition. It is a claim to be checked by the store (or by
/// the ledger in the target database), never by the local clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// For whom.
    pub group: GroupName,
    /// On what.
    pub partition: Partition,
    /// By whom.
    pub worker: WorkerId,
    /// Since which change of owner.
    pub epoch: Epoch,
}

/// Who holds a lease now, as everyone can see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseHolder {
    /// The owner; none where a program that is not Tidegate holds the partition's lock.
    pub worker: Option<WorkerId>,
    /// The owner's epoch.
    pub epoch: Epoch,
    /// Milliseconds until the lease ends unless it is renewed.
    pub ends_in_ms: u64,
}
