//! Tasks in memory, for users' unit tests.
//!
//! It keeps every promise of the port but one: when its last handle is dropped, or the process
//! dies, all is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use super::machine::Machine;
use super::machine::map::MemoryMap;
use super::{
    Beat, Enqueued, Fence, Finished, GroupStep, Label, Limits, NewGroup, NewSchedule, NewTask,
    Page, QueueName, QueueStatus, Resolution, ScheduleView, State, Take, TaskId, TaskStore,
    TaskView, Ticked,
};
use crate::lease::WorkerId;
use crate::sqlite::{Clock, SystemClock};
use crate::{Error, Result};

/// A store of tasks in memory. Clones are handles on the same queues.
///
/// # Examples
/// ```
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// use tidegate_store::task::{MemoryTaskStore, NewTask, QueueName, TaskName, TaskStore};
/// let store = MemoryTaskStore::new();
/// let queue = QueueName::of_app("shop", "mail")?;
/// let task = NewTask::plain(TaskName::new("send")?, "hello".into());
/// store.enqueue(&queue, vec![task]).await;
/// assert_eq!(store.status(&queue).await?.counts.ready, 1);
/// # Ok::<(), tidegate_store::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryTaskStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queues: Mutex<BTreeMap<QueueName, MemoryMap>>,
    /// The queues that were enqueued to or worked on.
    known: Mutex<BTreeSet<QueueName>>,
    news: Notify,
    clock: Arc<dyn Clock>,
}

