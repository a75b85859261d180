//! Tasks: typed functions that run once at a time, somewhere, with retries.
//!
//! ```text
//! enqueue ─► client ─► store ─► fetcher ─► attempt ─► the user's function ─► decide ─► finisher ─► store
//!               ▲                                                              │
//!               └───────── what follows: the next task, callbacks, groups ─────┘
//! ```
//!
//! In the order of the flow:
//!
//! * [`mod@task`] is what the attribute `#[task]` makes of a function, [`options`] what it was given,
//! * [`mod@enqueue`] is what a user writes to send one, `draft` that in a form that can be kept,
//! * [`client`] sends, with [`middleware`] around and arguments [sealed](seal),
//! * [`group`] has a callback when many tasks are done, [`outbox`] sends from the user's transaction,
//! * [`worker`] runs tasks: its `fetcher` takes as many as `prefetch` says, an `attempt` runs each and
//!   asks [`state`] where the task goes then; [`backoff`] and [`failure`] have their say in it,
//! * [`context`] is what the function knows, [`once`] lets its effect happen once,
//! * `aftermath` does what follows, the `finisher` tells the store, the `heart` keeps the worker alive
//!   and finds the dead; `in_hand` is what they all share, [`counts`] what can be seen,
//! * `ticker` enqueues what is scheduled, at the times of [`ticks`],
//! * [`duration`] reads durations, with [`outside`] another system runs a task's function,
//! * [`testing`] is for users' unit tests.

mod aftermath;
mod attempt;
pub mod backoff;
pub mod client;
pub mod context;
pub mod counts;
mod draft;
pub mod duration;
pub mod enqueue;
mod error;
pub mod failure;
mod fetcher;
mod finisher;
pub mod group;
mod heart;
mod in_hand;
pub mod middleware;
pub mod once;
pub mod options;
pub mod outbox;
pub mod outside;
mod prefetch;
pub mod seal;
pub mod state;
pub mod task;
pub mod testing;
mod ticker;
pub mod ticks;
pub mod worker;

pub use backoff::Backoff;
pub use client::{Sent, TaskClient};
pub use context::TaskContext;
pub use counts::Metrics;
pub use draft::FailedTask;
pub use enqueue::Enqueue;
pub use error::Error;
pub use failure::Failure;
pub use group::{Group, SentGroup};
pub use middleware::{Begin, TaskMiddleware};
pub use options::{RetryWhen, ScheduleOptions, TaskOptions, Times};
pub use seal::Keyring;
pub use state::OnUnknown;
pub use task::{Registered, Running, Task, encode_result};
pub use tidegate_store::task::{Limits, Priority, Rate, TaskId};
pub use tidegate_streams::Error as StateError;
pub use tidegate_streams::{BoxError, FromState, Missed, Overlap, State, StateMap};
pub use worker::{Options, Worker};

/// What an operation of this crate answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;
