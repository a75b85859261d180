//! Metrics: what each owned partition has done, countable while it works.
//!
//! Writers are the lanes and consumers, with relaxed atomics; readers take a [`snapshot`](Metrics::snapshot)
//! whenever they like. Counts begin with the ownership of a partition and are gone with the
//! process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_store::{Epoch, Lease};

/// A cheap handle on the counts of a worker.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    partitions: Arc<Mutex<BTreeMap<(String, u32), Counted>>>,
}

#[derive(Debug)]
struct Counted {
    epoch: Epoch,
    counts: Arc<Counts>,
}

/// The counts of one partition, as they are written.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) processed: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) in_hand: AtomicU64,
    pub(crate) last_processing_ns: AtomicU64,
}

/// What one partition has done under its present owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetrics {
    /// The processor.
    pub processor: String,
    /// The partition.
    pub partition: u32,
    /// The owner's epoch.
    pub epoch: Epoch,
    /// Events that the function is done with.
    pub processed: u64,
    /// Failures of the function.
    pub failed: u64,
    /// Entries acknowledged.
    pub acknowledged: u64,
    /// Events handed out and not yet done.
    pub in_hand: u64,
    /// How long the last event or batch was in hand.
    pub last_processing: Duration,
}

impl Metrics {
    /// What every owned partition has done, sorted by processor and partition.
    #[must_use]
    pub fn snapshot(&self) -> Vec<PartitionMetrics> {
        let partitions = self.lock();
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        partitions
            .iter()
            .map(
                |((processor, partition), Counted { epoch, counts })| PartitionMetrics {
                    processor: processor.clone(),
                    partition: *partition,
                    epoch: *epoch,
                    processed: read(&counts.processed),
                    failed: read(&counts.failed),
                    acknowledged: read(&counts.acknowledged),
                    in_hand: read(&counts.in_hand),
                    last_processing: Duration::from_nanos(read(&counts.last_processing_ns)),
                },
            )
            .collect()
    }

    /// Begins to count for a new owner of a partition.
    pub(crate) fn begin(&self, lease: &Lease) -> Arc<Counts> {
        let counts = Arc::new(Counts::default());
        let key = (lease.group.to_string(), lease.partition.index);
        let counted = Counted {
            epoch: lease.epoch,
            counts: counts.clone(),
        };
        self.lock().insert(key, counted);
        counts
    }

    /// Forgets a partition that has been handed back, unless it has a newer owner here.
    pub(crate) fn end(&self, lease: &Lease) {
        let key = (lease.group.to_string(), lease.partition.index);
        let mut partitions = self.lock();
        if partitions
            .get(&key)
            .is_some_and(|counted| counted.epoch == lease.epoch)
        {
            partitions.remove(&key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, u32), Counted>> {
        // A panic elsewhere leaves the map whole: each change of it is one call.
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
