//! What a queue knows of a task it holds, and how that is written.

use uuid::Uuid;

use crate::lease::WorkerId;
use crate::task::attempt::Failure;
use crate::task::id::{Fence, TaskId};
use crate::task::listing::State;
use crate::task::name::{Label, TaskName};
use crate::task::new_task::{NewTask, OnLost, Priority, UniqueSpan};
use crate::{Error, Result};

/// What a unique key's span comes down to while the task is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    WhileQueued,
    UntilDone,
    /// The key ends by itself.
    For,
}

/// A task in a queue, but for its options and payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: TaskId,
    pub(super) name: TaskName,
    pub(super) state: State,
    pub(super) priority: Priority,
    pub(super) tenant: Option<Label>,
    pub(super) ordering_key: Option<Label>,
    pub(super) limit_key: Option<Label>,
    pub(super) unique: Option<(Span, Label)>,
    pub(super) on_lost: OnLost,
    pub(super) enqueued_at_ms: u64,
    /// When it is due, or since when it is dead, unknown or running.
    pub(super) at_ms: u64,
    /// Its place among the ready ones, since it was last there.
    pub(super) order: u64,
    /// Its place among those of its ordering key.
    pub(super) line: u64,
    /// Whether it is blocked by a limit and not by its ordering key.
    pub(super) is_limited: bool,
    /// Attempts that were counted, without the one that is under way.
    pub(super) attempts: u32,
    pub(super) lost: u32,
    pub(super) failure: Option<Failure>,
    /// Of a running task.
    pub(super) holder: Option<(WorkerId, Fence)>,
    pub(super) is_cancelling: bool,
}

impl Held {
    /// A task that was not there before.
    pub(super) fn new(task: &NewTask, now_ms: u64) -> Self {
        let span = |span| match span {
            UniqueSpan::WhileQueued => Span::WhileQueued,
            UniqueSpan::UntilDone => Span::UntilDone,
            UniqueSpan::For(_) => Span::For,
        };
        Self {
            id: task.id,
            name: task.name.clone(),
            state: State::Ready,
            priority: task.priority,
            tenant: task.tenant.clone(),
            ordering_key: task.ordering_key.clone(),
            limit_key: task.limit_key.clone(),
            unique: task
                .unique
                .as_ref()
                .map(|it| (span(it.span), it.key.clone())),
            on_lost: task.on_lost,
            enqueued_at_ms: now_ms,
            at_ms: 0,
            order: 0,
            line: 0,
            is_limited: false,
            attempts: 0,
            lost: 0,
            failure: None,
            holder: None,
            is_cancelling: false,
        }
    }

    /// The tenant's label, or nothing.
    pub(super) fn tenant_text(&self) -> &str {
        self.tenant.as_ref().map_or("", Label::as_str)
    }

