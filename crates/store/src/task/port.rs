//! The port: what a runner of tasks needs of a store.
//!
//! One suite of tests runs against every backend and says the same things as these comments.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use super::attempt::{Beat, Finished, Take};
use super::group::{GroupStep, NewGroup};
use super::id::{Fence, TaskId};
use super::limits::Limits;
use super::listing::{Page, QueueStatus, Resolution, State, TaskView};
use super::name::{Label, QueueName};
use super::new_task::{Enqueued, NewTask};
use super::schedule::{NewSchedule, ScheduleView, Ticked};
use crate::Result;
use crate::lease::WorkerId;

/// Queues of tasks.
///
/// What a worker says about a task in its hands carries the [`Fence`] of its attempt, and fails with
/// [`Error::FenceLost`](crate::Error) where the task is no longer in its hands; then nothing was
/// changed. A call that fails with [`Error::Unavailable`](crate::Error) may or may not have taken
/// effect. Each one but [`take`](TaskStore::take) can simply be repeated, an
/// [`enqueue`](TaskStore::enqueue) as far as [`NewTask::id`] says. Tasks of a take whose answer was
/// lost are [taken back](TaskStore::take_back), or recovered when the worker has
/// [left](TaskStore::leave) or is dead.
#[async_trait]
pub trait TaskStore: fmt::Debug + Send + Sync + 'static {
    /// Enqueues tasks, and returns one answer for each, in their order. Each one is enqueued as a
    /// whole or not at all. Tasks of one call, priority and tenant are taken in their order.
    ///
    /// # Errors
    /// For each task: [`Error::Invalid`](crate::Error), and then it was not enqueued;
    /// [`Error::Unavailable`](crate::Error), and then it may have been.
    async fn enqueue(&self, queue: &QueueName, tasks: Vec<NewTask>) -> Vec<Result<Enqueued>>;

    /// Takes up to `max` tasks that are ready, at most
    /// [`TAKE_TASKS_MAX`](super::attempt::TAKE_TASKS_MAX), and moves those that are due to the ready ones
    /// before. The worker must have given a sign of life with [`beat`](TaskStore::beat).
    ///
    /// The order is: priority, then tenants in turn, then the order in which the tasks became
    /// ready. Tasks of limit keys that are at their limit are put aside, and others go first.
    ///
    /// # Errors
    /// [`Error::WorkerLost`](crate::Error) where the worker is taken for dead;
    /// [`Error::Invalid`](crate::Error) for limits that let nothing begin.
    async fn take(
        &self,
        queue: &QueueName,
        worker: WorkerId,
        max: usize,
        limits: &Limits,
    ) -> Result<Take>;

    /// Waits until there may be something to take from one of the queues, and returns the indexes
    /// of those. Returns none after `timeout`, or soon after `interrupt` is notified. News wakes
    /// one waiting handle, so a caller that is told of a queue takes from it; one that is told
    /// nothing looks again at the latest after `timeout`. One caller at a time per store handle
    /// waits; others queue behind it.
    async fn wait(
        &self,
        queues: &[QueueName],
        timeout: Duration,
        interrupt: &Notify,
    ) -> Result<Vec<usize>>;

    /// Says what came of attempts, each in one step, and returns the state that each task has now,
    /// in their order.
    ///
    /// # Errors
    /// For each: [`Error::FenceLost`](crate::Error), and then nothing was changed;
    /// [`Error::Unavailable`](crate::Error), and then it may have been: a repetition that is
    /// answered with [`Error::FenceLost`](crate::Error) found it so.
    async fn finish(&self, queue: &QueueName, finished: Vec<Finished>) -> Vec<Result<State>>;

    /// Notes how far an attempt is, for those who look at the task.
    ///
    /// # Errors
    /// [`Error::FenceLost`](crate::Error).
    async fn progress(
        &self,
        queue: &QueueName,
        id: TaskId,
        fence: Fence,
        progress: Bytes,
    ) -> Result<()>;

    /// Gives a sign of life: the worker is taken for dead if it gives none for `ttl`. Answers
    /// which tasks in its hands someone wants to be cancelled.
    async fn beat(&self, queue: &QueueName, worker: WorkerId, ttl: Duration) -> Result<Beat>;

    /// Says that a worker is gone: what is still in its hands is for the next
    /// [`recover`](TaskStore::recover).
    async fn leave(&self, queue: &QueueName, worker: WorkerId) -> Result<()>;

    /// Takes tasks out of the hands of dead workers, and returns where each one went: ready; or
    /// dead, with the reason `lost`, where `lost_max` workers have died with it; or unknown, where
    /// it was enqueued with [`OnLost::Park`](super::OnLost); or cancelled, where someone wanted it.
    /// Each is returned to one caller only.
    async fn recover(&self, queue: &QueueName, lost_max: u32) -> Result<Vec<(TaskId, State)>>;

    /// Makes ready again what the worker was given after the attempt with the fence `known`, and
    /// returns how many tasks that were; their attempts don't count. For a worker that got no
    /// answer to a [`take`](TaskStore::take): it knows the largest fence that it was told of. It must
    /// not take from the queue at the same time.
    async fn take_back(&self, queue: &QueueName, worker: WorkerId, known: Fence) -> Result<u64>;

    /// The result that was kept for a task, until its lifetime is over.
    async fn result(&self, queue: &QueueName, id: TaskId) -> Result<Option<Bytes>>;

    /// Opens a group. Opening it again changes nothing, also after it was completed.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error) for a group without members or with too many, and for a
    /// callback that could not be enqueued.
    async fn open_group(&self, queue: &QueueName, group: NewGroup) -> Result<()>;

    /// Tells a group that a member is done. The last one's step enqueues the callback. Telling it
    /// again changes nothing, so a task that runs twice never completes a group early or twice.
    async fn group_member_done(
        &self,
        queue: &QueueName,
        group: &Label,
        member: TaskId,
    ) -> Result<GroupStep>;

    /// Declares schedules. One that is there keeps its last tick and its pause, and takes the new
    /// definition.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error) beyond [`SCHEDULES_MAX`](super::schedule::SCHEDULES_MAX).
    async fn declare_schedules(&self, queue: &QueueName, schedules: Vec<NewSchedule>)
    -> Result<()>;

    /// Enqueues the task of a tick, if this tick is later than the schedule's last one; in one
    /// step with taking the tick. With `unless_running` nothing is enqueued where the task of the
    /// last tick is still scheduled, ready, blocked, running or unknown.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error) for a task that can't be enqueued.
    async fn tick(
        &self,
        queue: &QueueName,
        schedule: &Label,
        tick_ms: u64,
        task: NewTask,
        unless_running: bool,
    ) -> Result<Ticked>;

    /// The schedules of a queue, by name.
    async fn schedules(&self, queue: &QueueName) -> Result<Vec<ScheduleView>>;

    /// Lets a schedule's ticks enqueue nothing, or something again. Answers whether there is one.
    async fn pause_schedule(&self, queue: &QueueName, name: &Label, paused: bool) -> Result<bool>;

    /// Forgets a schedule. Answers whether there was one.
    async fn remove_schedule(&self, queue: &QueueName, name: &Label) -> Result<bool>;

    /// The queues of an app that were ever enqueued to or worked on, sorted.
    async fn queues(&self, app: &str) -> Result<Vec<QueueName>>;

    /// A queue as a whole.
    async fn status(&self, queue: &QueueName) -> Result<QueueStatus>;

    /// The tasks of one state: scheduled ones by their time, ready ones as they would be taken
    /// (tenants one after the other), dead and unknown ones by their time, others by id (where
    /// there are very many, in no order). A list
    /// that changes meanwhile may show a task twice or not at all. Of a state in which a queue
    /// holds no tasks there are none.
    async fn list(&self, queue: &QueueName, state: State, page: Page) -> Result<Vec<TaskView>>;

    /// A task that the queue holds.
    async fn show(&self, queue: &QueueName, id: TaskId) -> Result<Option<TaskView>>;

    /// Cancels tasks, and answers for each where it is now: [`State::Cancelled`] where it had not
    /// begun; [`State::Running`] where its worker will hear of it; [`State::Dead`] or
    /// [`State::Unknown`], and nothing was changed; none where the queue does not hold it.
    async fn cancel(&self, queue: &QueueName, ids: &[TaskId]) -> Result<Vec<Option<State>>>;

    /// Does what a person has decided about dead or unknown tasks, and answers for each where it
    /// is now; none where it was neither dead nor unknown, and nothing was changed.
    async fn resolve(
        &self,
        queue: &QueueName,
        ids: &[TaskId],
        resolution: Resolution,
    ) -> Result<Vec<Option<State>>>;

    /// Throws away up to `max` dead letters that are older than `age`. Returns how many.
    async fn discard_dead(&self, queue: &QueueName, age: Duration, max: usize) -> Result<u64>;

    /// Lets nothing be taken from a queue, or something again. What runs goes on.
    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<()>;

    /// Cancels all that is scheduled, ready or blocked. Returns how many. What is enqueued
    /// meanwhile may stay.
    async fn purge(&self, queue: &QueueName) -> Result<u64>;

    /// Makes scheduled tasks due now. Returns how many there were.
    async fn make_due(&self, queue: &QueueName, ids: &[TaskId]) -> Result<u64>;

    /// Looks whether the store answers.
    async fn ping(&self) -> Result<()>;
}
