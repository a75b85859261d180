//! Background tasks in the file.
//!
//! The transitions are the [machine](crate::task::machine)'s; here they get a table for their map
//! ([`map`]), and the writer thread's transaction. If the process dies anywhere, a transition has
//! happened as a whole or not at all; an answered one is on the disk.

mod map;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::Notify;

use self::map::SqliteMap;
use super::SqliteStore;
use crate::Result;
use crate::append::repeated;
use crate::lease::WorkerId;
use crate::task::machine::Machine;
use crate::task::memory::{fence_lost, merge, sort_out, whole_ms, worker_lost};
use crate::task::{
    Beat, Enqueued, Fence, Finished, GroupStep, Label, Limits, NewGroup, NewSchedule, NewTask,
    Page, QueueName, QueueStatus, Resolution, ScheduleView, State, Take, TaskId, TaskStore,
    TaskView, Ticked,
};

/// How many tasks one transition enqueues or finishes: others wait for the file meanwhile.
const TASKS_AT_ONCE_MAX: usize = 250;

impl SqliteStore {
    /// Runs a transition.
    async fn transit<T, W>(&self, queue: &QueueName, transition: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Machine<'_, SqliteMap<'_>>) -> Result<T> + Send + 'static,
    {
        let queue = queue.clone();
        let work = move |connection: &Connection, now_ms| {
            let mut map = SqliteMap::open(connection, &queue)?;
            let mut machine = Machine::new(&mut map, now_ms);
            let answer = transition(&mut machine)?;
            Ok((answer, machine.has_news()?))
        };
        let (answer, has_news) = self.write(work).await?;
        if has_news {
            self.watch.tell();
        }
        Ok(answer)
    }

    /// Looks at a queue.
    async fn look_at<T, W>(&self, queue: &QueueName, look: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Machine<'_, SqliteMap<'_>>) -> Result<T> + Send + 'static,
    {
        let (queue, now_ms) = (queue.clone(), self.clock.now_ms());
        let read = move |connection: &Connection| {
            let mut map = SqliteMap::find(connection, &queue)?;
            look(&Machine::new(&mut map, now_ms))
        };
        self.readers.run(read).await
    }
}

#[async_trait]
impl TaskStore for SqliteStore {
    async fn enqueue(&self, queue: &QueueName, tasks: Vec<NewTask>) -> Vec<Result<Enqueued>> {
        let mut answers = Vec::with_capacity(tasks.len());
        let mut tasks = tasks.into_iter();
        loop {
            let portion: Vec<_> = tasks.by_ref().take(TASKS_AT_ONCE_MAX).collect();
            if portion.is_empty() {
                return answers;
            }
            let (good, refused) = sort_out(portion);
            let enqueued = self.transit(queue, move |it| it.enqueue(&good)).await;
            answers.extend(merge(enqueued, refused));
        }
    }

    async fn take(
        &self,
        queue: &QueueName,
        worker: WorkerId,
        max: usize,
        limits: &Limits,
    ) -> Result<Take> {
        limits.check()?;
        let limits = *limits;
        let taken = self.transit(queue, move |it| it.take(worker, max, &limits));
        taken.await?.ok_or_else(|| worker_lost(queue, worker))
    }

    async fn wait(
        &self,
        queues: &[QueueName],
        timeout: Duration,
        interrupt: &Notify,
    ) -> Result<Vec<usize>> {
        let queues = queues.to_vec();
        let look = move |connection: &Connection| {
            let mut found = Vec::new();
            for (i, queue) in queues.iter().enumerate() {
                let mut map = SqliteMap::find(connection, queue)?;
                if Machine::new(&mut map, 0).has_news()? {
                    found.push(i);
                }
            }
            Ok(found)
        };
        let look = Arc::new(look);
        self.watch.wait_for_tasks(look, timeout, interrupt).await
    }

    async fn finish(&self, queue: &QueueName, finished: Vec<Finished>) -> Vec<Result<State>> {
        let mut answers = Vec::with_capacity(finished.len());
        for portion in finished.chunks(TASKS_AT_ONCE_MAX) {
            let those = portion.to_vec();
            let states = self.transit(queue, move |machine| {
                let states = those.iter().map(|it| machine.finish(it));
                states.collect::<Result<Vec<_>>>()
            });
            match states.await {
                Ok(states) => answers.extend(
                    portion
                        .iter()
                        .zip(states)
                        .map(|(it, state)| state.ok_or_else(|| fence_lost(it.id, it.fence))),
                ),
                Err(failure) => {
                    let again = repeated(failure);
                    answers.extend(portion.iter().map(|_| Err(again())));
                }
            }
        }
        answers
    }

    async fn progress(
        &self,
        queue: &QueueName,
        id: TaskId,
        fence: Fence,
        progress: Bytes,
    ) -> Result<()> {
        let is_held = self.transit(queue, move |it| it.progress(id, fence, &progress));
        match is_held.await? {
            true => Ok(()),
            false => Err(fence_lost(id, fence)),
        }
    }

