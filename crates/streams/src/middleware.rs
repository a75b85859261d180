//! Middleware: what stands around every event and every call of a processor.
//!
//! ```text
//! before ─► the events in hand ─► after (done, or failed)
//! wrap ──► one call of the user's function, from its first event to its end
//! ```
//!
//! It runs on the path of each event, inside the lane's lock: it must be quick and may not wait.
//! Nothing is kept here.

use futures::future::BoxFuture;
use tidegate_store::{EntryId, Lease};

use crate::BoxError;

/// What is in hand: one event, or a batch.
#[derive(Clone, Copy, Debug)]
pub struct InHand<'a> {
    /// Under which lease.
    pub lease: &'a Lease,
    /// The first entry.
    pub first: EntryId,
    /// How many.
    pub count: usize,
}

/// How it went with what was in hand.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// The function asked for the next event, or returned.
    Done,
    /// The function failed: with an error or a panic.
    Failed(&'a BoxError),
}

/// Looks at events and calls from outside. Every method does nothing unless it is implemented.
pub trait Middleware: Send + Sync + 'static {
    /// Events are about to be handed out.
    fn before(&self, _in_hand: InHand<'_>) {}

    /// The function is done with events, or has failed with them in hand.
    fn after(&self, _in_hand: InHand<'_>, _outcome: Outcome<'_>) {}

    /// Wraps one call of the processor's function.
    fn wrap(
        &self,
        _lease: &Lease,
        call: BoxFuture<'static, Result<(), BoxError>>,
    ) -> BoxFuture<'static, Result<(), BoxError>> {
        call
    }
}
