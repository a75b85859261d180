//! Schedules: tasks that are enqueued by the clock, once however many processes try.
//!
//! There is no leader. Every worker computes the same ticks and tries each one; the store takes
//! the first and knows the others for late, because a schedule's last tick only grows.

use bytes::Bytes;

use super::id::TaskId;
use super::name::Label;
use crate::Error;

/// The most schedules of a queue.
pub const SCHEDULES_MAX: usize = 10_000;

/// The refusal beyond [`SCHEDULES_MAX`].
pub(crate) fn too_many() -> Error {
    Error::Refused(format!("a queue has at most {SCHEDULES_MAX} schedules").into())
}

/// A schedule to be declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSchedule {
    /// Its name within the queue.
    pub name: Label,
    /// What it does and when, in a form that the store does not look into.
    pub definition: Bytes,
}

/// A schedule as the queue has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleView {
    /// Its name.
    pub name: Label,
    /// What was declared last.
    pub definition: Bytes,
    /// The last tick that was taken: Unix time in milliseconds; at first the time of its first
    /// declaration.
    pub last_tick_ms: u64,
    /// The task of the last tick that enqueued one.
    pub last_task: Option<TaskId>,
    /// Whether its ticks enqueue nothing for now.
    pub is_paused: bool,
}

/// What became of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticked {
    /// The task was enqueued by this call.
    Enqueued,
    /// The tick was taken, and nothing enqueued: this task of an earlier tick has not ended, or
    /// the queue knew the task already.
    Skipped(TaskId),
    /// Another process has taken this tick, or a later one.
    Late,
    /// The schedule is paused. The tick is passed.
    Paused,
    /// There is no such schedule.
    Unknown,
}
