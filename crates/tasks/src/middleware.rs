//! Middleware: what stands around every enqueueing and every attempt.
//!
//! ```text
//! before_enqueue ─► the store ─► after_enqueue                                (in the client)
//! before_process ─► wrap(the function) ─► after_process ─► after_retry, after_dead, …
//!       └─ skip ─► after_skip                                                 (in the worker)
//! ```
//!
//! The hooks have the places that Dramatiq's have. They run on the path of each task: they must be
//! quick and may not wait, but for what [`wrap`](TaskMiddleware::wrap) returns. Nothing is kept here.

use std::time::Duration;

use tidegate_store::WorkerId;
use tidegate_store::task::{Enqueued, NewTask, QueueName, TaskId};

use crate::Result;
use crate::context::TaskContext;
use crate::state::{Death, Ending};
use crate::task::Running;

/// Whether an attempt begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// It does.
    #[default]
    Process,
    /// It does not, and the task is done, for this reason.
    Skip(String),
}

/// Looks at tasks from outside, and may refuse or skip them. Every method does nothing unless it is
/// implemented.
pub trait TaskMiddleware: Send + Sync + 'static {
    /// A task is about to be enqueued, and may still be changed.
    ///
    /// # Errors
    /// Refuses the task: the sender gets the error.
    fn before_enqueue(&self, _queue: &QueueName, _task: &mut NewTask) -> Result<()> {
        Ok(())
    }

    /// A task was enqueued, or is known to the queue already.
    fn after_enqueue(&self, _queue: &QueueName, _id: TaskId, _enqueued: Enqueued) {}

    /// An attempt is about to begin.
    fn before_process(&self, _context: &TaskContext) -> Begin {
        Begin::Process
    }

    /// Wraps the attempt's function.
    fn wrap(&self, _context: &TaskContext, running: Running) -> Running {
        running
    }

    /// An attempt has ended; the store doesn't know yet.
    fn after_process(&self, _context: &TaskContext, _ending: Ending, _took: Duration) {}

    /// An attempt was skipped.
    fn after_skip(&self, _context: &TaskContext, _reason: &str) {}

    /// The task is tried again after this pause.
    fn after_retry(&self, _context: &TaskContext, _pause: Duration) {}

    /// The task is dead.
    fn after_dead(&self, _context: &TaskContext, _death: Death) {}

    /// The task is cancelled.
    fn after_cancelled(&self, _context: &TaskContext) {}

    /// The task is parked: nobody knows whether it had its effect.
    fn after_unknown(&self, _context: &TaskContext) {}

    /// A worker begins.
    fn before_worker_start(&self, _worker: WorkerId) {}

    /// A worker takes no more tasks, and waits for those in hand.
    fn before_worker_shutdown(&self, _worker: WorkerId) {}

    /// A worker has ended.
    fn after_worker_shutdown(&self, _worker: WorkerId) {}
}
