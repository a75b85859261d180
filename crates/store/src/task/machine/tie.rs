//! Groups and schedules.

use bytes::Bytes;

use super::held::take_number;
use super::map::{About, Map, key};
use super::{Machine, corrupt, id_of};
use crate::Result;
use crate::task::group::{GroupStep, NewGroup};
use crate::task::id::TaskId;
use crate::task::listing::State;
use crate::task::name::Label;
use crate::task::new_task::{Due, NewTask};
use crate::task::schedule::{self, NewSchedule, SCHEDULES_MAX, ScheduleView, Ticked};

/// How many members of a group that has come to its end are forgotten at once.
const MEMBERS_FORGOTTEN_MAX: usize = 1_000;

impl<M: Map> Machine<'_, M> {
    /// See [`TaskStore::open_group`](crate::task::TaskStore::open_group). The group was
    /// [checked](NewGroup::check).
    pub(crate) fn open_group(&mut self, group: &NewGroup) -> Result<()> {
        self.sweep()?;
        let at = key(About::Callback).text(group.id.as_str());
        if self.get_until(&at)?.is_some() {
            return Ok(());
        }
        for member in &group.members {
            let member = key(About::Member).text(group.id.as_str()).id(*member);
            self.map.put(&member, b"")?;
        }
        let ends_at_ms = self.due_at(Due::In(group.lifetime)).max(self.now_ms + 1);
        self.put_until(&at, ends_at_ms, &group.callback.to_bytes())
    }

    /// See [`TaskStore::group_member_done`](crate::task::TaskStore::group_member_done).
    pub(crate) fn member_done(&mut self, group: &Label, member: TaskId) -> Result<GroupStep> {
        let at = key(About::Callback).text(group.as_str());
        let kept = self.get_until(&at)?.filter(|(_, it)| !it.is_empty());
        let Some((ends_at_ms, callback)) = kept else {
            return Ok(GroupStep::Over);
        };
        let members = key(About::Member).text(group.as_str());
        self.map.remove(&members.clone().id(member))?;
        let left = self.map.count(&members)?;
        if left > 0 {
            return Ok(GroupStep::Waiting(left));
        }
        // Without a callback it is remembered as complete, for the rest of its lifetime.
        self.put_until(&at, ends_at_ms, b"")?;
        let callback = NewTask::from_bytes(&Bytes::from(callback))?;
        self.enqueue_one(&callback, None)?;
        self.wake()?;
        Ok(GroupStep::Completed)
    }

    /// Forgets the members of a group whose callback was kept here.
    pub(super) fn forget_members(&mut self, callback_at: &[u8]) -> Result<()> {
        let Some((letter, group)) = callback_at.split_first() else {
            return Ok(());
        };
        if *letter != About::Callback as u8 {
            return Ok(());
        }
        let members = key(About::Member).key(group);
        for (id, _) in self.map.scan(&members, 0, MEMBERS_FORGOTTEN_MAX)? {
            self.map.remove(&members.clone().key(&id))?;
        }
        Ok(())
    }

    /// See [`TaskStore::declare_schedules`](crate::task::TaskStore::declare_schedules).
    pub(crate) fn declare(&mut self, schedules: &[NewSchedule]) -> Result<()> {
        let mut there = self.map.count(&key(About::Schedule))?;
        for new in schedules {
            there += u64::from(self.schedule(&new.name)?.is_none());
        }
        if usize::try_from(there).map_or(true, |there| there > SCHEDULES_MAX) {
            return Err(schedule::too_many());
        }
        for new in schedules {
            let mut schedule = match self.schedule(&new.name)? {
                Some(schedule) => schedule,
                None => Schedule::new(self.now_ms),
            };
            schedule.definition = new.definition.to_vec();
            self.keep_schedule(&new.name, &schedule)?;
        }
        Ok(())
    }

    fn schedule(&self, name: &Label) -> Result<Option<Schedule>> {
        let value = self.map.get(&key(About::Schedule).text(name.as_str()))?;
        value.map(|value| Schedule::read(&value)).transpose()
    }

    fn keep_schedule(&mut self, name: &Label, schedule: &Schedule) -> Result<()> {
        let at = key(About::Schedule).text(name.as_str());
        self.map.put(&at, &schedule.write())
    }

    /// See [`TaskStore::tick`](crate::task::TaskStore::tick). The task was
    /// [checked](NewTask::check).
    pub(crate) fn tick(
        &mut self,
        name: &Label,
        tick_ms: u64,
        task: &NewTask,
        unless_running: bool,
    ) -> Result<Ticked> {
        let Some(mut schedule) = self.schedule(name)? else {
            return Ok(Ticked::Unknown);
        };
        if tick_ms <= schedule.last_tick_ms {
            return Ok(Ticked::Late);
        }
        schedule.last_tick_ms = tick_ms;
        if schedule.is_paused {
            self.keep_schedule(name, &schedule)?;
            return Ok(Ticked::Paused);
        }
        if let Some(last) = schedule.last_task.filter(|_| unless_running) {
            let is_about = self.held(last)?.is_some_and(|it| it.state != State::Dead);
            if is_about {
                self.keep_schedule(name, &schedule)?;
                return Ok(Ticked::Skipped(last));
            }
        }
        let former = self.enqueue_one(task, None)?;
        if former.is_none() {
            schedule.last_task = Some(task.id);
        }
        self.keep_schedule(name, &schedule)?;
        self.wake()?;
        Ok(former.map_or(Ticked::Enqueued, Ticked::Skipped))
    }

    /// The schedules, by name.
    pub(crate) fn schedules(&self) -> Result<Vec<ScheduleView>> {
        let all = self.map.scan(&key(About::Schedule), 0, usize::MAX)?;
        let views = all.into_iter().map(|(name, value)| {
            let name = String::from_utf8(name).map_err(|_source| corrupt("a schedule"))?;
            let schedule = Schedule::read(&value)?;
            Ok(ScheduleView {
                name: Label::new(name.trim_end_matches('\0'))?,
                definition: Bytes::from(schedule.definition),
                last_tick_ms: schedule.last_tick_ms,
                last_task: schedule.last_task,
                is_paused: schedule.is_paused,
            })
        });
        views.collect()
    }

    /// Pauses or resumes a schedule. Answers whether there is one.
    pub(crate) fn pause_schedule(&mut self, name: &Label, paused: bool) -> Result<bool> {
        let Some(mut schedule) = self.schedule(name)? else {
            return Ok(false);
        };
        schedule.is_paused = paused;
        self.keep_schedule(name, &schedule)?;
        Ok(true)
    }

    /// Forgets a schedule. Answers whether there was one.
    pub(crate) fn remove_schedule(&mut self, name: &Label) -> Result<bool> {
        self.map.remove(&key(About::Schedule).text(name.as_str()))
    }
}

