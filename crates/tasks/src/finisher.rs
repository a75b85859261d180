//! Tells the store what came of attempts, many in one call.
//!
//! ```text
//! attempts ─► a bounded queue ─► batch ─► TaskStore::finish ─► counted
//! ```
//!
//! There is one for each queue. While a call is under way the next batch gathers, so that batches grow
//! with the load and a single task waits for nothing. It asks again until the store answers: an end
//! is never given up while the process lives. If it dies, the attempts that were not told are lost
//! ones, which the store hands to others when the worker's life has run out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_store::task::{Finished, QueueName, State, TaskStore};
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::counts::Counts;

/// The most ends that wait to be told; then attempts wait with theirs.
pub(crate) const FINISH_PENDING_MAX: usize = 4_096;
/// The most ends of one call.
const FINISH_BATCH_MAX: usize = 512;
/// The pauses before the store is asked again.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The finisher of a queue.
pub(crate) struct Finisher {
    pub(crate) store: Arc<dyn TaskStore>,
    pub(crate) queue: QueueName,
    pub(crate) counts: Arc<Counts>,
    pub(crate) ends: mpsc::Receiver<Finished>,
}

impl Finisher {
    /// Works until every sender is gone and everything is told.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(FINISH_BATCH_MAX);
        while self.ends.recv_many(&mut batch, FINISH_BATCH_MAX).await > 0 {
            self.tell(std::mem::take(&mut batch)).await;
        }
    }

    async fn tell(&self, mut batch: Vec<Finished>) {
        let mut pause = PAUSE_MIN;
        let mut is_repeated = false;
        loop {
            let answers = self.store.finish(&self.queue, batch.clone()).await;
            let mut open = Vec::new();
            for (finished, answer) in batch.into_iter().zip(answers) {
                match answer {
                    Ok(state) => self.count(state),
                    Err(error) if error.is_transient() => open.push((finished, error)),
                    Err(tidegate_store::Error::FenceLost { task, fence }) => {
                        // A repetition after an answer that was lost finds its own end.
                        if !is_repeated {
                            self.counts.fences_lost.fetch_add(1, Ordering::Relaxed);
                            warn!(%task, %fence, queue = %self.queue, "the attempt's end came too \
                                  late: the task was given to another one");
                        }
                    }
                    Err(error) => {
                        let task = finished.id;
                        error!(%task, queue = %self.queue, %error, "the end of an attempt was refused");
                    }
                }
            }
            let Some((_, error)) = open.first() else {
                return;
            };
            if !is_repeated {
                warn!(queue = %self.queue, %error, ends = open.len(), "the store is away; the ends \
                      of attempts wait");
            }
            is_repeated = true;
            batch = open.into_iter().map(|(finished, _)| finished).collect();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn count(&self, state: State) {
        let count = match state {
            State::Done => &self.counts.done,
            State::Scheduled => &self.counts.retried,
            State::Dead | State::Discarded => &self.counts.dead,
            State::Cancelled => &self.counts.cancelled,
            State::Unknown => &self.counts.unknown,
            State::Ready | State::Blocked | State::Running => &self.counts.returned,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
