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
//! * [`routing`] finds the partition of a record's key,
//! * [`spec`] is what senders and readers of a stream agree on,
//! * [`sender`] appends records, with the [`trace`] they belong to,
//! * [`processor_options`] is what the attribute `#[processor]` makes of a function,
//! * [`state`] is what the application provides to the user's functions,
//! * [`schedule`] runs functions at their times, beside the processors.

mod error;
pub mod processor_options;
pub mod record;
pub mod routing;
pub mod schedule;
pub mod sender;
pub mod spec;
pub mod state;
pub mod trace;

pub use error::{BoxError, Error};
pub use processor_options::{IntoProcessor, OnError, ProcessorOptions, RetryOptions, Running};
pub use record::{Compression, Raw, Record};
pub use routing::Hasher;
pub use schedule::{Missed, Overlap, Schedule, ScheduledRun, When};
pub use sender::{Outgoing, Sender};
pub use spec::StreamSpec;
pub use state::{FromState, State, StateMap};
pub use trace::TraceParent;

/// What an operation of this crate answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;
