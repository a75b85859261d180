//! The state of a demo that is under way: the one thing that its parts share.
//!
//! ```text
//! feed ── sent ──────┐          ┌──► feed: is there room?
//! ledger ── settled ─┼─► State ─┼──► crashes: is it time?
//! crashes ── kills ──┘          └──► the bar
//! ```
//!
//! It lives in a watch channel: a part writes what it did, the others wait for what they need.

use miette::miette;
use tokio::sync::watch;

/// How far the demo is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Operations sent.
    pub(super) sent: u64,
    /// Operations that are applied or dead letters, by the ledger.
    pub(super) settled: u64,
    /// How often the worker was killed.
    pub(super) kills: u64,
    /// Whether everything is sent.
    pub(super) is_all_sent: bool,
    /// Whether nothing more will happen.
    pub(super) is_over: bool,
}

/// The sending side of the channel; whoever needs to wait takes it, too.
pub(super) type SharedState = watch::Sender<State>;

/// Waits until the state is as asked for, and returns it.
///
/// # Errors
/// None in practice: the channel lives as long as those who wait.
pub(super) async fn until(
    state: &SharedState,
    is_reached: impl FnMut(&State) -> bool,
) -> miette::Result<State> {
    let mut changes = state.subscribe();
    match changes.wait_for(is_reached).await {
        Ok(reached) => Ok(*reached),
        Err(closed) => Err(miette!("the demo's parts have lost each other: {closed}")),
    }
}