    async fn beat(&self, queue: &QueueName, worker: WorkerId, ttl: Duration) -> Result<Beat> {
        self.transit(queue, move |it| it.beat(worker, whole_ms(ttl)))
            .await
    }

    async fn leave(&self, queue: &QueueName, worker: WorkerId) -> Result<()> {
        self.transit(queue, move |it| it.leave(worker)).await
    }

    async fn recover(&self, queue: &QueueName, lost_max: u32) -> Result<Vec<(TaskId, State)>> {
        self.transit(queue, move |it| it.recover(lost_max)).await
    }

    async fn take_back(&self, queue: &QueueName, worker: WorkerId, known: Fence) -> Result<u64> {
        self.transit(queue, move |it| it.take_back(worker, known))
            .await
    }

    async fn result(&self, queue: &QueueName, id: TaskId) -> Result<Option<Bytes>> {
        self.look_at(queue, move |it| it.result(id)).await
    }

    async fn open_group(&self, queue: &QueueName, group: NewGroup) -> Result<()> {
        group.check()?;
        self.transit(queue, move |it| it.open_group(&group)).await
    }

    async fn group_member_done(
        &self,
        queue: &QueueName,
        group: &Label,
        member: TaskId,
    ) -> Result<GroupStep> {
        let group = group.clone();
        self.transit(queue, move |it| it.member_done(&group, member))
            .await
    }

    async fn declare_schedules(
        &self,
        queue: &QueueName,
        schedules: Vec<NewSchedule>,
    ) -> Result<()> {
        self.transit(queue, move |it| it.declare(&schedules)).await
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
        let name = schedule.clone();
        self.transit(queue, move |it| {
            it.tick(&name, tick_ms, &task, unless_running)
        })
        .await
    }

    async fn schedules(&self, queue: &QueueName) -> Result<Vec<ScheduleView>> {
        self.look_at(queue, |it| it.schedules()).await
    }

    async fn pause_schedule(&self, queue: &QueueName, name: &Label, paused: bool) -> Result<bool> {
        let name = name.clone();
        self.transit(queue, move |it| it.pause_schedule(&name, paused))
            .await
    }

    async fn remove_schedule(&self, queue: &QueueName, name: &Label) -> Result<bool> {
        let name = name.clone();
        self.transit(queue, move |it| it.remove_schedule(&name))
            .await
    }

    async fn queues(&self, app: &str) -> Result<Vec<QueueName>> {
        let app = app.to_owned();
        let read = move |connection: &Connection| {
            let mut statement =
                connection.prepare_cached("SELECT name FROM tidegate_task_queue WHERE app = ?1")?;
            let names = statement.query_map([&app], |row| row.get::<_, String>(0))?;
            let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
            let mut queues: Vec<_> = names
                .iter()
                .map(|name| QueueName::of_app(&app, name))
                .collect::<Result<_>>()?;
            queues.sort_unstable();
            Ok(queues)
        };
        self.readers.run(read).await
    }

    async fn status(&self, queue: &QueueName) -> Result<QueueStatus> {
        self.look_at(queue, |it| it.status()).await
    }

    async fn list(&self, queue: &QueueName, state: State, page: Page) -> Result<Vec<TaskView>> {
        self.look_at(queue, move |it| it.list(state, page)).await
    }

    async fn show(&self, queue: &QueueName, id: TaskId) -> Result<Option<TaskView>> {
        self.look_at(queue, move |it| it.show(id)).await
    }

    async fn cancel(&self, queue: &QueueName, ids: &[TaskId]) -> Result<Vec<Option<State>>> {
        let ids = ids.to_vec();
        self.transit(queue, move |it| it.cancel(&ids)).await
    }

    async fn resolve(
        &self,
        queue: &QueueName,
        ids: &[TaskId],
        resolution: Resolution,
    ) -> Result<Vec<Option<State>>> {
        let ids = ids.to_vec();
        self.transit(queue, move |it| it.resolve(&ids, resolution))
            .await
    }

    async fn discard_dead(&self, queue: &QueueName, age: Duration, max: usize) -> Result<u64> {
        self.transit(queue, move |it| it.discard_dead(whole_ms(age), max))
            .await
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<()> {
        self.transit(queue, move |it| it.pause(paused)).await
    }

    async fn purge(&self, queue: &QueueName) -> Result<u64> {
        let mut cancelled = 0;
        loop {
            match self
                .transit(queue, |it| it.purge(TASKS_AT_ONCE_MAX))
                .await?
            {
                0 => return Ok(cancelled),
                some => cancelled += some,
            }
        }
    }

    async fn make_due(&self, queue: &QueueName, ids: &[TaskId]) -> Result<u64> {
        let ids = ids.to_vec();
        self.transit(queue, move |it| it.make_due(&ids)).await
    }

    async fn ping(&self) -> Result<()> {
        crate::Store::ping(self).await
    }
}
