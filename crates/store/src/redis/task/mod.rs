//! Background tasks on a Redis or Valkey server.
//!
//! ```text
//! TaskStore ─► enqueue, take, finish, operate, tie ─► codec ─► scripts/task/*.lua ─► the server
//!    └───────► wait ── BLPOP on a connection of its own
//! ```
//!
//! All keys of a queue are in one slot, and each transition of a task is one script: if the process
//! dies anywhere, a task is where the last script put it. `scripts/task/queue.lua` describes the
//! keys. What an answered enqueueing survives is what the server is configured for (`appendfsync`,
//! replicas).

mod codec;
mod enqueue;
mod finish;
mod operate;
mod scripts;
mod take;
mod tie;
mod wait;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rustis::client::Config;
use rustis::resp::{CommandBuilder, cmd};
use tokio::sync::{Notify, OnceCell};

use self::scripts::TaskScripts;
use super::failure::Failure;
use super::reply::Reply;
use super::script::Script;
use super::wait::Waiter;
use super::{RedisStore, Result};
use crate::lease::WorkerId;
use crate::task::{
    Beat, Enqueued, Fence, Finished, GroupStep, Label, Limits, NewGroup, NewSchedule, NewTask,
    Page, QueueName, QueueStatus, Resolution, ScheduleView, State, Take, TaskId, TaskStore,
    TaskView, Ticked,
};

/// What a store needs for tasks. A store that has none costs the server nothing.
pub(super) struct Tasks {
    /// Loaded by the first call.
    scripts: OnceCell<TaskScripts>,
    waiter: Waiter,
    /// The queues that this handle has entered into the app's list.
    known: Mutex<HashSet<QueueName>>,
}

impl Tasks {
    /// Nothing is loaded, and nobody waits.
    pub(super) fn new(commands: &Config) -> Self {
        Self {
            scripts: OnceCell::new(),
            waiter: Waiter::new(commands),
            known: Mutex::default(),
        }
    }
}

impl RedisStore {
    async fn task_scripts(&self) -> Result<&TaskScripts> {
        let load = || TaskScripts::load(&self.server);
        self.tasks.scripts.get_or_try_init(load).await
    }

    /// Runs a script on a queue.
    async fn run_task_script(
        &self,
        script: impl FnOnce(&TaskScripts) -> &Script,
        queue: &QueueName,
        arguments: impl Fn(CommandBuilder) -> CommandBuilder,
    ) -> Result<Result<Reply, Failure>> {
        let script = script(self.task_scripts().await?);
        let key = self.keys.queue(queue);
        // While a Cluster hands a slot over, a node runs what it is asked for if it has no key of
        // it. The first name is nobody's and the second one is there, so that the answer is
        // `TRYAGAIN` until all keys have arrived.
        let counts = format!("{key}.counts");
        let arguments = |command: CommandBuilder| {
            arguments(command.arg(2).key(key.as_str()).key(counts.as_str()))
        };
        Ok(self.server.run(script, arguments).await)
    }

    /// Enters a queue into the list of its app's.
    async fn know_queue(&self, queue: &QueueName) -> Result<()> {
        let known = || {
            self.tasks
                .known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if known().contains(queue) {
            return Ok(());
        }
        self.list_queue(queue).await?;
        known().insert(queue.clone());
        Ok(())
    }

    /// Enters a queue into the list of its app's, also where a server has lost its memory.
    async fn list_queue(&self, queue: &QueueName) -> Result<()> {
        let list = self.keys.queues(queue.app());
        let command = cmd("SADD").key(list).arg(queue.name());
        self.server.call(command).await?.number()?;
        Ok(())
    }
}

#[async_trait]
impl TaskStore for RedisStore {
    async fn enqueue(&self, queue: &QueueName, tasks: Vec<NewTask>) -> Vec<Result<Enqueued>> {
        enqueue::enqueue(self, queue, &tasks).await
    }

    async fn take(
        &self,
        queue: &QueueName,
        worker: WorkerId,
        max: usize,
        limits: &Limits,
    ) -> Result<Take> {
        take::take(self, queue, worker, max, limits).await
    }

    async fn wait(
        &self,
        queues: &[QueueName],
        timeout: Duration,
        interrupt: &Notify,
    ) -> Result<Vec<usize>> {
        wait::wait(self, queues, timeout, interrupt).await
    }

