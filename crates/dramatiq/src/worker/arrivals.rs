//! Tells when there may be something in a list, without asking again and again.
//!
//! A call that waits on the server can't be given up without closing its connection, so it has a
//! task to itself. It waits for the reader to find the list empty before it waits again.

use std::sync::Arc;

use tidegate_store::dramatiq::{Lane, QueueName};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Pause, Shared};

/// Both sides of the waiting for one list; the task ends with it.
pub(super) struct Arrivals {
    signals: Arc<Signals>,
    ended: CancellationToken,
}

#[derive(Default)]
struct Signals {
    /// There may be something.
    news: Notify,
    /// The reader has found nothing.
    drained: Notify,
}

impl Arrivals {
    /// Begins to wait for what comes into a list.
    pub(super) fn begin(shared: &Shared, queue: &QueueName, lane: Lane) -> Self {
        let signals = Arc::new(Signals::default());
        let ended = CancellationToken::new();
        let mut waiter = shared.broker.waiter(queue, lane);
        let theirs = Arc::clone(&signals);
        tokio::spawn(ended.clone().run_until_cancelled_owned(async move {
            let mut pause = Pause::default();
            loop {
                theirs.drained.notified().await;
                loop {
                    match waiter.wait().await {
                        Ok(true) => break,
                        Ok(false) => {}
                        Err(error) => pause.after(&error).await,
                    }
                }
                pause.is_over();
                theirs.news.notify_one();
            }
        }));
        Self { signals, ended }
    }

    /// The list was empty: waits until there may be something.
    pub(super) async fn after_empty(&self) {
        self.signals.drained.notify_one();
        self.signals.news.notified().await;
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}
