//! The component that gives a worker its part of a stream's partitions, and keeps it.
//!
//! ```text
//! Handle ─ floors ─►┌─────────────┐─ calls ──► store
//!                   │  Ownership  │◄─ answers ─┘
//!       shutdown ──►│  one loop   │─ OwnedLease ─────► owners, one per partition
//!                   └─────────────┘◄─ handed back ────┘
//! ```
//!
//! This is its outside: the options, the handle, and what a running one consists of;
//! `event_loop` is how it runs. It guarantees that leases are renewed while their owners work, and that an owner
//! is told in time when its lease can't be relied on any more. If the process dies here, its
//! leases and its beat end after their time to live, and the other workers take over.

mod event_loop;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_store::{Epoch, GroupName, Store, StreamName, WorkerId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::calls::{Calls, Subject};
use crate::claims::Claims;
use crate::outage::Outage;
use crate::owned_lease::{OwnedLeases, Owners};
use crate::timing::{Recurring, Timing};
use crate::{Error, Result};

/// The most partitions that a stream may have: each look at the store asks for all of them.
pub const PARTITIONS_MAX: u32 = 4096;
/// The shortest lease. A shorter one would end by the ordinary delays of a busy machine.
pub const LEASE_TTL_MIN: Duration = Duration::from_millis(100);
/// The longest lease: the time for which the partitions of a dead worker stand still.
pub const LEASE_TTL_MAX: Duration = Duration::from_secs(3600);

/// What is shared, and how fast.
#[derive(Clone, Debug)]
pub struct Options {
    /// The stream whose partitions are shared.
    pub stream: StreamName,
    /// For which group.
    pub group: GroupName,
    /// The index of the first partition that is shared, the same for every worker: 0 unless the
    /// stream has got other partitions than it had.
    pub first_partition: u32,
    /// How many partitions are shared, from the first one on: 1 to [`PARTITIONS_MAX`], the same for
    /// every worker.
    pub partitions: u32,
    /// How long a lease lasts unless it is renewed: [`LEASE_TTL_MIN`] to [`LEASE_TTL_MAX`]. It is
    /// renewed four times as often. The partitions of a worker that dies stand still for about
    /// this long.
    pub lease_ttl: Duration,
    /// How long a shutdown waits for the owners to hand back, before it tells them to stop at
    /// once.
    pub release_grace: Duration,
}

impl Options {
    fn check(&self) -> Result<()> {
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            let given = self.partitions;
            return Err(Error::Invalid(format!(
                "{given} partitions: use 1 to {PARTITIONS_MAX}"
            )));
        }
        if self.first_partition.checked_add(self.partitions).is_none() {
            let first = self.first_partition;
            return Err(Error::Invalid(format!(
                "partitions from {first} on: there are not so many indexes"
            )));
        }
        if !(LEASE_TTL_MIN..=LEASE_TTL_MAX).contains(&self.lease_ttl) {
            return Err(Error::Invalid(format!(
                "a lease of {:?}: use {LEASE_TTL_MIN:?} to {LEASE_TTL_MAX:?}",
                self.lease_ttl
            )));
        }
        Ok(())
    }
}

/// What others can tell a running [`Ownership`].
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) subject: Arc<Subject>,
    hurry: Arc<Notify>,
}

impl Handle {
    /// The worker for which partitions are owned.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        self.subject.worker
    }

    /// Makes the next look at the store due at once: somebody has come or gone.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Later leases on this partition get an epoch larger than `floor`, and larger than every
    /// floor given before. The present lease stays as it is: hand it back if its epoch is stale.
    pub fn raise_floor(&self, index: u32, floor: Epoch) {
        if let Some(known) = self.subject.known_floor(index) {
            known.fetch_max(floor.0, Ordering::Relaxed);
        }
    }
}

/// One worker's part in sharing the partitions of one stream for one group.
#[derive(Debug)]
pub struct Ownership {
    timing: Timing,
    release_grace: Duration,
    calls: Calls,
    claims: Claims,
    owners: Owners,
    survey: Recurring,
    /// How many looks in a row have found a partition that was not where it belongs.
    unsettled_looks: u32,
    hurry: Arc<Notify>,
    is_static: bool,
    renewal: Recurring,
    beat_due_at: Instant,
    outage: Outage,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Sharing,
    /// `grace_ends_at` is none after the grace has ended, and for one without end.
    Stopping {
        grace_ends_at: Option<Instant>,
        farewell: Farewell,
    },
}

/// Saying that this worker goes: at first, so that the others no longer count on it, and again
/// when it has given leases back, so that they take them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Farewell {
    is_due: bool,
    is_in_flight: bool,
}

impl Ownership {
    /// Prepares to share partitions as `worker`. Nothing happens before [`run`](Self::run).
    ///
    /// A worker has one ownership for a stream and a group: a second one with the same id would
    /// release the leases of the first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for options out of their bounds.
    pub fn new(
        store: Arc<dyn Store>,
        worker: WorkerId,
        options: Options,
    ) -> Result<(Self, Handle, OwnedLeases)> {
        options.check()?;
        let Options {
            stream,
            group,
            first_partition,
            partitions,
            lease_ttl,
            release_grace,
        } = options;
        let (timing, now) = (Timing { lease_ttl }, Instant::now());
        let subject = Arc::new(Subject {
            stream: stream.clone(),
            group: group.clone(),
            worker,
            first_partition,
            partitions: (first_partition..first_partition.saturating_add(partitions))
                .map(|index| stream.partition(index))
                .collect(),
            floors: (0..partitions).map(|_| AtomicU64::new(0)).collect(),
        });
        let (owners, leases) = Owners::new(partitions);
        let hurry = Arc::new(Notify::new());
        let ownership = Self {
            timing,
            release_grace,
            calls: Calls::new(store, Arc::clone(&subject), timing),
            claims: Claims::new(stream, group, worker, timing).beginning_at(first_partition),
            owners,
            survey: Recurring::new(timing, now),
            unsettled_looks: 0,
            hurry: Arc::clone(&hurry),
            is_static: false,
            renewal: Recurring::new(timing, now),
            beat_due_at: now,
            outage: Outage::default(),
            phase: Phase::Sharing,
        };
        Ok((ownership, Handle { subject, hurry }, leases))
    }

    /// Lets the worker come back as the same, for one whose id is
    /// [of a name](WorkerId::named): at shutdown its leases are not released and it doesn't leave
    /// the group, so that its partitions wait for it. If it is back before the leases end, it
    /// takes them again at once, under new epochs; if it is not, the others do.
    #[must_use]
    pub fn as_static_member(mut self) -> Self {
        self.is_static = true;
        self.claims.become_static();
        self
    }
}
