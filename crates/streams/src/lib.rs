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
//! * [`spec`] is what senders and readers of a stream agree on, [`layout`] which partitions it has
//!   and had,
//! * [`sender`] appends records, in `portions`, with the [`trace`] they belong to, along a `route`,
//! * [`processor`] is the user's function, the stream it reads, and how; [`state`] is what the
//!   application provides to it, and [`processor_options`] what the attribute `#[processor]` makes of
//!   a function,
//! * [`worker`] runs processors: an `executor` for each, a `consumer` for each owned partition;
//!   `progression` says which partitions it is the turn of,
//! * [`mod@repartition`] changes the number of partitions, [`mod@backlog`] is what groups still have to do before,
//! * `serving` is what a consumer does in the ordinary case: `fetch`, `acks`, `errand`, and
//!   `persist` where the store is away,
//! * `room` bounds what is read ahead; `lane` is what passes between a consumer and a function,
//! * [`events`] is what the function iterates,
//! * `runner` calls it, and applies its [`policy`] when it fails,
//! * [`dead_letter`] is what is given up, the [`desk`] is where a person deals with it,
//! * [`quarantine`] lets a partition stand still; [`parking`] decides what is done about keys that
//!   do, and [`parked`] shows and releases them,
//! * [`middleware`] and [`metrics`] look on,
//! * [`schedule`] runs functions at their times, beside the processors.

mod acks;
pub mod backlog;
mod consumer;
pub mod dead_letter;
pub mod desk;
mod errand;
mod error;
pub mod events;
mod executor;
mod fetch;
mod lane;
pub mod layout;
pub mod metrics;
pub mod middleware;
pub mod parked;
pub mod parking;
mod persist;
pub mod policy;
mod portions;
pub mod processor;
pub mod processor_options;
mod progression;
pub mod quarantine;
pub mod record;
pub mod repartition;
mod room;
mod route;
pub mod routing;
mod runner;
pub mod schedule;
pub mod sender;
mod serving;
pub mod spec;
pub mod state;
pub mod trace;
pub mod worker;

pub use desk::Desk;
pub use error::{BoxError, Error};
pub use events::{Event, Events};
pub use layout::Layout;
pub use metrics::Metrics;
pub use middleware::Middleware;
pub use policy::Policy;
pub use processor::{Processor, Settings};
pub use processor_options::{IntoProcessor, OnError, ProcessorOptions, RetryOptions, Running};
pub use record::{Compression, Raw, Record};
pub use repartition::Repartition;
pub use routing::Hasher;
pub use schedule::{Missed, Overlap, Schedule, ScheduledRun, When};
pub use sender::{Outgoing, Sender};
pub use spec::StreamSpec;
pub use state::{FromState, State, StateMap};
pub use trace::TraceParent;
pub use worker::{Options, Worker};

/// What an operation of this crate answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;
