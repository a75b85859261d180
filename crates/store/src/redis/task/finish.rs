//! Says what came of attempts, many by one script.
//!
//! If the process dies here, whole portions are finished; the others are recovered like all that
//! was in a dead worker's hands.

use bytes::Bytes;
use futures::StreamExt as _;
use rustis::resp::CommandBuilder;

use super::codec;
use crate::Error;
use crate::append::repeated;
use crate::redis::lease::ttl_ms;
use crate::redis::server::Raw;
use crate::redis::{RedisStore, Result};
use crate::task::{Due, Failure, Fence, Finished, Outcome, QueueName, State, TaskId};

/// How many attempts one script finishes: the server answers nobody else meanwhile.
const TASKS_AT_ONCE_MAX: usize = 500;
/// How many scripts of one call are under way.
const PORTIONS_AT_ONCE: usize = 4;

/// See [`TaskStore::finish`](crate::task::TaskStore::finish).
pub(super) async fn finish(
    store: &RedisStore,
    queue: &QueueName,
    finished: &[Finished],
) -> Vec<Result<State>> {
    let portions: Vec<_> = finished
        .chunks(TASKS_AT_ONCE_MAX)
        .map(|portion| finish_portion(store, queue, portion))
        .collect();
    let portions = futures::stream::iter(portions).buffered(PORTIONS_AT_ONCE);
    portions.concat().await
}

async fn finish_portion(
    store: &RedisStore,
    queue: &QueueName,
    portion: &[Finished],
) -> Vec<Result<State>> {
    match run(store, queue, portion).await {
        Ok(states) => states,
        Err(failure) => {
            let again = repeated(failure);
            portion.iter().map(|_| Err(again())).collect()
        }
    }
}

async fn run(
    store: &RedisStore,
    queue: &QueueName,
    finished: &[Finished],
) -> Result<Vec<Result<State>>> {
    let arguments = |command| finished.iter().fold(command, add);
    let reply = store.run_task_script(|it| &it.finish, queue, arguments);
    let letters = reply.await??.text()?;
    if letters.len() != finished.len() {
        return Err(codec::corrupt("a state for each task"));
    }
    let states = letters.iter().zip(finished).map(|(letter, finished)| {
        if *letter == b'L' {
            return Err(fence_lost(finished.id, finished.fence));
        }
        codec::state(*letter)?.ok_or_else(|| codec::corrupt("a state"))
    });
    Ok(states.collect())
}

fn add(command: CommandBuilder, finished: &Finished) -> CommandBuilder {
    let command = command
        .arg(finished.id.to_string())
        .arg(finished.fence.0.to_string());
    let none = Failure::default();
    let (kind, due, failure) = match &finished.outcome {
        Outcome::Done if finished.result.is_none() => return command.arg("d"),
        Outcome::Done => ("d", Due::Now, &none),
        Outcome::Retry { due, failure } => ("r", *due, failure),
        Outcome::Dead(failure) => ("x", Due::Now, failure),
        Outcome::Cancelled => ("c", Due::Now, &none),
        Outcome::Unknown(failure) => ("u", Due::Now, failure),
        Outcome::Returned => ("b", Due::Now, &none),
    };
    let Failure { reason, error } = failure.kept();
    let command = command
        .arg("x")
        .arg(kind)
        .arg(codec::due(due))
        .arg(reason)
        .arg(error);
    match &finished.result {
        Some(result) => command.arg(ttl_ms(result.lifetime)).arg(Raw(&result.bytes)),
        None => command.arg("").arg(""),
    }
}

/// See [`TaskStore::progress`](crate::task::TaskStore::progress).
pub(super) async fn progress(
    store: &RedisStore,
    queue: &QueueName,
    id: TaskId,
    fence: Fence,
    progress: &Bytes,
) -> Result<()> {
    let arguments = |command: CommandBuilder| {
        command
            .arg(id.to_string())
            .arg(fence.0.to_string())
            .arg(Raw(progress))
    };
    let reply = store.run_task_script(|it| &it.progress, queue, arguments);
    match reply.await??.number()? {
        0 => Err(fence_lost(id, fence)),
        _ => Ok(()),
    }
}

fn fence_lost(task: TaskId, fence: Fence) -> Error {
    Error::FenceLost { task, fence }
}
