//! Where the leader's schedules keep how far they are, so that the next leader goes on there.
//!
//! `runner` reads it when a leadership begins and writes it as runs end. What is written is fenced
//! by the leadership's lease: a leader that has been replaced can't set its successor back. If
//! the process dies before a write, the run is repeated or left out, as
//! [`Missed`](super::Missed) says.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_store::Lease;

use crate::Result;

/// Keeps, for each of the leader's schedules, up to when its occurrences are settled.
#[async_trait]
pub trait LastRuns: fmt::Debug + Send + Sync + 'static {
    /// What was stored last; none for a schedule that is new.
    ///
    /// # Errors
    /// Those of the store.
    async fn load(&self, lease: &Lease, schedule: &str) -> Result<Option<Timestamp>>;

    /// Keeps that everything through `settled` has ended or was left out.
    ///
    /// # Errors
    /// Those of the store; `LeaseLost` when the leadership is another worker's, and then nothing
    /// was changed.
    async fn store(&self, lease: &Lease, schedule: &str, settled: Timestamp) -> Result<()>;
}
