//! Leases with epochs: who may act for a group on a partition, and how a stale owner is known.
//!
//! A partition has one owner per group. The owner holds a lease that ends by itself unless it is
//! renewed, and carries an epoch that grows with every new owner and is never used again. Every
//! write of an owner carries the epoch, so that a process which slept through the end of its
//! lease can do no harm when it wakes up.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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

/// The namespace of the ids that [`WorkerId::named`] derives.
const NAMED: Uuid = Uuid::from_u128(0x7d1e_9a57_0c43_4f0b_9d55_21f7_5b3c_a6e0);

/// One run of one worker process: a restarted process is another worker, unless it has a name.
///
/// As text it is the unpadded URL-safe base64 of a UUID, 22 characters, as runnel's executor ids
/// are. The hyphenated form of a UUID is read as well.
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

    /// The id of the worker of this name: the same at each start. Two processes must not run
    /// under one name at a time.
    ///
    /// # Examples
    /// ```
    /// use tidegate_store::WorkerId;
    /// assert_eq!(WorkerId::named("node-1"), WorkerId::named("node-1"));
    /// assert_ne!(WorkerId::named("node-1"), WorkerId::named("node-2"));
    /// ```
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(Uuid::new_v5(&NAMED, name.as_bytes()))
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&URL_SAFE_NO_PAD.encode(self.0.as_bytes()))
    }
}

impl FromStr for WorkerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let short = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| Uuid::from_slice(&bytes).ok());
        short
            .map_or_else(|| Uuid::parse_str(text), Ok)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_id_is_read_back_in_both_forms() {
        let hyphenated = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let worker: WorkerId = hyphenated.parse().unwrap();
        assert_eq!(worker.to_string(), "Z-VQRBCxQm-SR7toDl_gyA");
        assert_eq!(worker.to_string().parse::<WorkerId>().unwrap(), worker);
    }

    #[test]
    fn what_is_no_worker_id_is_refused() {
        for text in [
            "",
            "true",
            "Z-VQRBCxQm-SR7toDl_gyB",
            "Z-VQRBCxQm+SR7toDl/gyA",
            "7:x",
        ] {
            assert!(text.parse::<WorkerId>().is_err(), "{text:?}");
        }
    }
}
