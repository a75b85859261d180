//! Whole workers, as processes: what is seen of them from outside.
//!
//! ```text
//! parent ── hire ──► worker (this program again) ── lines ──► parent
//!    └── signals, /proc ──►┘
//! ```
//!
//! In the order of the flow:
//!
//! * [`worker`] is what runs in such a process,
//! * [`hand`] starts one and listens to it,
//! * [`takeover`] measures how long partitions stand still when their owner ends,
//! * [`stalled`] measures the memory of one whose processor doesn't go on.
//!
//! If the parent dies, the kernel kills its workers.

mod hand;
mod stalled;
mod takeover;
mod worker;

pub(super) use stalled::{Stalled, measure as measure_stalled};
pub(super) use takeover::{Ended, Takeovers, measure as measure_takeovers};
pub(crate) use worker::{Job, run as run_worker};

/// How many of a median's values a limit is good for: with fewer, one slow round decides.
pub(super) const ROUNDS_MIN: u32 = 10;
