//! From the end of a call to all that follows from it: what Dramatiq's middleware does. Pure.
//!
//! ```text
//! value ───► result, on_success, the next of a pipeline, the step of a group ─┐
//! failure ─► on_failure, retry │ dead letter, on_retry_exhausted, result ─────┴─► one settlement
//! ```
//!
//! Dramatiq takes one step after the other, and a worker that dies in between takes some of them
//! again. Here they are one step of the store.

use std::time::Duration;

use bytes::Bytes;
use tidegate_store::dramatiq::{
    End, GroupStep, Lane, Outgoing, QueueName, Settlement, StoredResult,
};

use crate::actor::{ActorOptions, Actors};
use crate::failure::Failure;
use crate::json::Json;
use crate::message::Message;
use crate::options::{
    DELAY, GROUP_COMPLETION_CALLBACKS, GROUP_COMPLETION_UUID, ON_FAILURE, ON_RETRY_EXHAUSTED,
    ON_SUCCESS, PIPE_IGNORE, PIPE_TARGET, RESULT_TTL, STORE_RESULTS,
};
use crate::results::{ResultKeys, failed};
use crate::retry::{Verdict, decide};

/// What decides beside the message and its actor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances<'a> {
    pub(crate) actors: &'a Actors,
    pub(crate) result_keys: &'a ResultKeys,
    /// How long a group's barrier is kept after each step.
    pub(crate) barrier_lifetime: Duration,
    /// The time, in milliseconds since 1970.
    pub(crate) now_ms: i64,
    /// A random number from 0 to 1.
    pub(crate) chance: f64,
}

/// A message in a worker's hands.
#[derive(Clone, Debug)]
pub(crate) struct InHand {
    pub(crate) queue: QueueName,
    pub(crate) id: Bytes,
    pub(crate) message: Message,
}

impl InHand {
    fn settlement(&self, end: End) -> Settlement {
        Settlement::new(self.queue.clone(), Lane::Ready, self.id.clone(), end)
    }
}

/// What follows from a value that an actor returned.
pub(crate) fn returned(
    in_hand: &InHand,
    actor: &ActorOptions,
    value: &Json,
    around: Circumstances<'_>,
) -> Settlement {
    let message = &in_hand.message;
    let mut settlement = in_hand.settlement(End::Done);
    settlement.result = stored(message, actor, value, around);
    if let Some(target) = option_or(message, ON_SUCCESS, actor.on_success.as_ref()) {
        let args = Json::list([&message.to_json(), value]);
        settlement.follow.push(call(in_hand, &target, args, around));
    }
    if let Some(next) = message.options.get(PIPE_TARGET).filter(|it| !it.is_null()) {
        match pipe(next, actor, value, around.now_ms) {
            Ok(next) => settlement.follow.push(next),
            Err(problem) => tracing::error!(
                message = message.message_id,
                problem,
                "the next of a pipeline can't be enqueued"
            ),
        }
    }
    settlement.group = group(message, around);
    settlement
}

/// What follows from a call that failed.
pub(crate) fn failed_with(
    in_hand: &InHand,
    actor: &ActorOptions,
    failure: &Failure,
    around: Circumstances<'_>,
) -> Settlement {
    let Circumstances { now_ms, chance, .. } = around;
    let mut message = in_hand.message.clone();
    let verdict = decide(&mut message, actor, failure, now_ms, chance);
    let mut settlement = match verdict {
        Verdict::Again { .. } => in_hand.settlement(End::Done),
        Verdict::NotAgain | Verdict::Exhausted { .. } => {
            dead(in_hand, &message, actor, failure, around)
        }
    };
    if let Some(target) = option_or(&message, ON_FAILURE, actor.on_failure.as_ref()) {
        let told = Json::object([
            ("type", &Json::text(&failure.kind)),
            ("message", &Json::text(&failure.message)),
        ]);
        let args = Json::list([&message.to_json(), &told]);
        settlement.follow.push(call(in_hand, &target, args, around));
    }
    match verdict {
        Verdict::Again { delay_ms } => {
            let (id, message) = message.delayed(now_ms.saturating_add(delay_ms));
            settlement.follow.push(Outgoing {
                queue: in_hand.queue.clone(),
                lane: Lane::Delayed,
                id,
                body: message.encode(),
            });
        }
        Verdict::Exhausted {
            retries,
            max_retries,
        } => {
            let target = &actor.on_retry_exhausted;
            if let Some(target) = option_or(&message, ON_RETRY_EXHAUSTED, target.as_ref()) {
                let told = Json::object([
                    ("retries", &Json::integer(retries)),
                    ("max_retries", &Json::integer(max_retries)),
                ]);
                let args = Json::list([&message.to_json(), &told]);
                settlement.follow.push(call(in_hand, &target, args, around));
            }
        }
        Verdict::NotAgain => {}
    }
    settlement
}

