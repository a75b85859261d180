//! Background tasks: the names, the shapes, and the port by which a runner speaks to the store.
//!
//! ```text
//! enqueue ─► scheduled ─(due)─► ready ─► take ─► running ─► finish ─► done
//!                ▲                ▲                 │
//!                │                └── recover ◄─────┤ (its worker is dead)
//!                └────────────── retry ◄────────────┤
//!                                                   └─► dead, unknown, cancelled
//! ```
//!
//! A task is in exactly one of these states at every moment, and each arrow is one atomic step of
//! the store: a process that dies between two calls leaves a task where the last call put it.
//!
//! In the order of the flow:
//!
//! * [`name`] has the names of queues and tasks, and the labels that tasks are told apart by,
//! * [`id`] tells one task, and one attempt at it, from every other,
//! * [`new_task`] is what is enqueued,
//! * [`attempt`] is what a worker takes, and how it says what came of it,
//! * [`limits`] bounds what is taken,
//! * [`listing`] is what an operator sees,
//! * [`group`] and [`schedule`] tie tasks together, and to the clock,
//! * [`port`] is the [`TaskStore`] itself,
//! * [`MemoryTaskStore`] keeps it in memory; the other backends are Redis and one SQLite file.

pub mod attempt;
mod codec;
pub mod group;
pub mod id;
pub mod limits;
pub mod listing;
pub(crate) mod machine;
pub(crate) mod memory;
pub mod name;
pub mod new_task;
pub mod port;
pub mod schedule;

pub use attempt::{Beat, Failure, Finished, KeptResult, Outcome, Take, Taken};
pub use group::{GroupStep, NewGroup};
pub use id::{Fence, TaskId};
pub use limits::{Limits, Rate};
pub use listing::{Counts, Page, QueueStatus, Resolution, State, TaskView, WorkerView};
pub use memory::MemoryTaskStore;
pub use name::{Label, QueueName, TaskName};
pub use new_task::{Due, Enqueued, Idempotency, NewTask, OnLost, Priority, Unique, UniqueSpan};
pub use port::TaskStore;
pub use schedule::{NewSchedule, ScheduleView, Ticked};
