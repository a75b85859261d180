//! What an operator sees and does.

use bytes::Bytes;

use super::attempt::Failure;
use super::id::{Fence, TaskId};
use super::name::{Label, TaskName};
use super::new_task::Priority;
use crate::lease::WorkerId;

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Waits for its time.
    Scheduled,
    /// Can be taken.
    Ready,
    /// Waits behind another one of its ordering key, or for a limit of its limit key.
    Blocked,
    /// In a worker's hands.
    Running,
    /// Has failed for good; kept as a dead letter.
    Dead,
    /// May have had its effect or not; kept for a person.
    Unknown,
    /// Done, and no longer in the queue.
    Done,
    /// Cancelled, and no longer in the queue.
    Cancelled,
    /// A dead letter that was thrown away.
    Discarded,
}

impl State {
    /// The states in which the queue holds a task, in the order of the flow.
    pub const HELD: [Self; 6] = [
        Self::Scheduled,
        Self::Ready,
        Self::Blocked,
        Self::Running,
        Self::Dead,
        Self::Unknown,
    ];

    /// The state's name, in small letters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Blocked => "blocked",
            Self::Running => "running",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Discarded => "discarded",
        }
    }
}

/// How many tasks of a queue are where.
///
/// Those that have left it are counted when they leave; those it holds are counted where they
/// are, at the moment of asking. [`Counts::is_balanced`] compares the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ever enqueued.
    pub enqueued: u64,
    /// Ever done.
    pub done: u64,
    /// Ever cancelled.
    pub cancelled: u64,
    /// Dead letters and unknown ones that were thrown away.
    pub discarded: u64,
    /// That wait for their time.
    pub scheduled: u64,
    /// That can be taken.
    pub ready: u64,
    /// That wait for another of their key, or for a limit.
    pub blocked: u64,
    /// In workers' hands.
    pub running: u64,
    /// Dead letters.
    pub dead: u64,
    /// Of unknown outcome.
    pub unknown: u64,
    /// Tasks that the queue holds, whichever state they are in.
    pub held: u64,
}

impl Counts {
    /// Those that have yet to begin.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.scheduled + self.ready + self.blocked
    }

    /// Whether nothing is lost and nothing is there twice: what was enqueued is done, cancelled,
    /// discarded, dead, unknown, waiting or running, and each task that the queue holds is in one
    /// state.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        let in_a_state = self.waiting() + self.running + self.dead + self.unknown;
        in_a_state == self.held
            && self.enqueued == self.done + self.cancelled + self.discarded + self.held
    }
}

/// A queue as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStatus {
    /// Its tasks.
    pub counts: Counts,
    /// Whether nothing is taken from it for now.
    pub is_paused: bool,
    /// Its workers, sorted by id.
    pub workers: Vec<WorkerView>,
}

/// A worker of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// Which one.
    pub worker: WorkerId,
    /// Milliseconds until it is taken for dead; 0 where it is, and nobody has recovered its tasks.
    pub ends_in_ms: u64,
    /// How many tasks are in its hands.
    pub running: u64,
}

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many are skipped.
    pub offset: usize,
    /// The most that are wanted; at most [`PAGE_TASKS_MAX`] come.
    pub limit: usize,
}

/// The most tasks that one page of a list has.
pub const PAGE_TASKS_MAX: usize = 1_000;

/// A task as the queue holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    /// Which task.
    pub id: TaskId,
    /// The function that it calls.
    pub name: TaskName,
    /// Where it is.
    pub state: State,
    /// The arguments.
    pub payload: Bytes,
    /// The runner's options.
    pub options: Bytes,
    /// Its priority.
    pub priority: Priority,
    /// Its ordering key.
    pub ordering_key: Option<Label>,
    /// What limits of a key count it by.
    pub limit_key: Option<Label>,
    /// Its tenant.
    pub tenant: Option<Label>,
    /// When it was enqueued: Unix time in milliseconds.
    pub enqueued_at_ms: u64,
    /// Since when it is dead, unknown or running, or when it is due: Unix time in milliseconds; 0
    /// in other states.
    pub at_ms: u64,
    /// How many attempts were counted, with the one that is under way.
    pub attempts: u32,
    /// How many workers have died with it in hand.
    pub lost: u32,
    /// Why the last attempt has failed.
    pub failure: Option<Failure>,
    /// In whose hands it is, and under which token.
    pub holder: Option<(WorkerId, Fence)>,
    /// Whether it runs and someone has cancelled it.
    pub is_cancelling: bool,
    /// What its worker has last said of how far it is.
    pub progress: Option<Bytes>,
}

/// What a person decides about a dead or unknown task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It is ready again, with all its attempts before it.
    Retry,
    /// It has had its effect: it counts as done.
    Done,
    /// It is a dead letter.
    Dead,
    /// It is thrown away.
    Discard,
}