/// A message that is not worth a call, such as one that is too old.
pub(crate) fn refused(
    in_hand: &InHand,
    actor: &ActorOptions,
    failure: &Failure,
    around: Circumstances<'_>,
) -> Settlement {
    dead(in_hand, &in_hand.message, actor, failure, around)
}

/// A message whose actor does not run here; there is nobody who could say whether a result is kept.
pub(crate) fn without_actor(in_hand: &InHand) -> Settlement {
    let actor = &in_hand.message.actor_name;
    in_hand.settlement(End::Dead {
        reason: format!("no actor of this worker is called {actor:?}"),
        body: None,
    })
}

fn dead(
    in_hand: &InHand,
    message: &Message,
    actor: &ActorOptions,
    failure: &Failure,
    around: Circumstances<'_>,
) -> Settlement {
    let mut settlement = in_hand.settlement(End::Dead {
        reason: failure.to_string(),
        body: Some(message.encode()),
    });
    settlement.result = stored(message, actor, &failed(failure), around);
    settlement
}

fn stored(
    message: &Message,
    actor: &ActorOptions,
    value: &Json,
    around: Circumstances<'_>,
) -> Option<StoredResult> {
    let option = message.options.get(STORE_RESULTS);
    option
        .map_or(actor.store_results, Json::is_truthy)
        .then_some(())?;
    let lifetime_ms = message.options.integer(RESULT_TTL);
    let lifetime_ms = lifetime_ms.and_then(|it| u64::try_from(it).ok());
    Some(StoredResult {
        key: around.result_keys.key(message),
        body: Bytes::from(value.as_str().to_owned()),
        lifetime: lifetime_ms.map_or(actor.result_lifetime, Duration::from_millis),
    })
}

/// A new message for another actor. One of which nobody said where it is goes to this message's own
/// queue: there it is found, if only as a dead letter.
fn call(in_hand: &InHand, actor: &str, args: Json, around: Circumstances<'_>) -> Outgoing {
    let queue = around.actors.queue_of(actor).unwrap_or(&in_hand.queue);
    let message = Message::new(queue, actor, args, Json::empty_object(), around.now_ms);
    let (id, message) = message.ready();
    Outgoing {
        queue: queue.clone(),
        lane: Lane::Ready,
        id,
        body: message.encode(),
    }
}

/// The next message of a pipeline.
fn pipe(next: &Json, actor: &ActorOptions, value: &Json, now_ms: i64) -> Result<Outgoing, String> {
    let mut next = Message::of(next).map_err(|error| error.to_string())?;
    let ignore = next.options.get(PIPE_IGNORE).is_some_and(Json::is_truthy);
    if !(ignore || actor.pipe_ignore) {
        let mut args = next.args.elements().unwrap_or_default();
        args.push(value.clone());
        next.args = Json::list(&args);
    }
    let delay_ms = next.options.integer(DELAY);
    outgoing(next, delay_ms, now_ms)
}

/// A message on its way into the queue that it names.
pub(crate) fn outgoing(
    message: Message,
    delay_ms: Option<i64>,
    now_ms: i64,
) -> Result<Outgoing, String> {
    let queue = message.queue().map_err(|error| error.to_string())?;
    let (lane, (id, message)) = match delay_ms {
        Some(delay_ms) => (
            Lane::Delayed,
            message.delayed(now_ms.saturating_add(delay_ms)),
        ),
        None => (Lane::Ready, message.ready()),
    };
    Ok(Outgoing {
        queue,
        lane,
        id,
        body: message.encode(),
    })
}

fn group(message: &Message, around: Circumstances<'_>) -> Option<GroupStep> {
    let barrier = message.options.text(GROUP_COMPLETION_UUID)?;
    let callbacks = message
        .options
        .get(GROUP_COMPLETION_CALLBACKS)?
        .elements()?;
    let enqueued = callbacks.iter().filter_map(|callback| {
        let callback = Message::of(callback).map_err(|error| error.to_string());
        match callback.and_then(|it| outgoing(it, None, around.now_ms)) {
            Ok(callback) => Some(callback),
            Err(problem) => {
                tracing::error!(
                    barrier,
                    problem,
                    "the callback of a group can't be enqueued"
                );
                None
            }
        }
    });
    let callbacks: Vec<Outgoing> = enqueued.collect();
    (!callbacks.is_empty()).then_some(GroupStep {
        barrier,
        lifetime: around.barrier_lifetime,
        callbacks,
    })
}

/// What the message says, or else what its actor does.
fn option_or(message: &Message, name: &str, default: Option<&String>) -> Option<String> {
    message.options.text(name).or_else(|| default.cloned())
}

#[cfg(test)]
mod tests;