    async fn finish(&self, queue: &QueueName, finished: Vec<Finished>) -> Vec<Result<State>> {
        finish::finish(self, queue, &finished).await
    }

    async fn progress(
        &self,
        queue: &QueueName,
        id: TaskId,
        fence: Fence,
        progress: Bytes,
    ) -> Result<()> {
        finish::progress(self, queue, id, fence, &progress).await
    }

    async fn beat(&self, queue: &QueueName, worker: WorkerId, ttl: Duration) -> Result<Beat> {
        take::beat(self, queue, worker, ttl).await
    }

    async fn leave(&self, queue: &QueueName, worker: WorkerId) -> Result<()> {
        take::leave(self, queue, worker).await
    }

    async fn recover(&self, queue: &QueueName, lost_max: u32) -> Result<Vec<(TaskId, State)>> {
        take::recover(self, queue, lost_max).await
    }

    async fn take_back(&self, queue: &QueueName, worker: WorkerId, known: Fence) -> Result<u64> {
        take::take_back(self, queue, worker, known).await
    }

    async fn result(&self, queue: &QueueName, id: TaskId) -> Result<Option<Bytes>> {
        let key = format!("{}.result.{id}", self.keys.queue(queue));
        self.server.call(cmd("GET").key(key)).await?.optional_text()
    }

    async fn open_group(&self, queue: &QueueName, group: NewGroup) -> Result<()> {
        tie::open_group(self, queue, &group).await
    }

    async fn group_member_done(
        &self,
        queue: &QueueName,
        group: &Label,
        member: TaskId,
    ) -> Result<GroupStep> {
        tie::group_member_done(self, queue, group, member).await
    }

    async fn declare_schedules(
        &self,
        queue: &QueueName,
        schedules: Vec<NewSchedule>,
    ) -> Result<()> {
        tie::declare_schedules(self, queue, &schedules).await
    }

    async fn tick(
        &self,
        queue: &QueueName,
        schedule: &Label,
        tick_ms: u64,
        task: NewTask,
        unless_running: bool,
    ) -> Result<Ticked> {
        tie::tick(self, queue, schedule, tick_ms, &task, unless_running).await
    }

    async fn schedules(&self, queue: &QueueName) -> Result<Vec<ScheduleView>> {
        tie::schedules(self, queue).await
    }

    async fn pause_schedule(&self, queue: &QueueName, name: &Label, paused: bool) -> Result<bool> {
        tie::change_schedule(self, queue, name, if paused { "1" } else { "0" }).await
    }

    async fn remove_schedule(&self, queue: &QueueName, name: &Label) -> Result<bool> {
        tie::change_schedule(self, queue, name, "-").await
    }

    async fn queues(&self, app: &str) -> Result<Vec<QueueName>> {
        operate::queues(self, app).await
    }

    async fn status(&self, queue: &QueueName) -> Result<QueueStatus> {
        operate::status(self, queue).await
    }

    async fn list(&self, queue: &QueueName, state: State, page: Page) -> Result<Vec<TaskView>> {
        operate::list(self, queue, state, page).await
    }

    async fn show(&self, queue: &QueueName, id: TaskId) -> Result<Option<TaskView>> {
        operate::show(self, queue, id).await
    }

    async fn cancel(&self, queue: &QueueName, ids: &[TaskId]) -> Result<Vec<Option<State>>> {
        operate::cancel(self, queue, ids).await
    }

    async fn resolve(
        &self,
        queue: &QueueName,
        ids: &[TaskId],
        resolution: Resolution,
    ) -> Result<Vec<Option<State>>> {
        operate::resolve(self, queue, ids, resolution).await
    }

    async fn discard_dead(&self, queue: &QueueName, age: Duration, max: usize) -> Result<u64> {
        operate::discard_dead(self, queue, age, max).await
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<()> {
        operate::pause(self, queue, paused).await
    }

    async fn purge(&self, queue: &QueueName) -> Result<u64> {
        operate::purge(self, queue).await
    }

    async fn make_due(&self, queue: &QueueName, ids: &[TaskId]) -> Result<u64> {
        operate::make_due(self, queue, ids).await
    }

    async fn ping(&self) -> Result<()> {
        crate::Store::ping(self).await
    }
}
