//! Who owns what: the workers of a group share the partitions of a stream, without a leader.
//!
//! ```text
//! beat, lease holders ─► assignment ─► acquire ─► OwnedLease ─► the user's owner of a partition
//!                            ▲            │ renew                   │
//!                            └────────────┴──── release ◄── hand back
//! ```
//!
//! Every worker reads the same view from the [store](tidegate_store) and computes the same
//! assignment from it. Where views differ for a moment, the leases decide: a partition has one
//! lease, and each new owner a larger epoch.
//!
//! In the order of the flow:
//!
//! * [`ownership`] is the component that a worker runs for one stream and one group,
//! * `timing` says when it asks the store, and how long it trusts an answer,
//! * `calls` are the questions it asks,
//! * [`assignment`] decides which worker should own which partition,
//! * `claims` decides what to acquire, to give to an owner, to ask back and to release,
//! * `outage` tells the log when the store is out of reach,
//! * [`owned_lease`] is what the user of a partition holds,
//! * [`arrivals`] wakes the owners that have nothing to do,
//! * `announcements` makes a running ownership look when somebody comes or goes.

mod announcements;
pub mod arrivals;
pub mod assignment;
mod calls;
mod claims;
mod error;
mod outage;
pub mod owned_lease;
pub mod ownership;
mod timing;

pub use arrivals::Arrivals;
pub use assignment::assign;
pub use error::Error;
pub use owned_lease::{OwnedLease, OwnedLeases};
pub use ownership::{Handle, Options, Ownership};

/// What an operation of this crate answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;
