//! What is enqueued.

use std::time::Duration;

use bytes::Bytes;

use super::id::TaskId;
use super::name::{Label, TaskName};
use crate::{Error, Result};

/// The most bytes of a payload and its options together.
pub const TASK_BYTES_MAX: usize = 1024 * 1024;

/// A task to be enqueued. [`NewTask::plain`] gives one with nothing but a name and a payload; a
/// plain one costs the store the least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// Which task it is. While the store has a task of this id, enqueueing it again is answered
    /// with [`Enqueued::Duplicate`]; after that only an [`Idempotency`] remembers it.
    pub id: TaskId,
    /// The function that it calls.
    pub name: TaskName,
    /// The arguments, in a form that the store does not look into.
    pub payload: Bytes,
    /// What the runner wants to know beside: retries, limits, callbacks. The store does not look
    /// into it either.
    pub options: Bytes,
    /// When it may begin, by the store's clock.
    pub due: Due,
    /// Which tasks of the queue go first.
    pub priority: Priority,
    /// Tasks of one ordering key run one after the other, in the order of their enqueueing. The
    /// next one becomes ready when the one before is done, dead, cancelled or discarded: while
    /// that one waits for its time, a retry, or a person (unknown), the others wait behind it.
    pub ordering_key: Option<Label>,
    /// What [`Limits`](super::Limits) of a key count by.
    pub limit_key: Option<Label>,
    /// Whose task it is. Tenants of one queue and priority are served in turn.
    pub tenant: Option<Label>,
    /// Refuses the task while another one with the same key is about.
    pub unique: Option<Unique>,
    /// Refuses the task for a time after it was enqueued, whatever has become of it.
    pub idempotency: Option<Idempotency>,
    /// What becomes of it when a worker dies with it in hand.
    pub on_lost: OnLost,
}

impl NewTask {
    /// A task to be run at once, with no conditions.
    #[must_use]
    pub fn plain(name: TaskName, payload: Bytes) -> Self {
        Self {
            id: TaskId::fresh(),
            name,
            payload,
            options: Bytes::new(),
            due: Due::Now,
            priority: Priority::Normal,
            ordering_key: None,
            limit_key: None,
            tenant: None,
            unique: None,
            idempotency: None,
            on_lost: OnLost::Repeat,
        }
    }

    /// Looks whether the store takes such a task. Every backend asks this before anything else.
    ///
    /// # Errors
    /// [`Error::Invalid`] where payload and options have more than [`TASK_BYTES_MAX`] bytes.
    pub fn check(&self) -> Result<()> {
        let bytes = self.payload.len().saturating_add(self.options.len());
        if bytes > TASK_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "task {} ({}) has {bytes} bytes of arguments and options; {TASK_BYTES_MAX} are \
                 allowed",
                self.name, self.id
            )));
        }
        Ok(())
    }
}

/// When a task may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Due {
    /// At once.
    #[default]
    Now,
    /// So long after now, by the store's clock; to the millisecond.
    In(Duration),
    /// At this Unix time, in milliseconds.
    At(u64),
}

/// Which tasks of a queue go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Before all others.
    High,
    /// In the order of their enqueueing.
    #[default]
    Normal,
    /// When there is nothing else to do.
    Low,
}

impl Priority {
    /// All of them, the first one first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];
}

/// A key that two tasks of a queue can't have at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// The key.
    pub key: Label,
    /// How long it is taken.
    pub span: UniqueSpan,
}

/// How long a unique key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UniqueSpan {
    /// Until the task begins for the first time.
    WhileQueued,
    /// Until the task is done, dead, cancelled or discarded.
    UntilDone,
    /// For so long after the enqueueing, whatever becomes of the task.
    For(Duration),
}

/// A key under which a queue remembers that a task was enqueued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key.
    pub key: Label,
    /// How long it is remembered, from the enqueueing on.
    pub lifetime: Duration,
}

/// What becomes of a task when a worker dies with it in hand: it may have had its effect or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLost {
    /// It is ready again.
    #[default]
    Repeat,
    /// It is parked as [`State::Unknown`](super::State) for a person.
    Park,
}

/// What became of an enqueueing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// The task is in the queue.
    Accepted,
    /// Nothing was enqueued: this task, of the same id or with the same unique or idempotency key,
    /// was there before.
    Duplicate(TaskId),
}
