//! The attempts that a worker has in hand: what the fetcher, the heart and the shutdown know of them.
//!
//! ```text
//! take ─► enter ─► begin ─► leave ─► the finisher
//!            ▲        ▲
//!            └────────┴── cut: someone cancels it, its fence is lost, the shutdown
//! ```
//!
//! An attempt is here from its taking until its function has ended. If the process dies, the store
//! knows what was in its hands.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_store::task::{Fence, TaskId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Why an attempt is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Someone wants the task to be cancelled.
    Cancelled,
    /// Another attempt holds the task.
    Lost,
    /// The shutdown can wait no longer.
    Shutdown,
}

/// One attempt, from outside.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) queue: usize,
    pub(crate) fence: Fence,
    /// Cancelled when it is cut.
    pub(crate) token: CancellationToken,
    why: AtomicU8,
}

impl Held {
    /// Ends it; the first reason counts.
    pub(crate) fn cut(&self, why: Cut) {
        let why = match why {
            Cut::Cancelled => 1,
            Cut::Lost => 2,
            Cut::Shutdown => 3,
        };
        let _ = self
            .why
            .compare_exchange(0, why, Ordering::AcqRel, Ordering::Acquire);
        self.token.cancel();
    }

    /// Why it was cut, if it was.
    pub(crate) fn why(&self) -> Option<Cut> {
        match self.why.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Cut::Cancelled),
            2 => Some(Cut::Lost),
            _ => Some(Cut::Shutdown),
        }
    }
}

/// All of a worker's attempts.
#[derive(Debug, Default)]
pub(crate) struct InHand {
    held: Mutex<HashMap<TaskId, Arc<Held>>>,
    left: Notify,
}

impl InHand {
    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<Held>>> {
        // Nothing panics under the lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes attempts that were taken, in their order.
    pub(crate) fn enter(
        &self,
        queue: usize,
        attempts: impl Iterator<Item = (TaskId, Fence)>,
    ) -> Vec<Arc<Held>> {
        let mut held = self.lock();
        let enter = |(id, fence)| {
            let one = Arc::new(Held {
                queue,
                fence,
                token: CancellationToken::new(),
                why: AtomicU8::new(0),
            });
            held.insert(id, Arc::clone(&one));
            one
        };
        attempts.map(enter).collect()
    }

    /// Notes that an attempt has ended.
    pub(crate) fn leave(&self, id: TaskId, fence: Fence) {
        let mut held = self.lock();
        // A later attempt at the same task may be in hand already, after this one was lost.
        if held.get(&id).is_some_and(|it| it.fence == fence) {
            held.remove(&id);
        }
        drop(held);
        self.left.notify_one();
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Waits until an attempt has ended since the last call.
    pub(crate) async fn until_one_leaves(&self) {
        self.left.notified().await;
    }

    /// Cuts the attempts at these tasks of a queue.
    pub(crate) fn cut(&self, queue: usize, ids: &[TaskId], why: Cut) {
        let held = self.lock();
        for one in ids.iter().filter_map(|id| held.get(id)) {
            if one.queue == queue {
                one.cut(why);
            }
        }
    }

    /// Cuts all of them.
    pub(crate) fn cut_all(&self, why: Cut) {
        for one in self.lock().values() {
            one.cut(why);
        }
    }

    /// The attempts of a queue.
    pub(crate) fn of_queue(&self, queue: usize) -> Vec<(TaskId, Fence)> {
        let held = self.lock();
        let of_queue = held.iter().filter(|(_, one)| one.queue == queue);
        of_queue.map(|(id, one)| (*id, one.fence)).collect()
    }
}
