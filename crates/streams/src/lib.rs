//! Streams: ordered processors over partitions, spread over workers.
//!
//! ```text
//! send ─► partition ─► fetch ahead ─► events ─► the user's processor ─► acknowledge ─► trim
//!                                                      │ fails
//!                                                      └─► policy: halt, quarantine, park, …
//! ```
//!
//! In the order of the flow:
//!
//! * [`record`] is what a user sends and gets, and how it looks as an entry,
//! * [`processor_options`] is what the attribute `#[processor]` makes of a function,
//! * [`state`] is what the application provides to the user's functions,
//! * [`schedule`] runs functions at their times, beside the processors.

mod error;
pub mod processor_options;
pub mod record;
pub mod schedule;
pub mod state;

pub use error::{BoxError, Error};
pub use processor_options::{IntoProcessor, OnError, ProcessorOptions, RetryOptions, Running};
pub use record::{Raw, Record};
pub use schedule::{Missed, Overlap, Schedule, ScheduledRun, When};
pub use state::{FromState, State, StateMap};

/// What an operation of this crate answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;
