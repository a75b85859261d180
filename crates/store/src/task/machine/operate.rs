//! What an operator sees and does.

use std::collections::HashMap;

use bytes::Bytes;

use super::finish::worker_of;
use super::held::{Held, take_number};
use super::map::{About, Map, key};
use super::steps::{aside_key, ready_key, ring_key};
use super::{Machine, corrupt, id_of, number};
use crate::Result;
use crate::task::id::TaskId;
use crate::task::listing::{
    Counts, PAGE_TASKS_MAX, Page, QueueStatus, Resolution, State, TaskView, WorkerView,
};
use crate::task::new_task::Priority;

impl<M: Map> Machine<'_, M> {
    /// See [`TaskStore::status`](crate::task::TaskStore::status).
    pub(crate) fn status(&self) -> Result<QueueStatus> {
        let count = |about| self.map.count(&key(about));
        let counts = Counts {
            enqueued: self.counter("enqueued")?,
            done: self.counter("done")?,
            cancelled: self.counter("cancelled")?,
            discarded: self.counter("discarded")?,
            scheduled: count(About::Scheduled)?,
            ready: count(About::Ready)?,
            blocked: count(About::Blocked)?,
            running: count(About::Running)?,
            dead: count(About::Dead)?,
            unknown: count(About::Unknown)?,
            held: count(About::Task)?,
        };
        let mut held: HashMap<_, u64> = HashMap::new();
        for (worker, _) in self.running()?.into_iter().filter_map(|it| it.holder) {
            *held.entry(worker).or_default() += 1;
        }
        let mut workers = Vec::new();
        for (name, ends_at_ms) in self.map.scan(&key(About::Worker), 0, usize::MAX)? {
            let worker = worker_of(&name)?;
            workers.push(WorkerView {
                worker,
                ends_in_ms: number(&ends_at_ms)?.saturating_sub(self.now_ms),
                running: held.get(&worker).copied().unwrap_or_default(),
            });
        }
        workers.sort_unstable_by_key(|it| it.worker);
        Ok(QueueStatus {
            counts,
            is_paused: self.is_there(&key(About::Paused))?,
            workers,
        })
    }

    /// See [`TaskStore::list`](crate::task::TaskStore::list).
    pub(crate) fn list(&self, state: State, page: Page) -> Result<Vec<TaskView>> {
        let limit = page.limit.min(PAGE_TASKS_MAX);
        let about = match state {
            State::Scheduled => About::Scheduled,
            State::Blocked => About::Blocked,
            State::Running => About::Running,
            State::Dead => About::Dead,
            State::Unknown => About::Unknown,
            State::Ready => return self.list_ready(page.offset, limit),
            State::Done | State::Cancelled | State::Discarded => return Ok(Vec::new()),
        };
        let found = self.map.scan(&key(about), page.offset, limit)?;
        let views = found
            .iter()
            .map(|(at, _)| self.view(self.must_hold(id_of(at)?)?));
        views.collect()
    }

    fn list_ready(&self, mut skip: usize, limit: usize) -> Result<Vec<TaskView>> {
        let mut views = Vec::new();
        for priority in Priority::ALL {
            for (_, tenant) in self.map.scan(&ring_key(priority), 0, usize::MAX)? {
                let left = limit - views.len();
                if left == 0 {
                    return Ok(views);
                }
                let tenant = String::from_utf8(tenant).map_err(|_source| corrupt("a tenant"))?;
                let ready = ready_key(priority, &tenant);
                for (at, _) in self.map.scan(&ready, skip, left)? {
                    views.push(self.view(self.must_hold(id_of(&at)?)?)?);
                }
                let count = usize::try_from(self.map.count(&ready)?).unwrap_or(usize::MAX);
                skip = skip.saturating_sub(count);
            }
        }
        Ok(views)
    }

    /// See [`TaskStore::show`](crate::task::TaskStore::show).
    pub(crate) fn show(&self, id: TaskId) -> Result<Option<TaskView>> {
        self.held(id)?.map(|held| self.view(held)).transpose()
    }

    fn view(&self, held: Held) -> Result<TaskView> {
        let (options, payload) = self.body(held.id)?;
        let is_running = held.state == State::Running;
        let has_time = !matches!(held.state, State::Ready | State::Blocked);
        let progress = self.map.get(&key(About::Progress).id(held.id))?;
        Ok(TaskView {
            id: held.id,
            name: held.name,
            state: held.state,
            payload,
            options,
            priority: held.priority,
            ordering_key: held.ordering_key,
            limit_key: held.limit_key,
            tenant: held.tenant,
            enqueued_at_ms: held.enqueued_at_ms,
            at_ms: if has_time { held.at_ms } else { 0 },
            attempts: held.attempts + u32::from(is_running),
            lost: held.lost,
            failure: held.failure,
            holder: held.holder,
            is_cancelling: held.is_cancelling,
            progress: progress.map(Bytes::from),
        })
    }

    /// Options and payload of a task.
    pub(super) fn body(&self, id: TaskId) -> Result<(Bytes, Bytes)> {
        let body = self.map.get(&key(About::Body).id(id))?;
        let body = Bytes::from(body.ok_or_else(|| corrupt("a task's arguments"))?);
        let mut rest = &*body;
        let len = take_number(&mut rest).and_then(|len| usize::try_from(len).ok());
        let parts = len.and_then(|len| rest.split_at_checked(len));
        let (options, payload) = parts.ok_or_else(|| corrupt("a task's arguments"))?;
        Ok((body.slice_ref(options), body.slice_ref(payload)))
    }

    /// See [`TaskStore::cancel`](crate::task::TaskStore::cancel).
    pub(crate) fn cancel(&mut self, ids: &[TaskId]) -> Result<Vec<Option<State>>> {
        let states = ids.iter().map(|id| self.cancel_one(*id)).collect();
        self.wake()?;
        states
    }

    fn cancel_one(&mut self, id: TaskId) -> Result<Option<State>> {
        let Some(mut held) = self.held(id)? else {
            return Ok(None);
        };
        match held.state {
            State::Running => {
                held.is_cancelling = true;
                self.keep(&held)?;
                return Ok(Some(State::Running));
            }
            State::Scheduled => self.leave_scheduled(&held)?,
            State::Ready => self.leave_ready(&held)?,
            State::Blocked => {
                self.map.remove(&key(About::Blocked).id(id))?;
                if let Some(label) = held.limit_key.as_ref().filter(|_| held.is_limited) {
                    let limited = key(About::Limited).text(label.as_str());
                    self.map.remove(&limited.number(held.order).id(id))?;
                }
            }
            state => return Ok(Some(state)),
        }
        self.add("cancelled", 1)?;
        self.remove(&held)?;
        self.release(&held)?;
        Ok(Some(State::Cancelled))
    }

    /// Cancels up to `max` of the tasks that have not begun. Returns how many.
    pub(crate) fn purge(&mut self, max: usize) -> Result<u64> {
        let mut cancelled = 0;
        // The blocked ones first: no cancelled task lets one of them through.
        for about in [About::Blocked, About::Scheduled, About::Ready] {
            for (at, _) in self.map.scan(&key(about), 0, max)? {
                let state = self.cancel_one(id_of(&at)?)?;
                cancelled += u64::from(state == Some(State::Cancelled));
            }
        }
        self.wake()?;
        Ok(cancelled)
    }

    /// See [`TaskStore::resolve`](crate::task::TaskStore::resolve).
    pub(crate) fn resolve(
        &mut self,
        ids: &[TaskId],
        resolution: Resolution,
    ) -> Result<Vec<Option<State>>> {
        let states = ids.iter().map(|id| self.resolve_one(*id, resolution));
        let states = states.collect();
        self.wake()?;
        states
    }

    fn resolve_one(&mut self, id: TaskId, resolution: Resolution) -> Result<Option<State>> {
        let Some(mut held) = self.held(id)? else {
            return Ok(None);
        };
        let from = held.state;
        if !matches!(from, State::Dead | State::Unknown) {
            return Ok(None);
        }
        if from == State::Dead && resolution == Resolution::Dead {
            return Ok(Some(State::Dead));
        }
        let at = aside_key(from).number(held.at_ms).id(id);
        self.map.remove(&at)?;
        if resolution == Resolution::Retry {
            (held.attempts, held.lost, held.failure) = (0, 0, None);
            if from == State::Unknown {
                self.place(&mut held, 0, None)?;
            } else {
                // A dead one has given up its unique key and its turn. Where another has the key
                // now, it runs without.
                self.take_unique_again(&held)?;
                self.line_up(&mut held, 0, None)?;
            }
            return Ok(Some(held.state));
        }
        let state = match resolution {
            Resolution::Dead => State::Dead,
            Resolution::Discard => State::Discarded,
            Resolution::Done | Resolution::Retry => State::Done,
        };
        match state {
            State::Dead => self.lay_aside(&mut held, State::Dead, None)?,
            State::Discarded => self.discard(&held)?,
            _ => {
                self.add("done", 1)?;
                self.remove(&held)?;
            }
        }
        if from == State::Unknown {
            self.release(&held)?;
        }
        Ok(Some(state))
    }

    fn discard(&mut self, held: &Held) -> Result<()> {
        self.add("discarded", 1)?;
        self.remove(held)
    }

    /// Throws away up to `max` dead letters that are older than so many milliseconds.
    pub(crate) fn discard_dead(&mut self, age_ms: u64, max: usize) -> Result<u64> {
        let dead = key(About::Dead);
        let mut discarded = 0;
        for (at, _) in self.map.scan(&dead, 0, max)? {
            if number(&at)?.saturating_add(age_ms) > self.now_ms {
                break;
            }
            self.map.remove(&dead.clone().key(&at))?;
            let held = self.must_hold(id_of(&at)?)?;
            self.discard(&held)?;
            discarded += 1;
        }
        Ok(discarded)
    }

    /// Lets nothing be taken, or something again.
    pub(crate) fn pause(&mut self, paused: bool) -> Result<()> {
        if paused {
            return self.map.put(&key(About::Paused), b"");
        }
        self.map.remove(&key(About::Paused))?;
        self.woken = true;
        self.wake()
    }

    /// See [`TaskStore::make_due`](crate::task::TaskStore::make_due).
    pub(crate) fn make_due(&mut self, ids: &[TaskId]) -> Result<u64> {
        let mut moved = 0;
        for id in ids {
            let scheduled = |it: &Held| it.state == State::Scheduled;
            if let Some(mut held) = self.held(*id)?.filter(scheduled) {
                self.leave_scheduled(&held)?;
                self.place(&mut held, 0, None)?;
                moved += 1;
            }
        }
        self.wake()?;
        Ok(moved)
    }
}
