//! The live line of a terminal, and now and then a line of the log elsewhere.

use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use tidegate_drain::status;
use tidegate_drain::tenants::Handle;
use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use super::tally::{Counts, Tally, held_in_words};
use crate::output::count;
use crate::progress;

/// How often the live line changes.
const LIVE_PAUSE: Duration = Duration::from_millis(500);
/// How often the log has a line where there is no terminal.
const LOG_PAUSE: Duration = Duration::from_secs(5);

/// Shows what a tally counts.
pub(super) struct Live<'a> {
    tenants: &'a [Handle],
    tally: &'a Arc<Tally>,
}

impl<'a> Live<'a> {
    /// Nothing is shown before [`show`](Self::show).
    pub(super) fn new(tenants: &'a [Handle], tally: &'a Arc<Tally>) -> Self {
        Self { tenants, tally }
    }

    /// Shows it for ever; dropped, the line goes away.
    pub(super) async fn show(self) {
        if self.tally.is_printing() || !progress::is_visible() {
            self.log().await;
        } else {
            self.draw().await;
        }
    }

    async fn log(&self) {
        let mut ticks = interval(LOG_PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Counts::default();
        loop {
            ticks.tick().await;
            let now = self.tally.counts();
            if now.batches > before.batches {
                let applied = now.settled.applied - before.settled.applied;
                info!(
                    applied = now.settled.applied,
                    dead = now.settled.dead,
                    waiting = now.settled.waiting,
                    parked = now.settled.parked,
                    per_second = applied / LOG_PAUSE.as_secs(),
                    "drained"
                );
            }
            before = now;
        }
    }

    async fn draw(&self) {
        let line = Cleared(progress::live_line());
        let mut ticks = interval(LIVE_PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut applied_before = 0;
        loop {
            ticks.tick().await;
            let settled = self.tally.counts().settled;
            let per_second = (settled.applied - applied_before) * 1_000 / LIVE_PAUSE_MS;
            applied_before = settled.applied;
            let mut message = format!(
                "applied {} ({}/s)",
                count(settled.applied),
                count(per_second)
            );
            if let Some(pending) = self.pending().await {
                message.push_str(&format!(", {} in the stream", count(pending)));
            }
            let held = held_in_words(&settled);
            if !held.is_empty() {
                message.push_str(&format!(", {held}"));
            }
            line.0.set_message(message);
        }
    }

    /// How much is left; none where that can't be known now.
    async fn pending(&self) -> Option<u64> {
        let counted = async {
            let mut pending = 0;
            for tenant in self.tenants {
                let ends = tenant.ends()?;
                let asked = status::status(&*ends.store, &*ends.sink, tenant.options());
                let shards = asked.await.ok()?;
                pending += shards.iter().map(status::ShardStatus::pending).sum::<u64>();
            }
            Some(pending)
        };
        tokio::time::timeout(LIVE_PAUSE, counted).await.ok()?
    }
}

/// [`LIVE_PAUSE`] as a number.
const LIVE_PAUSE_MS: u64 = 500;

/// Takes its line off the terminal when it goes.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
