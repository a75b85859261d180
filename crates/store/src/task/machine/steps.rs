//! What all transitions are made of. Each has its like in `queue.lua` of the Redis backend.

use super::held::{Held, Span, priority_byte};
use super::map::{About, Key, Map, key};
use super::{Machine, id_of};
use crate::Result;
use crate::task::attempt::Failure;
use crate::task::listing::State;
use crate::task::name::Label;
use crate::task::new_task::{Due, Priority};

/// How an attempt ends.
#[derive(Clone, Debug)]
pub(super) enum End {
    Done,
    Cancelled,
    Retry(u64, Failure),
    /// Its worker has died, and it is tried again in its old place.
    Lost(Failure),
    Dead(Failure),
    Unknown(Failure),
    Returned,
}

pub(super) fn ready_key(priority: Priority, tenant: &str) -> Key {
    key(About::Ready).byte(priority_byte(priority)).text(tenant)
}

pub(super) fn ring_key(priority: Priority) -> Key {
    key(About::Ring).byte(priority_byte(priority))
}

impl<M: Map> Machine<'_, M> {
    /// When a time is that was asked for.
    pub(super) fn due_at(&self, due: Due) -> u64 {
        match due {
            Due::Now => 0,
            Due::At(at_ms) => at_ms,
            Due::In(time) => {
                let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                // As the other backend, which has no time of less than a millisecond.
                let ms = if time.is_zero() { 0 } else { ms.max(1) };
                self.now_ms.saturating_add(ms)
            }
        }
    }

    pub(super) fn push_ring(&mut self, priority: Priority, tenant: &str) -> Result<()> {
        let number = self.add("ring", 1)?;
        let at = ring_key(priority).number(number);
        self.map.put(&at, tenant.as_bytes())
    }

    pub(super) fn push_ready(&mut self, held: &mut Held, order: u64) -> Result<()> {
        let ready = ready_key(held.priority, held.tenant_text());
        if self.is_empty(&ready)? {
            let tenant = held.tenant_text().to_owned();
            self.push_ring(held.priority, &tenant)?;
        }
        self.map.put(&ready.number(order).id(held.id), b"")?;
        held.state = State::Ready;
        held.order = order;
        held.at_ms = 0;
        self.woken = true;
        self.keep(held)
    }

    pub(super) fn leave_ready(&mut self, held: &Held) -> Result<()> {
        let ready = ready_key(held.priority, held.tenant_text());
        let at = ready.clone().number(held.order).id(held.id);
        if !self.map.remove(&at)? || !self.is_empty(&ready)? {
            return Ok(());
        }
        let ring = ring_key(held.priority);
        for (number, tenant) in self.map.scan(&ring, 0, usize::MAX)? {
            if tenant == held.tenant_text().as_bytes() {
                self.map.remove(&ring.key(&number))?;
                break;
            }
        }
        Ok(())
    }

    /// To the ready ones, last or in the place that is given, or to the scheduled ones while it
    /// isn't due.
    pub(super) fn place(&mut self, held: &mut Held, due: u64, order: Option<u64>) -> Result<()> {
        if due <= self.now_ms {
            let order = order.map_or_else(|| self.add("order", 1), Ok)?;
            return self.push_ready(held, order);
        }
        let scheduled = key(About::Scheduled);
        let at = scheduled.clone().number(due).id(held.id);
        self.map.put(&at, b"")?;
        // Those who sleep until the first one is due have to hear of an earlier one.
        let first = self.map.scan(&scheduled, 0, 1)?;
        self.woken |= first.first().is_some_and(|(it, _)| at.ends_with(it));
        held.state = State::Scheduled;
        held.at_ms = due;
        self.keep(held)
    }

    pub(super) fn leave_scheduled(&mut self, held: &Held) -> Result<()> {
        let at = key(About::Scheduled).number(held.at_ms).id(held.id);
        self.map.remove(&at)?;
        Ok(())
    }

    /// To its place, or behind the others of its ordering key.
    pub(super) fn line_up(&mut self, held: &mut Held, due: u64, order: Option<u64>) -> Result<()> {
        if let Some(label) = held.ordering_key.clone() {
            let line = key(About::Line).text(label.as_str());
            let is_first = self.is_empty(&line)?;
            held.line = self.add("line", 1)?;
            self.map.put(&line.number(held.line).id(held.id), b"")?;
            if !is_first {
                held.state = State::Blocked;
                held.is_limited = false;
                held.at_ms = due;
                self.map.put(&key(About::Blocked).id(held.id), b"")?;
                return self.keep(held);
            }
        }
        self.place(held, due, order)
    }

    /// Gives up the unique key of a task.
    pub(super) fn free_unique(&mut self, held: &Held) -> Result<()> {
        let Some((Span::WhileQueued | Span::UntilDone, label)) = &held.unique else {
            return Ok(());
        };
        let at = key(About::Unique).text(label.as_str());
        let owner = self.map.get(&at)?;
        if owner.as_deref() == Some(held.id.uuid().as_bytes()) {
            self.map.remove(&at)?;
        }
        Ok(())
    }

    /// Gives up what a task holds that has come to an end: its unique key and its turn.
    pub(super) fn release(&mut self, held: &Held) -> Result<()> {
        self.free_unique(held)?;
        let Some(label) = &held.ordering_key else {
            return Ok(());
        };
        let line = key(About::Line).text(label.as_str());
        let at = line.clone().number(held.line).id(held.id);
        let first = |it: &Self| Ok::<_, crate::Error>(it.map.scan(&line, 0, 1)?.pop());
        let was_first = first(self)?.is_some_and(|(it, _)| at.ends_with(&it));
        self.map.remove(&at)?;
        let next = first(self)?.filter(|_| was_first);
        if let Some((next, _)) = next {
            let mut next = self.must_hold(id_of(&next)?)?;
            self.map.remove(&key(About::Blocked).id(next.id))?;
            let due = next.at_ms;
            self.place(&mut next, due, None)?;
        }
        Ok(())
    }

    /// Lets tasks that a limit of their key has held up be looked at again.
    pub(super) fn unblock_limited(&mut self, label: &Label, count: usize) -> Result<()> {
        let limited = key(About::Limited).text(label.as_str());
        for (at, _) in self.map.scan(&limited, 0, count)? {
            self.map.remove(&limited.clone().key(&at))?;
            let mut held = self.must_hold(id_of(&at)?)?;
            self.map.remove(&key(About::Blocked).id(held.id))?;
            let order = held.order;
            self.push_ready(&mut held, order)?;
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, held: &Held) -> Result<()> {
        self.map.remove(&key(About::Task).id(held.id))?;
        self.map.remove(&key(About::Body).id(held.id))?;
        Ok(())
    }

    /// Ends an attempt, and answers where the task is then.
    pub(super) fn settle(&mut self, mut held: Held, end: End) -> Result<State> {
        self.map.remove(&key(About::Running).id(held.id))?;
        self.map.remove(&key(About::Progress).id(held.id))?;
        if let Some(label) = held.limit_key.clone() {
            let at = key(About::Limits).text(label.as_str());
            match self.number(&at)? {
                0 | 1 => self.map.remove(&at).map(drop)?,
                more => self.map.put(&at, &(more - 1).to_be_bytes())?,
            }
            // Two for one: where the limit is higher than it was, as many as it allows run soon.
            self.unblock_limited(&label, 2)?;
        }
        held.holder = None;
        let is_cancelled = std::mem::take(&mut held.is_cancelling);
        let end = match end {
            End::Retry(..) | End::Lost(_) | End::Returned if is_cancelled => End::Cancelled,
            end => end,
        };
        match end {
            End::Done | End::Cancelled => {
                let is_done = matches!(end, End::Done);
                self.add(if is_done { "done" } else { "cancelled" }, 1)?;
                self.remove(&held)?;
                self.release(&held)?;
                Ok(if is_done {
                    State::Done
                } else {
                    State::Cancelled
                })
            }
            End::Returned => {
                let order = held.order;
                self.push_ready(&mut held, order)?;
                Ok(State::Ready)
            }
            End::Retry(due, failure) => {
                held.attempts += 1;
                held.failure = Some(failure);
                self.place(&mut held, due, None)?;
                Ok(held.state)
            }
            End::Lost(failure) => {
                held.attempts += 1;
                held.failure = Some(failure);
                let order = held.order;
                self.push_ready(&mut held, order)?;
                Ok(State::Ready)
            }
            End::Dead(failure) => {
                self.lay_aside(&mut held, State::Dead, Some(failure))?;
                self.release(&held)?;
                Ok(State::Dead)
            }
            End::Unknown(failure) => {
                self.lay_aside(&mut held, State::Unknown, Some(failure))?;
                Ok(State::Unknown)
            }
        }
    }

    /// To the dead or the unknown ones; with a failure, after an attempt.
    pub(super) fn lay_aside(
        &mut self,
        held: &mut Held,
        state: State,
        failure: Option<Failure>,
    ) -> Result<()> {
        if failure.is_some() {
            held.attempts += 1;
            held.failure = failure;
        }
        held.state = state;
        held.at_ms = self.now_ms;
        let at = aside_key(state).number(held.at_ms).id(held.id);
        self.map.put(&at, b"")?;
        self.keep(held)
    }
}

/// Where the dead or the unknown ones are.
pub(super) fn aside_key(state: State) -> Key {
    key(match state {
        State::Dead => About::Dead,
        _ => About::Unknown,
    })
}
