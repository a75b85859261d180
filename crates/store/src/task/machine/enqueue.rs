//! Enqueueing.

use super::held::{Held, Span};
use super::map::{About, Map, key};
use super::{Machine, id_of};
use crate::Result;
use crate::task::id::TaskId;
use crate::task::new_task::{Due, Enqueued, NewTask, OnLost, UniqueSpan};

impl<M: Map> Machine<'_, M> {
    /// See [`TaskStore::enqueue`](crate::task::TaskStore::enqueue). The tasks were
    /// [checked](NewTask::check).
    pub(crate) fn enqueue(&mut self, tasks: &[NewTask]) -> Result<Vec<Enqueued>> {
        self.sweep()?;
        let last = self.add("order", tasks.len() as u64)?;
        let first = last - tasks.len() as u64;
        let mut answers = Vec::with_capacity(tasks.len());
        // As the script does it: plain ones become ready together, after the others.
        let mut plain = Vec::new();
        for (order, task) in (first + 1..).zip(tasks) {
            let former = match is_plain(task) {
                true => self.held(task.id)?.map(|it| it.id),
                false => self.enqueue_one(task, Some(order))?,
            };
            if former.is_none() && is_plain(task) {
                let held = Held::new(task, self.now_ms);
                self.record(task, &held)?;
                plain.push((held, order));
            }
            answers.push(former.map_or(Enqueued::Accepted, Enqueued::Duplicate));
        }
        for (held, order) in &mut plain {
            self.push_ready(held, *order)?;
        }
        self.wake()?;
        Ok(answers)
    }

    /// Enqueues a task of any kind. Answers the task that is there before it.
    pub(super) fn enqueue_one(
        &mut self,
        task: &NewTask,
        order: Option<u64>,
    ) -> Result<Option<TaskId>> {
        if let Some(former) = self.former(task)? {
            return Ok(Some(former));
        }
        let id = task.id.uuid();
        if let Some(once) = &task.idempotency {
            let ends_at_ms = self.due_at(Due::In(once.lifetime)).max(self.now_ms + 1);
            let at = key(About::Once).text(once.key.as_str());
            self.put_until(&at, ends_at_ms, id.as_bytes())?;
        }
        if let Some(unique) = &task.unique {
            let text = unique.key.as_str();
            match unique.span {
                UniqueSpan::For(time) => {
                    let ends_at_ms = self.due_at(Due::In(time)).max(self.now_ms + 1);
                    let at = key(About::UniqueFor).text(text);
                    self.put_until(&at, ends_at_ms, id.as_bytes())?;
                }
                UniqueSpan::WhileQueued | UniqueSpan::UntilDone => {
                    let at = key(About::Unique).text(text);
                    self.map.put(&at, id.as_bytes())?;
                }
            }
        }
        let mut held = Held::new(task, self.now_ms);
        self.record(task, &held)?;
        let due = self.due_at(task.due);
        self.line_up(&mut held, due, order)?;
        Ok(None)
    }

    fn former(&self, task: &NewTask) -> Result<Option<TaskId>> {
        if let Some(once) = &task.idempotency {
            let at = key(About::Once).text(once.key.as_str());
            if let Some((_, id)) = self.get_until(&at)? {
                return id_of(&id).map(Some);
            }
        }
        if self.held(task.id)?.is_some() {
            return Ok(Some(task.id));
        }
        let Some(unique) = &task.unique else {
            return Ok(None);
        };
        let text = unique.key.as_str();
        let owner = match unique.span {
            UniqueSpan::For(_) => {
                let kept = self.get_until(&key(About::UniqueFor).text(text))?;
                kept.map(|(_, id)| id)
            }
            UniqueSpan::WhileQueued | UniqueSpan::UntilDone => {
                self.map.get(&key(About::Unique).text(text))?
            }
        };
        owner.map(|id| id_of(&id)).transpose()
    }

    fn record(&mut self, task: &NewTask, held: &Held) -> Result<()> {
        let options_len = (task.options.len() as u64).to_be_bytes();
        let body = [&options_len[..], &task.options, &task.payload].concat();
        self.map.put(&key(About::Body).id(task.id), &body)?;
        self.add("enqueued", 1)?;
        self.keep(held)
    }

    /// Takes the unique key of a task again, if it is free.
    pub(super) fn take_unique_again(&mut self, held: &Held) -> Result<()> {
        let Some((Span::WhileQueued | Span::UntilDone, label)) = &held.unique else {
            return Ok(());
        };
        let at = key(About::Unique).text(label.as_str());
        if !self.is_there(&at)? {
            self.map.put(&at, held.id.uuid().as_bytes())?;
        }
        Ok(())
    }
}

/// Whether a task has no conditions.
fn is_plain(task: &NewTask) -> bool {
    let is_now = match task.due {
        Due::Now => true,
        Due::In(_) | Due::At(_) => false,
    };
    is_now
        && task.tenant.is_none()
        && task.ordering_key.is_none()
        && task.limit_key.is_none()
        && task.unique.is_none()
        && task.idempotency.is_none()
        && task.on_lost == OnLost::Repeat
}
