//! Ends of attempts, and signs of life.

use bytes::Bytes;

use super::held::Held;
use super::map::{About, Map, key};
use super::steps::End;
use super::{Machine, corrupt, id_of};
use crate::Result;
use crate::lease::WorkerId;
use crate::task::attempt::{Beat, Failure, Finished, Outcome};
use crate::task::id::{Fence, TaskId};
use crate::task::listing::State;
use crate::task::new_task::{Due, OnLost};

impl<M: Map> Machine<'_, M> {
    /// Says what came of one attempt; none where the task is not in those hands.
    pub(crate) fn finish(&mut self, finished: &Finished) -> Result<Option<State>> {
        let Some(held) = self.held_by(finished.id, finished.fence)? else {
            return Ok(None);
        };
        if let Some(result) = &finished.result {
            let at = key(About::Kept).id(finished.id);
            let ends_at_ms = self.due_at(Due::In(result.lifetime)).max(self.now_ms + 1);
            self.put_until(&at, ends_at_ms, &result.bytes)?;
        }
        let end = match &finished.outcome {
            Outcome::Done => End::Done,
            Outcome::Cancelled => End::Cancelled,
            Outcome::Returned => End::Returned,
            Outcome::Retry { due, failure } => End::Retry(self.due_at(*due), failure.kept()),
            Outcome::Dead(failure) => End::Dead(failure.kept()),
            Outcome::Unknown(failure) => End::Unknown(failure.kept()),
        };
        let state = self.settle(held, end)?;
        self.end_starving()?;
        self.wake()?;
        Ok(Some(state))
    }

    fn end_starving(&mut self) -> Result<()> {
        self.woken |= self.map.remove(&key(About::Starved))?;
        Ok(())
    }

    fn held_by(&self, id: TaskId, fence: Fence) -> Result<Option<Held>> {
        let is_this = |it: &Held| it.holder.is_some_and(|(_, its)| its == fence);
        Ok(self.held(id)?.filter(is_this))
    }

    /// Notes how far an attempt is; false where the task is not in those hands.
    pub(crate) fn progress(&mut self, id: TaskId, fence: Fence, progress: &[u8]) -> Result<bool> {
        let is_held = self.held_by(id, fence)?.is_some();
        if is_held {
            self.map.put(&key(About::Progress).id(id), progress)?;
        }
        Ok(is_held)
    }

    /// A sign of life that runs out after so many milliseconds.
    pub(crate) fn beat(&mut self, worker: WorkerId, ttl_ms: u64) -> Result<Beat> {
        let at = key(About::Worker).text(&worker.to_string());
        let ends_at_ms = self.now_ms.saturating_add(ttl_ms.max(1));
        self.map.put(&at, &ends_at_ms.to_be_bytes())?;
        let mut cancelled = Vec::new();
        for held in self.running()? {
            let is_mine = held.holder.is_some_and(|(holder, _)| holder == worker);
            if held.is_cancelling && is_mine {
                cancelled.push(held.id);
            }
        }
        Ok(Beat { cancelled })
    }

    /// Says that a worker is gone.
    pub(crate) fn leave(&mut self, worker: WorkerId) -> Result<()> {
        let at = key(About::Worker).text(&worker.to_string());
        if self.is_there(&at)? {
            self.map.put(&at, &0_u64.to_be_bytes())?;
        }
        Ok(())
    }

    /// The tasks in workers' hands, by id.
    pub(super) fn running(&self) -> Result<Vec<Held>> {
        let ids = self.map.scan(&key(About::Running), 0, usize::MAX)?;
        let ids = ids.iter().map(|(id, _)| self.must_hold(id_of(id)?));
        ids.collect()
    }

    /// See [`TaskStore::recover`](crate::task::TaskStore::recover).
    pub(crate) fn recover(&mut self, lost_max: u32) -> Result<Vec<(TaskId, State)>> {
        let mut gone = Vec::new();
        let workers = key(About::Worker);
        for (name, ends_at_ms) in self.map.scan(&workers, 0, usize::MAX)? {
            if super::number(&ends_at_ms)? <= self.now_ms {
                self.map.remove(&workers.clone().key(&name))?;
                gone.push(worker_of(&name)?);
            }
        }
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        let mut recovered = Vec::new();
        for mut held in self.running()? {
            let holder = held.holder.map(|(holder, _)| holder);
            let Some(worker) = holder.filter(|it| gone.contains(it)) else {
                continue;
            };
            held.lost += 1;
            let failure = Failure {
                reason: "lost".into(),
                error: format!("worker {worker} has died"),
            };
            let end = match held.on_lost {
                _ if held.is_cancelling => End::Cancelled,
                OnLost::Park => End::Unknown(failure),
                OnLost::Repeat if held.lost >= lost_max => End::Dead(failure),
                OnLost::Repeat => End::Lost(failure),
            };
            recovered.push((held.id, self.settle(held, end)?));
        }
        self.end_starving()?;
        self.wake()?;
        Ok(recovered)
    }

    /// See [`TaskStore::take_back`](crate::task::TaskStore::take_back).
    pub(crate) fn take_back(&mut self, worker: WorkerId, known: Fence) -> Result<u64> {
        let mut back = 0;
        for held in self.running()? {
            let is_unknown = |(holder, fence)| holder == worker && fence > known;
            if held.holder.is_some_and(is_unknown) {
                self.settle(held, End::Returned)?;
                back += 1;
            }
        }
        if back > 0 {
            self.end_starving()?;
            self.wake()?;
        }
        Ok(back)
    }

    /// The result that is kept for a task.
    pub(crate) fn result(&self, id: TaskId) -> Result<Option<Bytes>> {
        let kept = self.get_until(&key(About::Kept).id(id))?;
        Ok(kept.map(|(_, bytes)| Bytes::from(bytes)))
    }
}

/// The worker whose name is at the end of a key.
pub(super) fn worker_of(name: &[u8]) -> Result<WorkerId> {
    let text = std::str::from_utf8(name).map_err(|_source| corrupt("a worker"))?;
    text.trim_end_matches('\0').parse()
}
