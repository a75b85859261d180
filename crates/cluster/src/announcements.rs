//! Announcements: who comes and goes is heard at once, not only at the next look at the store.
//!
//! ```text
//! beat, leave ─► control stream ─► Arrivals ─► this ─► Handle::hurry ─► a look at the store
//! ```
//!
//! An announcement says only that there is something to see: what follows from it is decided by
//! looking. So a lost one costs time, up to the ordinary pause between two looks, and one too
//! many costs a look. Nothing here outlives the process.

use std::time::Duration;

use tidegate_store::{EntryId, Partition, ReadLimit, Result, Store};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::arrivals::Arrivals;
use crate::ownership::Handle;

/// How long to wait for an announcement before looking for one; a safety net, not a poll.
const QUIET_MAX: Duration = Duration::from_secs(30);
/// How long to leave a store alone that can't be reached.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How many announcements are read at once: they need not be counted, only passed.
const READ: ReadLimit = ReadLimit {
    entries: 100,
    bytes: 64 << 10,
};

impl Handle {
    /// Hurries the ownership at each announcement of its group, until `end`. Returns at once
    /// where the stream has no [control stream](tidegate_store::StreamName::control).
    ///
    /// It waits through `arrivals`, which somebody has to [run](Arrivals::run).
    pub async fn heed_announcements(
        &self,
        store: &dyn Store,
        arrivals: &Arrivals,
        end: CancellationToken,
    ) {
        let Some(control) = self.subject.stream.control(&self.subject.group) else {
            return;
        };
        let control = control.partition(0);
        let heed = async {
            let mut heard = self.last_announcement(store, &control).await;
            // Whoever came before this began to listen is seen by a look.
            self.hurry();
            loop {
                arrivals.sleep(&control, heard, QUIET_MAX).await;
                match store.read_after(&control, heard, READ).await {
                    Ok(news) => {
                        if let Some(last) = news.last() {
                            heard = last.id;
                            self.hurry();
                        }
                    }
                    Err(error) => unheard(&error).await,
                }
            }
        };
        tokio::select! {
            () = end.cancelled() => {}
            () = heed => {}
        }
    }

    async fn last_announcement(&self, store: &dyn Store, control: &Partition) -> EntryId {
        loop {
            match last_id(store, self, control).await {
                Ok(id) => return id,
                Err(error) => unheard(&error).await,
            }
        }
    }
}

async fn last_id(store: &dyn Store, handle: &Handle, control: &Partition) -> Result<EntryId> {
    let lag = store
        .lag(&handle.subject.group, std::slice::from_ref(control))
        .await?;
    Ok(lag.first().copied().unwrap_or_default().last_id)
}

/// The ownership meets the same error and speaks of it.
async fn unheard(error: &tidegate_store::Error) {
    debug!(%error, "announcements can't be heard");
    sleep(RETRY_AFTER).await;
}
