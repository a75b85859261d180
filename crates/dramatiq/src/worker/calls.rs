//! Calls actors, at most so many at once, and settles what comes of each call.
//!
//! A call is a task of its own: a panic in it is a failure of its message and of nothing else. When
//! its time is over it is dropped. If the process dies here, its message is in the worker's hands,
//! and comes back to its queue.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use tidegate_store::dramatiq::{End, Lane, Settlement};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::backlog::Waiting;
use super::{Shared, now_ms};
use crate::actor::Actor;
use crate::failure::Failure;
use crate::json::Json;
use crate::message::Message;
use crate::options::{MAX_AGE, TIME_LIMIT};
use crate::outcome::{failed_with, refused, returned};

/// How a call ended.
enum Ended {
    Returned(Json),
    Failed(Failure),
    /// It was stopped with the worker.
    Stopped,
}

/// Calls until the worker is to stop and the last call has ended.
pub(super) async fn run(shared: Arc<Shared>) {
    let slots = Arc::new(Semaphore::new(shared.options.concurrency.max(1)));
    let calls = TaskTracker::new();
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, shared.backlog.next().await)
        };
        let Some((slot, waiting)) = shared.stop.run_until_cancelled(next).await else {
            break;
        };
        let shared = Arc::clone(&shared);
        calls.spawn(async move {
            perform(&shared, waiting).await;
            drop(slot);
        });
    }
    give_back_all(&shared).await;
    calls.close();
    calls.wait().await;
}

/// Gives back what has not begun.
pub(super) async fn give_back_all(shared: &Shared) {
    while let Some(waiting) = shared.backlog.try_next() {
        give_back(shared, &waiting).await;
    }
}

async fn give_back(shared: &Shared, waiting: &Waiting) {
    let in_hand = &waiting.in_hand;
    let (queue, id) = (in_hand.queue.clone(), in_hand.id.clone());
    shared
        .settle(Settlement::new(queue, Lane::Ready, id, End::Back))
        .await;
}

async fn perform(shared: &Shared, waiting: Waiting) {
    let Waiting { in_hand, actor, .. } = &waiting;
    let message = &in_hand.message;
    if let Some(problem) = too_old(message, actor) {
        tracing::warn!(message_id = message.message_id, problem, "a dead letter");
        let failure = Failure::new("SkipMessage", problem);
        let settlement = refused(in_hand, &actor.options, &failure, shared.circumstances());
        return shared.settle(settlement).await;
    }
    let settlement = match call(shared, actor, message).await {
        Ended::Returned(value) => returned(in_hand, &actor.options, &value, shared.circumstances()),
        Ended::Failed(failure) => {
            tracing::warn!(
                message_id = message.message_id,
                actor = message.actor_name,
                kind = failure.kind,
                "a call has failed"
            );
            failed_with(in_hand, &actor.options, &failure, shared.circumstances())
        }
        Ended::Stopped => return give_back(shared, &waiting).await,
    };
    shared.settle(settlement).await;
}

/// Why a message is too old to begin, if it is.
fn too_old(message: &Message, actor: &Actor) -> Option<String> {
    let option = message.options.get(MAX_AGE).filter(|it| it.is_truthy());
    let limit_ms = match option {
        Some(option) => option.as_number()?,
        None => actor.options.max_age?.as_secs_f64() * 1_000.0,
    };
    let age_ms = message.age_ms(now_ms())?;
    let is_too_old = age_ms as f64 >= limit_ms;
    is_too_old.then(|| "Message age limit exceeded".to_owned())
}

/// How long a call may take; none for ever.
fn time_limit(message: &Message, actor: &Actor) -> Option<Duration> {
    let option = message.options.get(TIME_LIMIT).filter(|it| it.is_truthy());
    match option.and_then(Json::as_number) {
        // Infinity, and whatever else is no duration, is no limit.
        Some(limit_ms) => Duration::try_from_secs_f64(limit_ms / 1_000.0).ok(),
        None => actor.options.time_limit,
    }
}

async fn call(shared: &Shared, actor: &Actor, message: &Message) -> Ended {
    let limit = time_limit(message, actor);
    let (actor, message) = (actor.clone(), message.clone());
    let mut running = tokio::spawn(async move { actor.call(message).await });
    let ended = async {
        match limit {
            Some(limit) => timeout(limit, &mut running).await.ok(),
            None => Some((&mut running).await),
        }
    };
    let Some(ended) = shared.abort.run_until_cancelled(ended).await else {
        running.abort();
        return Ended::Stopped;
    };
    match ended {
        Some(Ok(Ok(value))) => Ended::Returned(value),
        Some(Ok(Err(failure))) => Ended::Failed(failure),
        Some(Err(error)) => match error.try_into_panic() {
            Ok(panic) => Ended::Failed(Failure::new("Panic", text_of(&*panic))),
            Err(_cancelled) => Ended::Stopped,
        },
        None => {
            running.abort();
            let limit = limit.unwrap_or_default();
            let text = format!("the call took longer than {limit:?}");
            Ended::Failed(Failure::new("TimeLimitExceeded", text))
        }
    }
}

/// What a panic said.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|it| (*it).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a text".into())
}
