//! A worker: all processors that this process runs.
//!
//! ```text
//! Worker ─► Executor (one per processor) ─► consumers ─► the users' functions
//!      └──► Arrivals (one waiting call to the store for all idle partitions)
//! ```
//!
//! It ends when all of its tasks have. At shutdown each function finishes what it has in hand, the
//! leases are released, and other workers take over at once. If the process dies, they do after
//! the time of a lease.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::Arrivals;
use tidegate_store::{Store, WorkerId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::executor::{self, Member, Shared, Sharing, keep_first};
use crate::metrics::Metrics;
use crate::processor::Processor;
use crate::room::Budget;
use crate::{Error, Result};

/// The least budget for entries in memory.
pub const PREFETCH_BYTES_MIN: usize = 1 << 10;
/// How much longer than a processor's own grace the ownership waits for its partitions.
const RELEASE_MARGIN: Duration = Duration::from_secs(2);

/// How a worker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long the partitions of a process that died stand still.
    pub lease_ttl: Duration,
    /// How many bytes of entries all partitions together have in memory at most, whatever the
    /// processors' own settings allow: at least [`PREFETCH_BYTES_MIN`]. All partitions of its
    /// processors have equal shares, whether it owns them or not, since it may come to. One entry
    /// for each partition may come on top, so that each goes on.
    pub prefetch_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(10),
            prefetch_bytes: 64 << 20,
        }
    }
}

/// Runs processors on the partitions that this process gets to own.
#[derive(Debug)]
pub struct Worker {
    store: Arc<dyn Store>,
    id: WorkerId,
    is_static: bool,
    processors: Vec<Processor>,
    options: Options,
    metrics: Metrics,
    arrivals: Arc<Arrivals>,
}

impl Worker {
    /// Prepares a worker; nothing happens before [`run`](Self::run).
    ///
    /// # Errors
    /// [`Error::Invalid`] for an option out of its bounds, and for two processors of one name on
    /// one stream.
    pub fn new(
        store: Arc<dyn Store>,
        processors: Vec<Processor>,
        options: Options,
    ) -> Result<Self> {
        if options.prefetch_bytes < PREFETCH_BYTES_MIN {
            return Err(Error::Invalid(format!(
                "prefetch_bytes = {}: use at least {PREFETCH_BYTES_MIN}",
                options.prefetch_bytes
            )));
        }
        for (index, one) in processors.iter().enumerate() {
            let is_twin = |other: &Processor| one.name == other.name && one.stream == other.stream;
            if processors.iter().skip(index + 1).any(is_twin) {
                return Err(Error::Invalid(format!(
                    "two processors {} of the stream {}: give each a name of its own",
                    one.name, one.stream
                )));
            }
        }
        Ok(Self {
            store,
            id: WorkerId::random(),
            is_static: false,
            processors,
            options,
            metrics: Metrics::default(),
            arrivals: Arc::default(),
        })
    }

    /// Makes it a static member: a worker of a name that no other has at the same time. Its
    /// partitions wait for it after a shutdown, for the time of a lease, and are its own again,
    /// under new epochs, when it is back before.
    #[must_use]
    pub fn as_static_member(mut self, name: &str) -> Self {
        self.id = WorkerId::named(name);
        self.is_static = true;
        self
    }

    /// Who this worker is in the store.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// What its partitions are doing; valid while it runs.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Where whatever runs beside it on the same store can sleep until something arrives; only
    /// while it runs is anybody woken.
    #[must_use]
    pub fn arrivals(&self) -> Arc<Arrivals> {
        self.arrivals.clone()
    }

    /// Processes until `shutdown`, then finishes what is in hand and gives the partitions back.
    ///
    /// # Errors
    /// [`Error::Halted`] where a policy says so, and what waiting can't mend; everything else has
    /// been given back then.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        // A processor that halts stops the others; `shutdown` itself is the caller's.
        let stop = shutdown.child_token();
        let arrivals = self.arrivals;
        let arrivals_end = CancellationToken::new();
        let waiting = {
            let (store, arrivals, end) =
                (self.store.clone(), arrivals.clone(), arrivals_end.clone());
            tokio::spawn(async move { arrivals.run(store, end).await })
        };
        let partitions = self.processors.iter().map(|it| it.partitions as usize);
        let budget = Budget::new(self.options.prefetch_bytes, partitions.sum());
        let member = Member {
            id: self.id,
            is_static: self.is_static,
        };
        let mut executors = JoinSet::new();
        if self.processors.is_empty() {
            // Who runs beside it may still sleep on its arrivals.
            shutdown.cancelled().await;
        }
        for processor in self.processors {
            let sharing = Sharing {
                lease_ttl: self.options.lease_ttl,
                release_grace: processor.settings.grace + RELEASE_MARGIN,
            };
            let shared = Arc::new(Shared {
                store: self.store.clone(),
                processor: Arc::new(processor),
                arrivals: arrivals.clone(),
                budget: budget.clone(),
                metrics: self.metrics.clone(),
            });
            executors.spawn(executor::run(shared, member, sharing, stop.clone()));
        }
        let mut failure = None;
        while let Some(ended) = executors.join_next().await {
            keep_first(&mut failure, &stop, ended);
        }
        arrivals_end.cancel();
        keep_first(&mut failure, &stop, waiting.await.map(Ok));
        failure.map_or(Ok(()), Err)
    }
}
