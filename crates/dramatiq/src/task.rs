//! A function with `#[task]` as an actor of Dramatiq's, so that one application runs on either queue.
//!
//! Its options become the actor's. What Dramatiq's wire has no word for (schedules, outcomes that are
//! parked, limits of how many run at once) is refused at the start, never dropped in silence.

use std::sync::Arc;

use tidegate_store::dramatiq::QueueName;
use tidegate_store::task::{Priority, TaskId};
use tidegate_tasks::failure::{Advice, advice_of};
use tidegate_tasks::outside::Outside;
use tidegate_tasks::{
    BoxError, OnUnknown, RetryWhen, StateMap, Task, TaskClient, TaskContext, TaskOptions,
};
use uuid::Uuid;

use crate::actor::{Actor, ActorOptions, Misdeclared};
use crate::arguments;
use crate::failure::Failure;
use crate::json::Json;
use crate::message::Message;
use crate::options::RETRIES;
use crate::worker::now_ms;

/// Dramatiq's priorities; the lower ones begin first, and 0 is that of actors without one.
const HIGH: i64 = -10;
const LOW: i64 = 10;

/// The actor that a task is. What its function sends goes to the client's store.
///
/// # Errors
/// [`Misdeclared`] where Dramatiq's queues can't keep what the task asks for, or the application does not
/// provide it.
pub fn actor_of<T: Task>(
    task: T,
    state: Arc<StateMap>,
    client: TaskClient,
) -> Result<Actor, Misdeclared> {
    let options = task.options();
    check(&options)?;
    let unusable = |reason: String| Misdeclared::Unusable {
        task: options.name.to_owned(),
        reason,
    };
    let checked = task.check(&state);
    checked.map_err(|error| unusable(error.to_string()))?;
    let queue = QueueName::new(options.queue).map_err(|error| unusable(error.to_string()))?;
    let actor = Actor::raw(options.name, queue, move |message| {
        let begun = begin(&task, &message, &state, &client);
        async move {
            let result = begun?.await;
            let result = result.map_err(|error| told(&error, options.retry_when))?;
            match result.is_empty() {
                true => Ok(Json::null()),
                false => Json::parse(&result)
                    .map_err(|source| Failure::new("ResultError", source.to_string())),
            }
        }
    });
    Ok(actor.options(options_of(&options)))
}

fn check(options: &TaskOptions) -> Result<(), Misdeclared> {
    let unsayable = [
        (options.schedule.is_some(), "a schedule"),
        (
            options.on_unknown == OnUnknown::Park,
            "on_unknown = \"park\"",
        ),
        (
            options.concurrency.is_some(),
            "a limit of how many run at once",
        ),
    ];
    match unsayable.into_iter().find(|(is_so, _)| *is_so) {
        None => Ok(()),
        Some((_, what)) => Err(Misdeclared::Unsayable {
            task: options.name.to_owned(),
            what,
        }),
    }
}

fn options_of(options: &TaskOptions) -> ActorOptions {
    let (min_backoff, max_backoff) = options.backoff;
    let default = ActorOptions::default();
    ActorOptions {
        max_retries: Some(options.max_retries.into()),
        min_backoff,
        max_backoff,
        max_age: options.max_age,
        time_limit: Some(options.time_limit),
        priority: match options.priority {
            Priority::High => HIGH,
            Priority::Normal => default.priority,
            Priority::Low => LOW,
        },
        store_results: options.result_ttl.is_some(),
        result_lifetime: options.result_ttl.unwrap_or(default.result_lifetime),
        ..default
    }
}

fn begin<T: Task>(
    task: &T,
    message: &Message,
    state: &StateMap,
    client: &TaskClient,
) -> Result<tidegate_tasks::Running, Failure> {
    let refused = |kind, text: String| Failure::new(kind, text).never_again();
    let bound = arguments::bind::<T::Arguments>(message);
    let arguments = bound.map_err(|source| refused("TypeError", source.to_string()))?;
    let retries = message.options.integer(RETRIES).unwrap_or_default();
    let now_ms = now_ms();
    let attempt = Outside {
        id: id_of(message),
        name: message.actor_name.clone(),
        queue: task.options().queue.to_owned(),
        attempt: u32::try_from(retries).unwrap_or_default().saturating_add(1),
        enqueued_at_ms: u64::try_from(now_ms - message.age_ms(now_ms).unwrap_or(0)).unwrap_or(0),
        now_ms: u64::try_from(now_ms).unwrap_or(0),
    };
    let context = TaskContext::outside(attempt, client.clone());
    let context = context.map_err(|source| refused("ValueError", source.to_string()))?;
    Ok(task.call(context, arguments, state))
}

/// The message's id, or for one that is no UUID another that is always the same.
fn id_of(message: &Message) -> TaskId {
    let text = &message.message_id;
    let id = Uuid::parse_str(text);
    TaskId::new(id.unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes())))
}

/// What an error of a task says about another try.
fn told(error: &BoxError, retry_when: Option<RetryWhen>) -> Failure {
    let failure = Failure::new("TaskError", error.to_string());
    if retry_when.is_some_and(|is_worth_it| !is_worth_it(error)) {
        return failure.never_again();
    }
    match advice_of(&**error) {
        Advice::Default => failure,
        Advice::RetryAfter(pause) => failure.after(pause),
        Advice::Permanent | Advice::Unknown => failure.never_again(),
    }
}
