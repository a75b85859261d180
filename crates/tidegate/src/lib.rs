//! Tidegate: ordered processors over partitioned streams, and background tasks, for services that
//! move money.
//!
//! ```text
//! App::new("shop") ─► streams, processors, tasks, schedules, state ─► run ─► a command line of your own
//! ```
//!
//! Derive [`Record`] on what you send, write an async function over its [`Events`], and run as many
//! workers as you need: partitions spread over them and move only when they must, the events of
//! one key come in order, and what was not acknowledged comes again. Without configuration
//! everything is in one SQLite file; with `--store redis://…` the same program runs on many
//! machines.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::time::Duration;
//!
//! use serde::{Deserialize, Serialize};
//! use tidegate::prelude::*;
//!
//! #[derive(Record, Serialize, Deserialize)]
//! #[record(partition_by = "order_id")]
//! struct Order {
//!     order_id: u64,
//!     amount: i64,
//! }
//!
//! #[processor(stream = "orders", on_error = "dead_letter")]
//! async fn settle(mut orders: Events<Order>) -> Result<()> {
//!     while let Some(batch) = orders.take(100, Duration::from_millis(200)).await? {
//!         let sum: i64 = batch.iter().map(|order| order.amount).sum();
//!         println!("settled {} orders of {sum} cents", batch.len());
//!     }
//!     Ok(())
//! }
//!
//! async fn report() -> Result<()> {
//!     println!("still here");
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> ExitCode {
//!     App::new("shop")
//!         .stream::<Order>("orders")
//!         .processor(settle)
//!         .every("10s", report)
//!         .on_leader()
//!         .run()
//!         .await
//! }
//! ```
//!
//! In the order of the flow:
//!
//! * [`app`] collects what an application consists of,
//! * `registry` knows its streams by name, `tasks_of_app` adds the tasks,
//! * `command` is the command line that [`App::run`] gives it.

pub mod app;
mod command;
mod error;
mod registry;
mod tasks_of_app;

pub use app::App;
pub use error::Error;
pub use tidegate_macros::{Record, processor, task};
pub use tidegate_store as store;
pub use tidegate_streams as streams;
pub use tidegate_streams::{
    BoxError, Event, Events, Middleware, Missed, Overlap, Policy, Raw, Schedule, ScheduledRun,
    Sender, State, StreamSpec, When,
};
pub use tidegate_tasks as tasks;
pub use tidegate_tasks::{Enqueue, Group, TaskClient, TaskContext};

/// What a user's function answers: any error that a `?` accepts.
pub type Result<T, E = BoxError> = std::result::Result<T, E>;

/// What most programs need: `use tidegate::prelude::*;`.
pub mod prelude {
    pub use tidegate_streams::Record as _;
    pub use tidegate_tasks::{Failure, Priority};

    pub use crate::{
        App, BoxError, Enqueue, Event, Events, Group, Missed, Overlap, Raw, Record, Result,
        ScheduledRun, Sender, State, TaskClient, TaskContext, processor, task,
    };
}

/// What the code that the macros write refers to.
#[doc(hidden)]
pub mod __private {
    pub use tidegate_streams::*;
}
