//! The drain: writes typed row operations from a partitioned stream behind into SQL, exactly once
//! and in batches.
//!
//! ```text
//! send ─► shard stream ─► read ahead ─► decode ─► plan ─► one transaction: rows + ledger ─► trim
//!                                          │                    │
//!                                     undecodable      refused by the database
//!                                          └─────── dead letter, in the same transaction
//! ```
//!
//! In the order of the flow:
//!
//! * [`operation`] reads the JSON of an operation, [`envelope`] the entry around it,
//!   [`hyperswitch`] what the ancestor sends,
//! * [`route`] finds the shard and sends, [`write_behind`] with the state for readers, which `states`
//!   lets end,
//! * [`catalog`] is what the target says of its tables, [`change`] an operation held against it,
//!   with its values encoded as [`cells`],
//! * [`plan`] turns many changes into few statements, [`policy`] says what a change may do that
//!   meets another row than it expected,
//! * [`sink`] is the port to the target, `postgres` and `sqlite` are its two sides,
//! * [`held`] decides what is held back and in which order it is tried again, behind [`locks`] of
//!   others too, [`dead_letter`] is how it is kept, [`rejection`] is why, `retries` says when,
//! * [`apply`] is one transaction from entries to commit, `settle` its bookkeeping (`triage` tells a
//!   replay from a conflict), `shard` the loop around it,
//! * [`recent`] is what the ledger remembers of settled entries, by which `stepback` tells new ones
//!   from old ones after the log has lost some,
//! * [`worker`] runs the shards that this process owns, under [`options`]; an [`observer`] may
//!   watch, [`metrics`] counts, `notices` tells the log which entries are held,
//! * [`tenants`] runs a worker for each tenant,
//! * [`execute`] is one operation at once, without a stream,
//! * [`preview`], [`diff`], [`status`], [`audit`] and [`revive`] are for people: a look ahead, sums and proofs,
//!   a look at the rows themselves, second tries.

pub mod apply;
pub mod audit;
pub mod catalog;
mod catalogs;
pub mod cells;
pub mod change;
pub mod dead_letter;
pub mod diff;
pub mod envelope;
mod error;
pub mod execute;
mod fold;
mod gate;
pub mod held;
pub mod hyperswitch;
pub mod locks;
pub mod metrics;
mod notices;
pub mod observer;
pub mod operation;
pub mod options;
mod outage;
pub mod pace;
pub mod plan;
pub mod policy;
mod postgres;
pub mod preview;
pub mod recent;
pub mod rejection;
mod retries;
pub mod revive;
pub mod route;
mod settle;
mod shard;
pub mod sink;
mod sqlite;
mod states;
pub mod status;
mod stepback;
mod stopwatch;
pub mod tenants;
mod triage;
pub mod worker;
pub mod write_behind;

pub use error::{Error, Result, Source};
pub use execute::{Executed, Executor};
pub use metrics::Metrics;
pub use observer::Observer;
pub use operation::Operation;
pub use options::Options;
pub use postgres::{PostgresOptions, PostgresSink};
pub use rejection::{Code, Rejection};
pub use sink::Sink;
pub use sqlite::SqliteSink;
pub use tenants::{Runner, Tenant};
pub use worker::Worker;
pub use write_behind::WriteBehind;
