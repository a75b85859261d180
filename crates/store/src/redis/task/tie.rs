//! Groups and schedules.
//!
//! If the process dies here, a step has happened as a whole or not at all; repeated, it changes
//! nothing.

use rustis::resp::CommandBuilder;

use super::codec;
use crate::redis::lease::ttl_ms;
use crate::redis::server::Raw;
use crate::redis::{RedisStore, Result};
use crate::task::schedule::{self, SCHEDULES_MAX};
use crate::task::{
    GroupStep, Label, NewGroup, NewSchedule, NewTask, QueueName, ScheduleView, TaskId, Ticked,
};

/// See [`TaskStore::open_group`](crate::task::TaskStore::open_group).
pub(super) async fn open_group(
    store: &RedisStore,
    queue: &QueueName,
    group: &NewGroup,
) -> Result<()> {
    group.check()?;
    store.know_queue(queue).await?;
    let callback = &group.callback;
    let head = format!("{}\n{}\n", callback.id, codec::spec(callback, false));
    let callback = [head.into_bytes(), codec::body(callback)].concat();
    let arguments = |command: CommandBuilder| {
        let command = command
            .arg(group.id.as_str())
            .arg(ttl_ms(group.lifetime))
            .arg(Raw(&callback));
        let members = group.members.iter();
        members.fold(command, |it, member| it.arg(member.to_string()))
    };
    let reply = store.run_task_script(|it| &it.open_group, queue, arguments);
    reply.await??.number()?;
    Ok(())
}

/// See [`TaskStore::group_member_done`](crate::task::TaskStore::group_member_done).
pub(super) async fn group_member_done(
    store: &RedisStore,
    queue: &QueueName,
    group: &Label,
    member: TaskId,
) -> Result<GroupStep> {
    let arguments = |command: CommandBuilder| command.arg(group.as_str()).arg(member.to_string());
    let reply = store.run_task_script(|it| &it.member_done, queue, arguments);
    Ok(match reply.await??.integer()? {
        -1 => GroupStep::Completed,
        left => u64::try_from(left).map_or(GroupStep::Over, GroupStep::Waiting),
    })
}

/// See [`TaskStore::declare_schedules`](crate::task::TaskStore::declare_schedules).
pub(super) async fn declare_schedules(
    store: &RedisStore,
    queue: &QueueName,
    schedules: &[NewSchedule],
) -> Result<()> {
    store.know_queue(queue).await?;
    let arguments = |command: CommandBuilder| {
        schedules
            .iter()
            .fold(command.arg(SCHEDULES_MAX), |command, it| {
                command.arg(it.name.as_str()).arg(Raw(&it.definition))
            })
    };
    let reply = store.run_task_script(|it| &it.declare, queue, arguments);
    match reply.await??.number()? {
        0 => Err(schedule::too_many()),
        _ => Ok(()),
    }
}

/// See [`TaskStore::tick`](crate::task::TaskStore::tick).
pub(super) async fn tick(
    store: &RedisStore,
    queue: &QueueName,
    schedule: &Label,
    tick_ms: u64,
    task: &NewTask,
    unless_running: bool,
) -> Result<Ticked> {
    task.check()?;
    let body = codec::body(task);
    let arguments = |command: CommandBuilder| {
        command
            .arg(schedule.as_str())
            .arg(tick_ms.to_string())
            .arg(u8::from(unless_running))
            .arg(task.id.to_string())
            .arg(codec::spec(task, false))
            .arg(Raw(&body))
    };
    let reply = store.run_task_script(|it| &it.tick, queue, arguments);
    let answer = reply.await??.text()?;
    Ok(match &*answer {
        b"enqueued" => Ticked::Enqueued,
        b"late" => Ticked::Late,
        b"paused" => Ticked::Paused,
        b"unknown" => Ticked::Unknown,
        _ => Ticked::Skipped(codec::id(&answer)?),
    })
}

/// See [`TaskStore::schedules`](crate::task::TaskStore::schedules).
pub(super) async fn schedules(store: &RedisStore, queue: &QueueName) -> Result<Vec<ScheduleView>> {
    let reply = store.run_task_script(|it| &it.schedules, queue, |it| it);
    let mut reply = reply.await??;
    let mut schedules: Vec<ScheduleView> = (0..reply.list()? / 5)
        .map(|_| {
            let name = Label::new(&String::from_utf8_lossy(&reply.text()?))?;
            let definition = reply.text()?;
            let last_tick_ms = reply.number()?;
            let last_task = reply.text()?;
            let has_task = !last_task.is_empty();
            Ok(ScheduleView {
                name,
                definition,
                last_tick_ms,
                last_task: has_task.then(|| codec::id(&last_task)).transpose()?,
                is_paused: reply.number()? == 1,
            })
        })
        .collect::<Result<_>>()?;
    schedules.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(schedules)
}

/// Pauses, resumes or forgets a schedule, as `change_schedule.lua` says.
pub(super) async fn change_schedule(
    store: &RedisStore,
    queue: &QueueName,
    name: &Label,
    change: &str,
) -> Result<bool> {
    let arguments = |command: CommandBuilder| command.arg(name.as_str()).arg(change);
    let reply = store.run_task_script(|it| &it.change_schedule, queue, arguments);
    Ok(reply.await??.number()? == 1)
}
