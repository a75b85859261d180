//! Files the delayed messages of one queue by their due time, and moves them when it has come.
//!
//! Not more than one batch is in memory at a time, however many wait. If the process dies here, what
//! was filed is found in the index by any other worker, and what was fetched and not filed goes
//! back to the delayed queue when the last beat is too old.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_store::Result;
use tidegate_store::dramatiq::{Due, Lane, MESSAGES_MAX, Outgoing, QueueName};
use tokio::time::sleep;
use uuid::Uuid;

use super::arrivals::Arrivals;
use super::intake::bury;
use super::{Pause, Shared};
use crate::message::Message;

/// How many messages are moved at once.
const PROMOTED_MAX: usize = 100;
/// The longest pause between two looks at the index: another worker may file something that is due
/// earlier.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Files and moves until the worker is to stop.
pub(super) async fn run(shared: Arc<Shared>, queue: QueueName) {
    let arrivals = Arrivals::begin(&shared, &queue, Lane::Delayed);
    let mut pause = Pause::default();
    while !shared.stop.is_cancelled() {
        let rest = match turn(&shared, &queue).await {
            Ok(rest) => rest,
            Err(error) => {
                let paused = pause.after(&error);
                shared.stop.run_until_cancelled(paused).await;
                continue;
            }
        };
        pause.is_over();
        let Some(rest) = rest else { continue };
        let news = async {
            tokio::select! {
                () = arrivals.after_empty() => {}
                () = sleep(rest) => {}
            }
        };
        shared.stop.run_until_cancelled(news).await;
    }
}

/// One batch of each; returns how long there is nothing to do, if there is not more at once.
async fn turn(shared: &Shared, queue: &QueueName) -> Result<Option<Duration>> {
    let filed = file(shared, queue).await?;
    let due = shared.broker.due(queue, PROMOTED_MAX).await?;
    let promoted = due.messages.len();
    for message in due.messages {
        promote(shared, queue, &message).await?;
    }
    let is_idle = filed == 0 && promoted == 0;
    Ok(is_idle.then(|| due.next_in.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN)))
}

/// Fetches a batch and files it; returns how many there were.
async fn file(shared: &Shared, queue: &QueueName) -> Result<usize> {
    let fetched = shared
        .broker
        .fetch(queue, Lane::Delayed, MESSAGES_MAX)
        .await?;
    let count = fetched.len();
    let mut due_ms: Vec<(Bytes, f64)> = Vec::with_capacity(count);
    for message in fetched {
        match Message::decode(&message.body) {
            Ok(decoded) => due_ms.push((message.id, decoded.due_ms())),
            Err(error) => {
                let problem = error.to_string();
                bury(shared, queue, Lane::Delayed, message.id, &problem).await;
            }
        }
    }
    // What was fetched is in this worker's hands and nowhere else, so it must be filed.
    let mut pause = Pause::default();
    loop {
        match shared.broker.file(queue, &due_ms).await {
            Err(error) if error.is_transient() && !shared.abort.is_cancelled() => {
                pause.after(&error).await;
            }
            filed => return filed.map(|_| count),
        }
    }
}

async fn promote(shared: &Shared, queue: &QueueName, due: &Due) -> Result<()> {
    let to = due.body.as_ref().map(|body| {
        // One that can't be decoded, or names no queue, becomes a dead letter on its way from there.
        let decoded = Message::decode(body).ok();
        let (id, body) = match decoded {
            Some(message) => {
                let (id, message) = message.ready();
                (id, message.encode())
            }
            None => (Uuid::new_v4().to_string(), body.clone()),
        };
        Outgoing {
            queue: queue.clone(),
            lane: Lane::Ready,
            id,
            body,
        }
    });
    shared.broker.promote(due, queue, to.as_ref()).await?;
    Ok(())
}
