//! Fetches messages of one queue into the worker's hands, as many as there is room for.
//!
//! A message that can't be decoded becomes a dead letter with its reason, and those that came with it
//! go on. If the process dies here, what was fetched is in its hands on the server.

use std::sync::Arc;

use tidegate_store::dramatiq::{End, Fetched, Lane, MESSAGES_MAX, QueueName, Settlement};
use tokio::sync::OwnedSemaphorePermit;

use super::arrivals::Arrivals;
use super::backlog::Waiting;
use super::{Pause, Shared};
use crate::message::Message;
use crate::outcome::{InHand, without_actor};

/// Fetches until the worker is to stop.
pub(super) async fn run(shared: Arc<Shared>, queue: QueueName) {
    let arrivals = Arrivals::begin(&shared, &queue, Lane::Ready);
    let mut pause = Pause::default();
    while let Some(room) = shared.stop.run_until_cancelled(take_room(&shared)).await {
        // Not given up half-way: what is fetched must come into the backlog.
        let fetched = shared
            .broker
            .fetch(&queue, Lane::Ready, room.num_permits())
            .await;
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                drop(room);
                let paused = pause.after(&error);
                shared.stop.run_until_cancelled(paused).await;
                continue;
            }
        };
        pause.is_over();
        if fetched.is_empty() {
            drop(room);
            let news = arrivals.after_empty();
            shared.stop.run_until_cancelled(news).await;
            continue;
        }
        let mut room = room;
        for fetched in fetched {
            // As many were fetched at most as there were permits.
            let Some(permit) = room.split(1) else { break };
            sort(&shared, &queue, fetched, permit).await;
        }
    }
}

/// Waits for room for one message, and takes as much as there is.
async fn take_room(shared: &Shared) -> OwnedSemaphorePermit {
    let room = Arc::clone(&shared.room);
    let Ok(mut permit) = room.acquire_owned().await else {
        // It is never closed.
        return std::future::pending().await;
    };
    let more = shared.room.available_permits().min(MESSAGES_MAX - 1);
    let more = u32::try_from(more).unwrap_or(0);
    if let Ok(more) = Arc::clone(&shared.room).try_acquire_many_owned(more) {
        permit.merge(more);
    }
    permit
}

/// Puts one message into the backlog, or gives it up.
async fn sort(shared: &Shared, queue: &QueueName, fetched: Fetched, room: OwnedSemaphorePermit) {
    let Fetched { id, body } = fetched;
    let message = match Message::decode(&body) {
        Ok(message) => message,
        Err(error) => return bury(shared, queue, Lane::Ready, id, &error.to_string()).await,
    };
    let in_hand = InHand {
        queue: queue.clone(),
        id,
        message,
    };
    let Some(actor) = shared.actors.get(&in_hand.message.actor_name) else {
        let message = &in_hand.message;
        tracing::error!(message_id = message.message_id, actor = message.actor_name, %queue,
            "a dead letter: no actor of this worker has this name");
        return shared.settle(without_actor(&in_hand)).await;
    };
    shared.backlog.push(Waiting {
        actor: actor.clone(),
        in_hand,
        _room: room,
    });
}

/// Makes a dead letter of what can't be decoded.
pub(super) async fn bury(
    shared: &Shared,
    queue: &QueueName,
    lane: Lane,
    id: bytes::Bytes,
    problem: &str,
) {
    tracing::error!(id = %String::from_utf8_lossy(&id), %queue, problem,
        "a dead letter: the message can't be decoded");
    let end = End::Dead {
        reason: format!("the message can't be decoded: {problem}"),
        body: None,
    };
    shared
        .settle(Settlement::new(queue.clone(), lane, id, end))
        .await;
}