impl Default for MemoryTaskStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryTaskStore {
    /// A store without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// A store without tasks, with a clock of the caller's.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::new(Shared {
                queues: Mutex::default(),
                known: Mutex::default(),
                news: Notify::new(),
                clock,
            }),
        }
    }

    /// Runs a transition.
    fn run<T>(
        &self,
        queue: &QueueName,
        transition: impl FnOnce(&mut Machine<'_, MemoryMap>) -> Result<T>,
    ) -> Result<T> {
        let mut queues = lock(&self.shared.queues);
        let map = queues.entry(queue.clone()).or_default();
        let mut machine = Machine::new(map, self.shared.clock.now_ms());
        let answer = transition(&mut machine)?;
        if machine.has_news()? {
            self.shared.news.notify_waiters();
        }
        Ok(answer)
    }

    fn know(&self, queue: &QueueName) {
        lock(&self.shared.known).insert(queue.clone());
    }

    fn look(&self, queues: &[QueueName]) -> Result<Vec<usize>> {
        let mut found = Vec::new();
        for (i, queue) in queues.iter().enumerate() {
            if self.run(queue, |it| it.has_news())? {
                found.push(i);
            }
        }
        Ok(found)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl TaskStore for MemoryTaskStore {
    async fn enqueue(&self, queue: &QueueName, tasks: Vec<NewTask>) -> Vec<Result<Enqueued>> {
        self.know(queue);
        checked(tasks, |good| self.run(queue, |it| it.enqueue(good)))
    }

    async fn take(
        &self,
        queue: &QueueName,
        worker: WorkerId,
        max: usize,
        limits: &Limits,
    ) -> Result<Take> {
        limits.check()?;
        let taken = self.run(queue, |it| it.take(worker, max, limits))?;
        taken.ok_or_else(|| worker_lost(queue, worker))
    }

    async fn wait(
        &self,
        queues: &[QueueName],
        timeout: Duration,
        interrupt: &Notify,
    ) -> Result<Vec<usize>> {
        let mut interrupted = pin!(interrupt.notified());
        let mut timed_out = pin!(tokio::time::sleep(timeout));
        loop {
            // Listen before looking, so that nothing falls between the two.
            let mut news = pin!(self.shared.news.notified());
            news.as_mut().enable();
            let found = self.look(queues)?;
            if !found.is_empty() {
                return Ok(found);
            }
            tokio::select! {
                () = &mut interrupted => return Ok(Vec::new()),
                () = &mut timed_out => return Ok(Vec::new()),
                () = news => {}
            }
        }
    }

    async fn finish(&self, queue: &QueueName, finished: Vec<Finished>) -> Vec<Result<State>> {
        let finish = |it: &Finished| {
            let state = self.run(queue, |machine| machine.finish(it))?;
            state.ok_or_else(|| fence_lost(it.id, it.fence))
        };
        finished.iter().map(finish).collect()
    }

    async fn progress(
        &self,
        queue: &QueueName,
        id: TaskId,
        fence: Fence,
        progress: Bytes,
    ) -> Result<()> {
        match self.run(queue, |it| it.progress(id, fence, &progress))? {
            true => Ok(()),
            false => Err(fence_lost(id, fence)),
        }
    }

    async fn beat(&self, queue: &QueueName, worker: WorkerId, ttl: Duration) -> Result<Beat> {
        self.know(queue);
        self.run(queue, |it| it.beat(worker, whole_ms(ttl)))
    }

    async fn leave(&self, queue: &QueueName, worker: WorkerId) -> Result<()> {
        self.run(queue, |it| it.leave(worker))
    }

    async fn recover(&self, queue: &QueueName, lost_max: u32) -> Result<Vec<(TaskId, State)>> {
        self.run(queue, |it| it.recover(lost_max))
    }

    async fn take_back(&self, queue: &QueueName, worker: WorkerId, known: Fence) -> Result<u64> {
        self.run(queue, |it| it.take_back(worker, known))
    }

    async fn result(&self, queue: &QueueName, id: TaskId) -> Result<Option<Bytes>> {
        self.run(queue, |it| it.result(id))
    }

    async fn open_group(&self, queue: &QueueName, group: NewGroup) -> Result<()> {
        group.check()?;
        self.know(queue);
        self.run(queue, |it| it.open_group(&group))
    }

    async fn group_member_done(
        &self,
        queue: &QueueName,
        group: &Label,
        member: TaskId,
    ) -> Result<GroupStep> {
        self.run(queue, |it| it.member_done(group, member))
    }

    async fn declare_schedules(
        &self,
        queue: &QueueName,
        schedules: Vec<NewSchedule>,
    ) -> Result<()> {
        self.know(queue);
        self.run(queue, |it| it.declare(&schedules))
    }

    async fn tick(
        &self,
        queue: &QueueName,
        schedule: &Label,
        tick_ms: u64,
        task: NewTask,
        unless_running: bool,
    ) -> Result<Ticked> {
        task.check()?;
        self.run(queue, |it| {
            it.tick(schedule, tick_ms, &task, unless_running)
        })
    }

    async fn schedules(&self, queue: &QueueName) -> Result<Vec<ScheduleView>> {
        self.run(queue, |it| it.schedules())
    }

    async fn pause_schedule(&self, queue: &QueueName, name: &Label, paused: bool) -> Result<bool> {
        self.run(queue, |it| it.pause_schedule(name, paused))
    }

    async fn remove_schedule(&self, queue: &QueueName, name: &Label) -> Result<bool> {
        self.run(queue, |it| it.remove_schedule(name))
    }

    async fn queues(&self, app: &str) -> Result<Vec<QueueName>> {
        let known = lock(&self.shared.known);
        Ok(known.iter().filter(|it| it.app() == app).cloned().collect())
    }

    async fn status(&self, queue: &QueueName) -> Result<QueueStatus> {
        self.run(queue, |it| it.status())
    }

    async fn list(&self, queue: &QueueName, state: State, page: Page) -> Result<Vec<TaskView>> {
        self.run(queue, |it| it.list(state, page))
    }

    async fn show(&self, queue: &QueueName, id: TaskId) -> Result<Option<TaskView>> {
        self.run(queue, |it| it.show(id))
    }

    async fn cancel(&self, queue: &QueueName, ids: &[TaskId]) -> Result<Vec<Option<State>>> {
        self.run(queue, |it| it.cancel(ids))
    }

    async fn resolve(
        &self,
        queue: &QueueName,
        ids: &[TaskId],
        resolution: Resolution,
    ) -> Result<Vec<Option<State>>> {
        self.run(queue, |it| it.resolve(ids, resolution))
    }

    async fn discard_dead(&self, queue: &QueueName, age: Duration, max: usize) -> Result<u64> {
        self.run(queue, |it| it.discard_dead(whole_ms(age), max))
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<()> {
        self.know(queue);
        self.run(queue, |it| it.pause(paused))
    }

    async fn purge(&self, queue: &QueueName) -> Result<u64> {
        let mut cancelled = 0;
        loop {
            match self.run(queue, |it| it.purge(usize::MAX))? {
                0 => return Ok(cancelled),
                some => cancelled += some,
            }
        }
    }

    async fn make_due(&self, queue: &QueueName, ids: &[TaskId]) -> Result<u64> {
        self.run(queue, |it| it.make_due(ids))
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}

/// Enqueues those of the tasks that are good, together, and answers for all in their order.
fn checked(
    tasks: Vec<NewTask>,
    enqueue: impl FnOnce(&[NewTask]) -> Result<Vec<Enqueued>>,
) -> Vec<Result<Enqueued>> {
    let (good, refused) = sort_out(tasks);
    merge(enqueue(&good), refused)
}

/// The good tasks, and for each of all the tasks the refusal of a bad one.
pub(crate) fn sort_out(tasks: Vec<NewTask>) -> (Vec<NewTask>, Vec<Option<Error>>) {
    let mut good = Vec::with_capacity(tasks.len());
    let mut refused = Vec::with_capacity(tasks.len());
    for task in tasks {
        refused.push(task.check().err());
        if let Some(None) = refused.last() {
            good.push(task);
        }
    }
    (good, refused)
}

/// An answer for each task: its refusal, or the next of what became of the good ones.
pub(crate) fn merge(
    enqueued: Result<Vec<Enqueued>>,
    refused: Vec<Option<Error>>,
) -> Vec<Result<Enqueued>> {
    let (mut enqueued, again) = match enqueued {
        Ok(enqueued) => (enqueued.into_iter(), None),
        Err(failure) => (
            Vec::new().into_iter(),
            Some(crate::append::repeated(failure)),
        ),
    };
    let mut next = || match (enqueued.next(), &again) {
        (Some(answer), _) => Ok(answer),
        (None, Some(again)) => Err(again()),
        (None, None) => Err(Error::Corrupt("a task has no answer".into())),
    };
    let answers = refused.into_iter().map(|it| it.map_or_else(&mut next, Err));
    answers.collect()
}

pub(crate) fn worker_lost(queue: &QueueName, worker: WorkerId) -> Error {
    Error::WorkerLost {
        queue: queue.clone(),
        worker,
    }
}

pub(crate) fn fence_lost(task: TaskId, fence: Fence) -> Error {
    Error::FenceLost { task, fence }
}

/// Whole milliseconds; one that is too long for a `u64` is cut.
pub(crate) fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
