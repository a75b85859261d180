//! The catalog as it was last read, shared by all shards of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::catalog::Catalog;
use crate::error::Result;

/// For how long an unknown name is believed to be unknown: a stream full of unknown names must not
/// become a stream of catalog queries.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// Keeps the catalog.
#[derive(Debug)]
pub(crate) struct Catalogs {
    latest: Mutex<Option<Arc<Catalog>>>,
    created: Instant,
    /// When the catalog was read, in milliseconds since `created`.
    read_at_ms: AtomicU64,
}

impl Catalogs {
    pub(crate) fn new() -> Self {
        Self {
            latest: Mutex::default(),
            created: Instant::now(),
            read_at_ms: AtomicU64::new(0),
        }
    }

    /// The catalog, from `read` if there is none.
    pub(crate) async fn latest(
        &self,
        read: impl Future<Output = Result<Arc<Catalog>>>,
    ) -> Result<Arc<Catalog>> {
        let mut latest = self.latest.lock().await;
        if let Some(catalog) = &*latest {
            return Ok(catalog.clone());
        }
        let read_at_ms = self.elapsed_ms();
        let catalog = read.await?;
        self.read_at_ms.store(read_at_ms, Ordering::Relaxed);
        *latest = Some(catalog.clone());
        Ok(catalog)
    }

    /// Whether the catalog is so new that a name it doesn't hold is an unknown name.
    pub(crate) fn is_fresh(&self) -> bool {
        let age_ms = self
            .elapsed_ms()
            .saturating_sub(self.read_at_ms.load(Ordering::Relaxed));
        u128::from(age_ms) < FRESH_FOR.as_millis()
    }

    /// Makes the next shard that asks read the catalog anew, unless one has just done so.
    pub(crate) async fn forget(&self) {
        let mut latest = self.latest.lock().await;
        if !self.is_fresh() {
            *latest = None;
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
