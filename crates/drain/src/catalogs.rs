//! The catalog as it was last read, shared by all shards of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::catalog::Catalog;
use crate::error::Result;

/// After it was in vain, for how long the catalog is not read again for an unknown name: a stream full
/// of unknown names must not become a stream of catalog queries.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps the catalog.
#[derive(Debug)]
pub(crate) struct Catalogs {
    latest: Mutex<Option<Arc<Catalog>>>,
    created: Instant,
    /// When it was last read in vain, in milliseconds since `created`; 0 for never.
    in_vain_ms: AtomicU64,
}

impl Catalogs {
    pub(crate) fn new() -> Self {
        Self {
            latest: Mutex::default(),
            created: Instant::now(),
            in_vain_ms: AtomicU64::new(0),
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
        let catalog = read.await?;
        *latest = Some(catalog.clone());
        Ok(catalog)
    }

    /// Makes the next shard that asks read the catalog anew, unless that was in vain a moment ago.
    pub(crate) async fn forget(&self) {
        let in_vain_ms = self.in_vain_ms.load(Ordering::Relaxed);
        let since_ms = u128::from(self.elapsed_ms().saturating_sub(in_vain_ms));
        if in_vain_ms == 0 || since_ms >= PAUSE.as_millis() {
            self.discard().await;
        }
    }

    /// The catalog was read again, and the entry for which that was done was wrong all the same.
    pub(crate) fn was_in_vain(&self) {
        self.in_vain_ms
            .store(self.elapsed_ms().max(1), Ordering::Relaxed);
    }

    /// Makes the next shard that asks read the catalog anew: the database has contradicted it.
    pub(crate) async fn discard(&self) {
        *self.latest.lock().await = None;
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