    /// All of it, as bytes.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        let span = match self.unique.as_ref().map(|(span, _)| span) {
            None => 0,
            Some(Span::WhileQueued) => 1,
            Some(Span::UntilDone) => 2,
            Some(Span::For) => 3,
        };
        out.extend([
            state_byte(self.state),
            priority_byte(self.priority),
            u8::from(self.on_lost == OnLost::Park),
            u8::from(self.is_limited),
            u8::from(self.is_cancelling),
            u8::from(self.failure.is_some()),
            u8::from(self.holder.is_some()),
            span,
        ]);
        let (worker, fence) = self
            .holder
            .unwrap_or((WorkerId::new(Uuid::nil()), Fence(0)));
        for number in [
            self.enqueued_at_ms,
            self.at_ms,
            self.order,
            self.line,
            u64::from(self.attempts),
            u64::from(self.lost),
            fence.0,
        ] {
            out.extend(number.to_be_bytes());
        }
        let label = |label: &Option<Label>| label.as_ref().map_or("", Label::as_str).to_owned();
        let failure = self.failure.clone().unwrap_or_default();
        let unique = self.unique.as_ref().map_or("", |(_, key)| key.as_str());
        for text in [
            self.name.as_str(),
            &label(&self.tenant),
            &label(&self.ordering_key),
            &label(&self.limit_key),
            unique,
            &worker.to_string(),
            &failure.reason,
            &failure.error,
        ] {
            out.extend((text.len() as u64).to_be_bytes());
            out.extend(text.as_bytes());
        }
        out
    }

    /// Reads what [`write`](Self::write) wrote.
    pub(super) fn read(id: TaskId, bytes: &[u8]) -> Result<Self> {
        Self::try_read(id, bytes).ok_or_else(|| Error::Corrupt(format!("the record of task {id}")))
    }

    fn try_read(id: TaskId, bytes: &[u8]) -> Option<Self> {
        let (flags, mut rest) = bytes.split_first_chunk::<8>()?;
        let [
            state,
            priority,
            park,
            limited,
            cancelling,
            failed,
            is_held,
            span,
        ] = *flags;
        let mut numbers = [0; 7];
        for number in &mut numbers {
            *number = take_number(&mut rest)?;
        }
        let [enqueued_at_ms, at_ms, order, line, attempts, lost, fence] = numbers;
        let mut texts = <[&str; 8]>::default();
        for text in &mut texts {
            let len = usize::try_from(take_number(&mut rest)?).ok()?;
            let (head, tail) = rest.split_at_checked(len)?;
            *text = std::str::from_utf8(head).ok()?;
            rest = tail;
        }
        let [
            name,
            tenant,
            ordering_key,
            limit_key,
            unique,
            worker,
            reason,
            error,
        ] = texts;
        let span = match span {
            0 => None,
            1 => Some(Span::WhileQueued),
            2 => Some(Span::UntilDone),
            3 => Some(Span::For),
            _ => return None,
        };
        let holder = (worker.parse().ok()?, Fence(fence));
        let failure = Failure {
            reason: reason.to_owned(),
            error: error.to_owned(),
        };
        Some(Self {
            id,
            name: TaskName::new(name).ok()?,
            state: state_of(state)?,
            priority: priority_of(priority)?,
            tenant: label(tenant)?,
            ordering_key: label(ordering_key)?,
            limit_key: label(limit_key)?,
            unique: span.zip(label(unique)?),
            on_lost: if park == 1 {
                OnLost::Park
            } else {
                OnLost::Repeat
            },
            enqueued_at_ms,
            at_ms,
            order,
            line,
            is_limited: limited == 1,
            attempts: u32::try_from(attempts).ok()?,
            lost: u32::try_from(lost).ok()?,
            failure: (failed == 1).then_some(failure),
            holder: (is_held == 1).then_some(holder),
            is_cancelling: cancelling == 1,
        })
    }
}

/// None for an empty text, and nothing at all for one that is no label.
#[expect(clippy::option_option, reason = "the outer one is a failure to read")]
fn label(text: &str) -> Option<Option<Label>> {
    if text.is_empty() {
        return Some(None);
    }
    Label::new(text).ok().map(Some)
}

/// Takes a number from the beginning of some bytes.
pub(super) fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_be_bytes(*number))
}

/// The byte of a priority; the first one goes first.
pub(super) const fn priority_byte(priority: Priority) -> u8 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

fn priority_of(byte: u8) -> Option<Priority> {
    Priority::ALL
        .into_iter()
        .find(|it| priority_byte(*it) == byte)
}

const fn state_byte(state: State) -> u8 {
    match state {
        State::Scheduled => b's',
        State::Ready => b'y',
        State::Blocked => b'o',
        State::Running => b'g',
        State::Dead => b'x',
        State::Unknown => b'u',
        State::Done => b'd',
        State::Cancelled => b'c',
        State::Discarded => b'i',
    }
}

fn state_of(byte: u8) -> Option<State> {
    State::HELD.into_iter().find(|it| state_byte(*it) == byte)
}
