//! What an operator sees and does.
//!
//! If the process dies here, what was asked for has happened to whole portions of the tasks; asked
//! again, it happens to the rest.

use std::time::Duration;

use rustis::resp::{CommandBuilder, cmd};

use super::codec;
use crate::redis::lease::ttl_ms;
use crate::redis::reply::Reply;
use crate::redis::{RedisStore, Result};
use crate::task::listing::PAGE_TASKS_MAX;
use crate::task::{
    Counts, Failure, Page, QueueName, QueueStatus, Resolution, State, TaskId, TaskView, WorkerView,
};

/// How many tasks one script looks at: the server answers nobody else meanwhile.
const TASKS_AT_ONCE_MAX: usize = 250;

/// See [`TaskStore::queues`](crate::task::TaskStore::queues).
pub(super) async fn queues(store: &RedisStore, app: &str) -> Result<Vec<QueueName>> {
    // An app that can't be has no queues, and must not name another key.
    QueueName::of_app(app, "_")?;
    let command = cmd("SMEMBERS").key(store.keys.queues(app));
    let names = store.server.call(command).await?.texts()?;
    let named = |name| QueueName::of_app(app, &String::from_utf8_lossy(name));
    let mut queues: Vec<QueueName> = names.iter().map(|it| named(it)).collect::<Result<_>>()?;
    queues.sort_unstable();
    Ok(queues)
}

/// See [`TaskStore::status`](crate::task::TaskStore::status).
pub(super) async fn status(store: &RedisStore, queue: &QueueName) -> Result<QueueStatus> {
    let reply = store.run_task_script(|it| &it.status, queue, |it| it);
    let mut reply = reply.await??;
    let workers = reply.list()?.saturating_sub(12) / 3;
    let mut counts = Counts::default();
    for count in [
        &mut counts.enqueued,
        &mut counts.done,
        &mut counts.cancelled,
        &mut counts.discarded,
        &mut counts.scheduled,
        &mut counts.ready,
        &mut counts.blocked,
        &mut counts.running,
        &mut counts.dead,
        &mut counts.unknown,
        &mut counts.held,
    ] {
        *count = reply.number()?;
    }
    let is_paused = reply.number()? == 1;
    let worker = |reply: &mut Reply| {
        let worker = String::from_utf8_lossy(&reply.text()?).parse()?;
        Ok(WorkerView {
            worker,
            ends_in_ms: reply.number()?,
            running: reply.number()?,
        })
    };
    let mut workers: Vec<_> = (0..workers)
        .map(|_| worker(&mut reply))
        .collect::<Result<_>>()?;
    workers.sort_unstable_by_key(|it| it.worker);
    Ok(QueueStatus {
        counts,
        is_paused,
        workers,
    })
}

/// See [`TaskStore::list`](crate::task::TaskStore::list).
pub(super) async fn list(
    store: &RedisStore,
    queue: &QueueName,
    state: State,
    page: Page,
) -> Result<Vec<TaskView>> {
    let letter = match state {
        State::Scheduled => "s",
        State::Ready => "y",
        State::Blocked => "o",
        State::Running => "g",
        State::Dead => "x",
        State::Unknown => "u",
        State::Done | State::Cancelled | State::Discarded => return Ok(Vec::new()),
    };
    let limit = page.limit.min(PAGE_TASKS_MAX);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let arguments = |command: CommandBuilder| command.arg(letter).arg(page.offset).arg(limit);
    let reply = store.run_task_script(|it| &it.list, queue, arguments);
    views(reply.await??)
}

/// See [`TaskStore::show`](crate::task::TaskStore::show).
pub(super) async fn show(
    store: &RedisStore,
    queue: &QueueName,
    id: TaskId,
) -> Result<Option<TaskView>> {
    let arguments = |command: CommandBuilder| command.arg("").arg(id.to_string()).arg(1);
    let reply = store.run_task_script(|it| &it.list, queue, arguments);
    Ok(views(reply.await??)?.pop())
}

fn views(mut reply: Reply) -> Result<Vec<TaskView>> {
    let tasks = reply.list()? / 8;
    (0..tasks).map(|_| view(&mut reply)).collect()
}

