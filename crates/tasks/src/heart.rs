//! The signs of life of a worker, on a timer of their own; what it hears in return, and what it finds
//! out about others that are dead.
//!
//! ```text
//! every quarter of the life: beat ─► cancelled? ─► cut
//! every half of it:       recover ─► tasks of dead workers ─► callbacks of those that died of it
//! ```
//!
//! A worker is dead when it gave no sign for its life's time, and only then: how long its tasks take
//! doesn't matter. One that was stopped meanwhile asks, when it wakes up, which of its attempts are
//! still its own, and cuts the others. If the process dies, its signs end.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tidegate_store::WorkerId;
use tidegate_store::task::{QueueName, State, TaskId};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::aftermath;
use crate::client::TaskClient;
use crate::in_hand::{Cut, InHand};

/// The heart of a worker in one of its queues.
pub(crate) struct Heart {
    pub(crate) client: TaskClient,
    pub(crate) queue: QueueName,
    /// The queue's place in the worker.
    pub(crate) place: usize,
    pub(crate) worker: WorkerId,
    pub(crate) life: Duration,
    pub(crate) in_hand: Arc<InHand>,
    pub(crate) lost_max: u32,
}

impl Heart {
    /// Beats until `stop`, which comes when nothing is in hand any more.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let beating = self.beat_on(&stop);
        let recovering = self.recover_on(&stop);
        tokio::join!(beating, recovering);
    }

    /// The first sign of life, before anything is taken.
    pub(crate) async fn begin(&self) -> tidegate_store::Result<()> {
        let store = self.client.store();
        store.beat(&self.queue, self.worker, self.life).await?;
        Ok(())
    }

    async fn beat_on(&self, stop: &CancellationToken) {
        let mut last = Instant::now();
        let mut is_away = false;
        loop {
            tokio::select! {
                () = sleep(self.life / 4) => {}
                () = stop.cancelled() => return,
            }
            let asked = Instant::now();
            let store = self.client.store();
            match store.beat(&self.queue, self.worker, self.life).await {
                Ok(beat) => {
                    is_away = false;
                    self.in_hand
                        .cut(self.place, &beat.cancelled, Cut::Cancelled);
                    if asked.duration_since(last) >= self.life {
                        self.look_what_is_left().await;
                    }
                    last = asked;
                }
                Err(error) => {
                    if !is_away {
                        warn!(queue = %self.queue, %error, "no sign of life could be given");
                    }
                    is_away = true;
                }
            }
        }
    }

    /// After a silence that others may have taken for death: which attempts are still ours.
    async fn look_what_is_left(&self) {
        let store = self.client.store();
        let mut lost = Vec::new();
        for (id, fence) in self.in_hand.of_queue(self.place) {
            let Ok(view) = store.show(&self.queue, id).await else {
                continue;
            };
            let holder = view.and_then(|view| view.holder);
            if holder != Some((self.worker, fence)) {
                lost.push(id);
            }
        }
        if !lost.is_empty() {
            warn!(
                queue = %self.queue, attempts = lost.len(),
                "this worker was taken for dead; what was given to others is cut"
            );
            self.in_hand.cut(self.place, &lost, Cut::Lost);
        }
    }

    async fn recover_on(&self, stop: &CancellationToken) {
        loop {
            // Not all workers at the same moment.
            let chance = rand::rng().random_range(0.5..1.0);
            tokio::select! {
                () = sleep((self.life / 2).mul_f64(chance)) => {}
                () = stop.cancelled() => return,
            }
            let store = self.client.store();
            // What can't be asked now is asked the next time; the beat says that the store is away.
            if let Ok(recovered) = store.recover(&self.queue, self.lost_max).await {
                for (id, state) in recovered {
                    self.tell_of(id, state).await;
                }
            }
        }
    }

    async fn tell_of(&self, id: TaskId, state: State) {
        info!(task = %id, queue = %self.queue, state = state.as_str(), "its worker has died");
        if state == State::Dead {
            aftermath::of_lost(&self.client, &self.queue, id).await;
        }
    }
}
