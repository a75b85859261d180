//! Arrivals: lets idle owners sleep until their stream has something new.
//!
//! ```text
//! idle owner ── position ──► Arrivals ── all positions ──► store.wait_for_entries
//!     ◄───────── wake ──────────┘
//! ```
//!
//! One call to the store waits for all idle owners of the process, so that a thousand idle ones
//! cost one connection. An owner that falls asleep while the call is under way interrupts it. A
//! wake-up is only a hint: the owner reads for itself, so a lost or a false one costs time and
//! nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_store::{EntryId, Partition, Store};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// How long one call waits at most; a safety net, not a poll.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long to leave a store alone that can't be reached.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// The idle owners of this process.
#[derive(Debug, Default)]
pub struct Arrivals {
    sleepers: Mutex<HashMap<Partition, Sleeper>>,
    changed: Notify,
}

#[derive(Debug)]
struct Sleeper {
    after: EntryId,
    wake: oneshot::Sender<()>,
}

impl Arrivals {
    /// Sleeps until `partition` may have an entry after `after`, for `timeout` at most.
    pub async fn sleep(&self, partition: &Partition, after: EntryId, timeout: Duration) {
        let (wake, woken) = oneshot::channel();
        self.lock()
            .insert(partition.clone(), Sleeper { after, wake });
        self.changed.notify_one();
        if tokio::time::timeout(timeout, woken).await.is_err() {
            self.lock().remove(partition);
        }
    }

    /// Serves the sleepers until `shutdown`.
    pub async fn run(&self, store: Arc<dyn Store>, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let positions: Vec<_> = self
                .lock()
                .iter()
                .map(|(partition, s)| (partition.clone(), s.after))
                .collect();
            tokio::select! {
                () = shutdown.cancelled() => {
                    // The call under way ends by itself; dropping it would leave its connection
                    // blocked for whoever waits next.
                    self.changed.notify_one();
                    return;
                }
                arrived = store.wait_for_entries(&positions, WAIT_MAX, &self.changed) => {
                    match arrived {
                        Ok(arrived) => self.wake(&positions, &arrived),
                        Err(_) => {
                            // The owners meet the same error and speak of it.
                            self.wake(&positions, &Vec::from_iter(0..positions.len()));
                            tokio::time::sleep(RETRY_AFTER).await;
                        }
                    }
                }
            }
        }
    }

    fn wake(&self, positions: &[(Partition, EntryId)], arrived: &[usize]) {
        let mut sleepers = self.lock();
        for (partition, _) in arrived.iter().filter_map(|index| positions.get(*index)) {
            if let Some(sleeper) = sleepers.remove(partition) {
                // A sleeper that has just timed out doesn't need to be woken.
                let _ = sleeper.wake.send(());
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Partition, Sleeper>> {
        // A panic elsewhere leaves the map whole: each change of it is one call.
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
