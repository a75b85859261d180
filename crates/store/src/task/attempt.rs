//! What a worker takes, and how it says what came of it.

use std::time::Duration;

use bytes::Bytes;

use super::id::{Fence, TaskId};
use super::name::{Label, TaskName};
use super::new_task::{Due, OnLost, Priority};

/// The most tasks that one take gives.
pub const TAKE_TASKS_MAX: usize = 500;

/// The most bytes that are kept of a reason; the rest is cut off.
pub const REASON_BYTES_MAX: usize = 256;

/// The most bytes that are kept of an error's text; the rest is cut off.
pub const ERROR_BYTES_MAX: usize = 16 * 1024;

/// What a worker got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Take {
    /// The tasks, the first one first. They are the worker's until it finishes them or dies.
    pub tasks: Vec<Taken>,
    /// Whether there is more that could be taken at once.
    pub has_more: bool,
    /// After what time there may be more without any news: a task is due, or a rate allows one
    /// more. None where only news helps, for which there is [`wait`](super::TaskStore::wait).
    pub next_in: Option<Duration>,
}

/// A task in a worker's hands: one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which task.
    pub id: TaskId,
    /// The function that it calls.
    pub name: TaskName,
    /// The arguments, as they were enqueued.
    pub payload: Bytes,
    /// The runner's options, as they were enqueued.
    pub options: Bytes,
    /// Which attempt this is, from 1 on. Attempts that were given back are not counted; those
    /// whose worker has died are.
    pub attempt: u32,
    /// How many workers have died with the task in hand.
    pub lost: u32,
    /// The token of this attempt.
    pub fence: Fence,
    /// Its priority.
    pub priority: Priority,
    /// Its ordering key.
    pub ordering_key: Option<Label>,
    /// What limits of a key count it by.
    pub limit_key: Option<Label>,
    /// Its tenant.
    pub tenant: Option<Label>,
    /// What becomes of it if the worker dies now.
    pub on_lost: OnLost,
    /// When it was enqueued: Unix time in milliseconds by the store's clock.
    pub enqueued_at_ms: u64,
    /// When it was taken, by the same clock. An age limit compares the two.
    pub taken_at_ms: u64,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Which task.
    pub id: TaskId,
    /// The token of the attempt.
    pub fence: Fence,
    /// What came of it.
    pub outcome: Outcome,
    /// What is kept for those who ask for the task's result.
    pub result: Option<KeptResult>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and leaves the queue.
    Done,
    /// It has failed and is tried again at the given time. Where someone has cancelled it in the
    /// meantime, it is cancelled.
    Retry {
        /// When it is tried again.
        due: Due,
        /// Why it has failed.
        failure: Failure,
    },
    /// It has failed for good, and stays as a dead letter.
    Dead(Failure),
    /// It was cancelled, and leaves the queue.
    Cancelled,
    /// It may have had its effect or not: it stays for a person to look at.
    Unknown(Failure),
    /// It was not begun, or can be begun again as if it had not been: it is ready again at once,
    /// in its old place, and the attempt is not counted.
    Returned,
}

/// Why an attempt has failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// A short word for it, such as `exhausted`; at most [`REASON_BYTES_MAX`] bytes are kept.
    pub reason: String,
    /// The error's text, at most [`ERROR_BYTES_MAX`] bytes of which are kept.
    pub error: String,
}

impl Failure {
    /// As much of it as is kept.
    pub(crate) fn kept(&self) -> Self {
        let cut = |text: &str, bytes_max| {
            let end = text.floor_char_boundary(bytes_max);
            // What separates texts in a backend's values is no part of one.
            text.get(..end).unwrap_or_default().replace('\x1f', " ")
        };
        Self {
            reason: cut(&self.reason, REASON_BYTES_MAX),
            error: cut(&self.error, ERROR_BYTES_MAX),
        }
    }
}

/// A result that is kept for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptResult {
    /// The result, in a form that the store does not look into.
    pub bytes: Bytes,
    /// How long it is kept.
    pub lifetime: Duration,
}

/// What a worker hears when it gives a sign of life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Which of the tasks in its hands someone wants to be cancelled, sorted. They are told again
    /// with each beat until they are finished.
    pub cancelled: Vec<TaskId>,
}
