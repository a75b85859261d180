//! Reads the ledger while the demo is under way, and finds out when nothing is left to do.
//!
//! The ledger is what survives the crashes: what a worker said before it was killed may be less
//! than what it committed.

use std::time::Duration;

use miette::miette;
use tidegate_drain::sink::LedgerRow;
use tidegate_drain::{Options, status};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::state::SharedState;
use crate::connect::Ends;
use crate::failure;

/// How often the ledger is read.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the demo waits when nothing moves.
const STALL_MAX: Duration = Duration::from_secs(60);

/// Tells the others what is settled, until everything is. Where nothing moves any more although
/// everything is sent, the demo is over as well: the verification will say what is missing.
///
/// # Errors
/// A ledger that can't be read, and a standstill before everything is sent.
pub(super) async fn watch(
    ends: &Ends,
    options: &Options,
    state: &SharedState,
) -> miette::Result<()> {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut moved_at) = (*state.borrow(), Instant::now());
    loop {
        ticks.tick().await;
        let ledger = ends
            .sink
            .ledger(&options.stream)
            .await
            .map_err(failure::drain)?;
        let settled = settled(&ledger);
        state.send_if_modified(|state| std::mem::replace(&mut state.settled, settled) != settled);
        let now = *state.borrow();
        if now != before {
            (before, moved_at) = (now, Instant::now());
        }
        let is_stalled = moved_at.elapsed() > STALL_MAX;
        if is_stalled && !now.is_all_sent {
            return Err(miette!(
                "nothing has moved for {} seconds, with {settled} of {} operations settled",
                STALL_MAX.as_secs(),
                now.sent
            ));
        }
        if now.is_all_sent && (is_stalled || is_drained(ends, options, &ledger).await?) {
            state.send_modify(|state| state.is_over = true);
            return Ok(());
        }
    }
}

/// Operations that are applied or dead letters.
fn settled(ledger: &[LedgerRow]) -> u64 {
    ledger.iter().map(|row| row.applied + row.dead).sum()
}

/// Whether nothing is left in the stream, and nothing is held that could still be applied.
async fn is_drained(ends: &Ends, options: &Options, ledger: &[LedgerRow]) -> miette::Result<bool> {
    if ledger.iter().any(|row| row.waiting + row.parked > 0) {
        return Ok(false);
    }
    status::is_drained(&*ends.store, &*ends.sink, options)
        .await
        .map_err(failure::drain)
}