/// A schedule as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    last_tick_ms: u64,
    is_paused: bool,
    last_task: Option<TaskId>,
    definition: Vec<u8>,
}

impl Schedule {
    fn new(now_ms: u64) -> Self {
        Self {
            last_tick_ms: now_ms,
            is_paused: false,
            last_task: None,
            definition: Vec::new(),
        }
    }

    fn write(&self) -> Vec<u8> {
        let task = self.last_task.map_or([0; 16], |it| *it.uuid().as_bytes());
        let flags = [u8::from(self.is_paused), u8::from(self.last_task.is_some())];
        let tick = self.last_tick_ms.to_be_bytes();
        [&tick[..], &flags, &task, &self.definition].concat()
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let lacks = || corrupt("a schedule");
        let mut rest = bytes;
        let last_tick_ms = take_number(&mut rest).ok_or_else(lacks)?;
        let ([is_paused, has_task], rest) = rest.split_first_chunk().ok_or_else(lacks)?;
        let (task, definition) = rest.split_first_chunk::<16>().ok_or_else(lacks)?;
        let last_task = (*has_task == 1).then(|| id_of(task)).transpose()?;
        Ok(Self {
            last_tick_ms,
            is_paused: *is_paused == 1,
            last_task,
            definition: definition.to_vec(),
        })
    }
}
