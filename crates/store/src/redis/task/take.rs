//! What a worker does: it takes, gives signs of life, leaves, and recovers what others have left.
//!
//! If the process dies here, the tasks that a script has given it are in its hands, and whoever
//! recovers returns them when its signs of life have run out.

use std::time::Duration;

use super::codec;
use crate::redis::lease::ttl_ms;
use crate::redis::reply::Reply;
use crate::redis::{RedisStore, Result};
use crate::task::attempt::TAKE_TASKS_MAX;
use crate::task::{Beat, Fence, Limits, QueueName, Rate, State, Take, Taken, TaskId};
use crate::{Error, WorkerId};

/// How many tasks one script recovers.
const RECOVERED_AT_ONCE_MAX: usize = 200;

/// See [`TaskStore::take`](crate::task::TaskStore::take).
pub(super) async fn take(
    store: &RedisStore,
    queue: &QueueName,
    worker: WorkerId,
    max: usize,
    limits: &Limits,
) -> Result<Take> {
    limits.check()?;
    let text = |limit: Option<u32>| limit.map_or(String::new(), |it| it.to_string());
    let arguments = [
        worker.to_string(),
        max.min(TAKE_TASKS_MAX).to_string(),
        text(limits.running_max),
        text(limits.running_per_key_max),
        per_ms(limits.rate),
        text(limits.rate.map(|it| it.burst)),
        per_ms(limits.rate_per_key),
        text(limits.rate_per_key.map(|it| it.burst)),
    ];
    let reply = store.run_task_script(
        |it| &it.take,
        queue,
        |command| {
            arguments
                .iter()
                .fold(command, |it, text| it.arg(text.as_str()))
        },
    );
    match reply.await? {
        Ok(reply) => taken(reply),
        Err(failure) if failure.is_worker_lost() => Err(Error::WorkerLost {
            queue: queue.clone(),
            worker,
        }),
        Err(failure) => Err(failure.into()),
    }
}

fn per_ms(rate: Option<Rate>) -> String {
    let per_ms = |it: Rate| f64::from(it.count) / (it.per.as_secs_f64() * 1_000.0);
    rate.map_or(String::new(), |rate| format!("{:.15}", per_ms(rate)))
}

fn taken(mut reply: Reply) -> Result<Take> {
    let tasks = reply.list()?.saturating_sub(3) / 5;
    let has_more = reply.number()? == 1;
    let next_ms = u64::try_from(reply.integer()?).ok();
    let taken_at_ms = reply.number()?;
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let tasks = (0..tasks).map(|_| {
        let id = codec::id(&reply.text()?)?;
        let (attempt, lost) = (small(reply.number()?), small(reply.number()?));
        let fence = Fence(reply.number()?);
        let record = codec::record(&reply.text()?)?;
        Ok(Taken {
            id,
            name: record.name,
            payload: record.payload,
            options: record.options,
            attempt,
            lost,
            fence,
            priority: record.priority,
            ordering_key: record.ordering_key,
            limit_key: record.limit_key,
            tenant: record.tenant,
            on_lost: record.on_lost,
            enqueued_at_ms: record.enqueued_at_ms,
            taken_at_ms,
        })
    });
    Ok(Take {
        tasks: tasks.collect::<Result<_>>()?,
        has_more,
        next_in: next_ms.map(Duration::from_millis),
    })
}

/// See [`TaskStore::beat`](crate::task::TaskStore::beat).
pub(super) async fn beat(
    store: &RedisStore,
    queue: &QueueName,
    worker: WorkerId,
    ttl: Duration,
) -> Result<Beat> {
    store.list_queue(queue).await?;
    let arguments =
        |command: rustis::resp::CommandBuilder| command.arg(worker.to_string()).arg(ttl_ms(ttl));
    let reply = store.run_task_script(|it| &it.beat, queue, arguments);
    let ids = reply.await??.texts()?;
    let mut cancelled: Vec<TaskId> = ids.iter().map(codec::id).collect::<Result<_>>()?;
    cancelled.sort_unstable();
    Ok(Beat { cancelled })
}

/// See [`TaskStore::leave`](crate::task::TaskStore::leave).
pub(super) async fn leave(store: &RedisStore, queue: &QueueName, worker: WorkerId) -> Result<()> {
    let reply = store.run_task_script(|it| &it.leave, queue, |it| it.arg(worker.to_string()));
    reply.await??.number()?;
    Ok(())
}

/// See [`TaskStore::recover`](crate::task::TaskStore::recover).
pub(super) async fn recover(
    store: &RedisStore,
    queue: &QueueName,
    lost_max: u32,
) -> Result<Vec<(TaskId, State)>> {
    let mut recovered = Vec::new();
    loop {
        let arguments = |command: rustis::resp::CommandBuilder| {
            command.arg(lost_max).arg(RECOVERED_AT_ONCE_MAX)
        };
        let reply = store.run_task_script(|it| &it.recover, queue, arguments);
        let mut reply = match reply.await? {
            Ok(reply) => reply,
            // What was recovered is told once, so it must be told now; the rest can wait.
            Err(_failure) if !recovered.is_empty() => return Ok(recovered),
            Err(failure) => return Err(failure.into()),
        };
        let tasks = reply.list()? / 2;
        for _ in 0..tasks {
            let id = codec::id(&reply.text()?)?;
            let letter = reply.text()?;
            let state = codec::state(letter.first().copied().unwrap_or_default())?;
            recovered.extend(state.map(|state| (id, state)));
        }
        if tasks < RECOVERED_AT_ONCE_MAX {
            return Ok(recovered);
        }
    }
}

/// See [`TaskStore::take_back`](crate::task::TaskStore::take_back).
pub(super) async fn take_back(
    store: &RedisStore,
    queue: &QueueName,
    worker: WorkerId,
    known: Fence,
) -> Result<u64> {
    let arguments =
        |command: rustis::resp::CommandBuilder| command.arg(worker.to_string()).arg(known.0);
    let reply = store.run_task_script(|it| &it.take_back, queue, arguments);
    reply.await??.number()
}
