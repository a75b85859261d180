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
    sleepers: Mutex<Sleepers>,
    changed: Notify,
}

/// Several may sleep on one partition: the owners of different groups.
#[derive(Debug, Default)]
struct Sleepers {
    by_number: HashMap<u64, Sleeper>,
    numbered: u64,
}

#[derive(Debug)]
struct Sleeper {
    partition: Partition,
    after: EntryId,
    wake: oneshot::Sender<()>,
}

/// Takes a sleeper out when it has been woken, has slept long enough, or has been dropped.
struct Bed<'a> {
    arrivals: &'a Arrivals,
    number: u64,
}

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        self.arrivals.lock().by_number.remove(&self.number);
    }
}

impl Arrivals {
    /// Sleeps until `partition` may have an entry after `after`, for `timeout` at most.
    pub async fn sleep(&self, partition: &Partition, after: EntryId, timeout: Duration) {
        let (wake, woken) = oneshot::channel();
        let sleeper = Sleeper {
            partition: partition.clone(),
            after,
            wake,
        };
        let _bed = self.lie_down(sleeper);
        self.changed.notify_one();
        // It doesn't matter why it has ended.
        let _ = tokio::time::timeout(timeout, woken).await;
    }

    fn lie_down(&self, sleeper: Sleeper) -> Bed<'_> {
        let mut sleepers = self.lock();
        sleepers.numbered = sleepers.numbered.wrapping_add(1);
        let number = sleepers.numbered;
        sleepers.by_number.insert(number, sleeper);
        Bed {
            arrivals: self,
            number,
        }
    }

    /// Serves the sleepers until `shutdown`.
    pub async fn run(&self, store: Arc<dyn Store>, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let (numbers, positions): (Vec<u64>, Vec<_>) = self
                .lock()
                .by_number
                .iter()
                .map(|(number, s)| (*number, (s.partition.clone(), s.after)))
                .unzip();
            tokio::select! {
                () = shutdown.cancelled() => {
                    // The call under way ends by itself; dropping it would leave its connection
                    // blocked for whoever waits next.
                    self.changed.notify_one();
                    return;
                }
                arrived = store.wait_for_entries(&positions, WAIT_MAX, &self.changed) => {
                    match arrived {
                        Ok(arrived) => self.wake(&numbers, &arrived),
                        Err(_) => {
                            // The owners meet the same error and speak of it.
                            self.wake(&numbers, &Vec::from_iter(0..numbers.len()));
                            tokio::time::sleep(RETRY_AFTER).await;
                        }
                    }
                }
            }
        }
    }

    fn wake(&self, numbers: &[u64], arrived: &[usize]) {
        let mut sleepers = self.lock();
        for number in arrived.iter().filter_map(|index| numbers.get(*index)) {
            if let Some(sleeper) = sleepers.by_number.remove(number) {
                // A sleeper that has just timed out doesn't need to be woken.
                let _ = sleeper.wake.send(());
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sleepers> {
        // A panic elsewhere leaves the map whole: each change of it is one call.
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