fn view(reply: &mut Reply) -> Result<TaskView> {
    let id = codec::id(&reply.text()?)?;
    let letter = reply.text()?.first().copied().unwrap_or_default();
    let state = codec::state(letter)?.ok_or_else(|| codec::corrupt("a state"))?;
    let at_ms = codec::number(&String::from_utf8_lossy(&reply.text()?))?;
    let record = codec::record(&reply.text()?)?;
    let (mut attempts, mut lost, mut failure) = (0, 0, None::<Failure>);
    if let Some(tried) = reply.optional_text()? {
        let (tried_attempts, tried_lost, last) = codec::tried(&tried)?;
        (attempts, lost, failure) = (tried_attempts, tried_lost, Some(last));
    }
    let mut holder = None;
    if let Some(running) = reply.optional_text()? {
        let (worker, fence, attempt, lost_before) = codec::running(&running)?;
        (attempts, lost) = (attempt, lost_before);
        holder = Some((worker, fence));
    }
    Ok(TaskView {
        id,
        name: record.name,
        state,
        payload: record.payload,
        options: record.options,
        priority: record.priority,
        ordering_key: record.ordering_key,
        limit_key: record.limit_key,
        tenant: record.tenant,
        enqueued_at_ms: record.enqueued_at_ms,
        at_ms,
        attempts,
        lost,
        failure,
        holder,
        is_cancelling: reply.number()? == 1,
        progress: reply.optional_text()?,
    })
}

/// See [`TaskStore::cancel`](crate::task::TaskStore::cancel).
pub(super) async fn cancel(
    store: &RedisStore,
    queue: &QueueName,
    ids: &[TaskId],
) -> Result<Vec<Option<State>>> {
    let mut states = Vec::with_capacity(ids.len());
    for some in ids.chunks(TASKS_AT_ONCE_MAX) {
        let reply = store.run_task_script(|it| &it.cancel, queue, |it| named(it, some));
        states.extend(letters(reply.await??)?);
    }
    Ok(states)
}

/// See [`TaskStore::resolve`](crate::task::TaskStore::resolve).
pub(super) async fn resolve(
    store: &RedisStore,
    queue: &QueueName,
    ids: &[TaskId],
    resolution: Resolution,
) -> Result<Vec<Option<State>>> {
    let letter = match resolution {
        Resolution::Retry => "r",
        Resolution::Done => "d",
        Resolution::Dead => "x",
        Resolution::Discard => "i",
    };
    let mut states = Vec::with_capacity(ids.len());
    for some in ids.chunks(TASKS_AT_ONCE_MAX) {
        let arguments = |command: CommandBuilder| named(command.arg(letter), some);
        let reply = store.run_task_script(|it| &it.resolve, queue, arguments);
        states.extend(letters(reply.await??)?);
    }
    Ok(states)
}

fn named(command: CommandBuilder, ids: &[TaskId]) -> CommandBuilder {
    ids.iter().fold(command, |it, id| it.arg(id.to_string()))
}

fn letters(mut reply: Reply) -> Result<Vec<Option<State>>> {
    reply
        .text()?
        .iter()
        .map(|letter| codec::state(*letter))
        .collect()
}

/// See [`TaskStore::discard_dead`](crate::task::TaskStore::discard_dead).
pub(super) async fn discard_dead(
    store: &RedisStore,
    queue: &QueueName,
    age: Duration,
    max: usize,
) -> Result<u64> {
    let age_ms = if age.is_zero() { 0 } else { ttl_ms(age) };
    let mut discarded = 0;
    let mut left = max;
    while left > 0 {
        let some = left.min(TASKS_AT_ONCE_MAX);
        let arguments = |command: CommandBuilder| command.arg(age_ms).arg(some);
        let reply = store.run_task_script(|it| &it.discard_dead, queue, arguments);
        let gone = reply.await??.number()?;
        discarded += gone;
        left -= some;
        if gone < some as u64 {
            break;
        }
    }
    Ok(discarded)
}

/// See [`TaskStore::pause`](crate::task::TaskStore::pause).
pub(super) async fn pause(store: &RedisStore, queue: &QueueName, paused: bool) -> Result<()> {
    store.know_queue(queue).await?;
    let arguments = |command: CommandBuilder| command.arg(u8::from(paused));
    let reply = store.run_task_script(|it| &it.pause, queue, arguments);
    reply.await??.number()?;
    Ok(())
}

/// See [`TaskStore::purge`](crate::task::TaskStore::purge).
pub(super) async fn purge(store: &RedisStore, queue: &QueueName) -> Result<u64> {
    let mut cancelled = 0;
    loop {
        let arguments = |command: CommandBuilder| command.arg(TASKS_AT_ONCE_MAX);
        let reply = store.run_task_script(|it| &it.purge, queue, arguments);
        match reply.await??.number()? {
            0 => return Ok(cancelled),
            some => cancelled += some,
        }
    }
}

/// See [`TaskStore::make_due`](crate::task::TaskStore::make_due).
pub(super) async fn make_due(store: &RedisStore, queue: &QueueName, ids: &[TaskId]) -> Result<u64> {
    let mut moved = 0;
    for some in ids.chunks(TASKS_AT_ONCE_MAX) {
        let reply = store.run_task_script(|it| &it.make_due, queue, |it| named(it, some));
        moved += reply.await??.number()?;
    }
    Ok(moved)
}
