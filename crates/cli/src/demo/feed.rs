//! The feed: sends the day's operations and tells the model what they mean.
//!
//! It sends no faster than the worker writes: with a bounded backlog the delay of an operation
//! says something about the drain, and not about how early it was sent.

use std::time::SystemTime;

use bytes::Bytes;
use tidegate_drain::route::Sender;

use super::kills::Kill;
use super::model::Model;
use super::scenario::Scenario;
use super::state::{SharedState, State, until};
use crate::failure;

/// The most operations that are sent and not yet settled.
const BACKLOG_MAX: u64 = 2_000;
/// The most operations of one send.
const SEND_MAX: usize = 250;

/// Sends the whole day, and returns what the tables must hold then.
///
/// # Errors
/// A store that can't be written.
pub(super) async fn feed(
    sender: &Sender,
    day: Scenario,
    kills: &[Kill],
    state: &SharedState,
) -> miette::Result<Model> {
    let mut model = Model::default();
    let mut day = day.peekable();
    while day.peek().is_some() {
        let reached = until(state, |state| room(state, kills) > 0).await?;
        let mut entries = Vec::with_capacity(SEND_MAX);
        for told in day.by_ref().take(room(&reached, kills)) {
            let payload = Bytes::from(told.payload);
            let now = SystemTime::now();
            // A spoiled operation is sent all the same: the drain has to cope with it.
            let outgoing = sender.address(payload, &told.request_id, &told.global_id, now);
            entries.push(outgoing.entry);
            model.apply(&told.request_id, told.fact);
        }
        let sent = entries.len() as u64;
        sender.send(entries).await.map_err(failure::drain)?;
        state.send_modify(|state| state.sent += sent);
    }
    state.send_modify(|state| state.is_all_sent = true);
    Ok(model)
}

/// How many operations may be sent now.
fn room(state: &State, kills: &[Kill]) -> usize {
    let next_kill = usize::try_from(state.kills)
        .ok()
        .and_then(|kills_done| kills.get(kills_done));
    let sent_max = next_kill.map_or(u64::MAX, |kill| kill.sent_max);
    let backlog = state.sent.saturating_sub(state.settled);
    let room = BACKLOG_MAX
        .saturating_sub(backlog)
        .min(sent_max.saturating_sub(state.sent));
    usize::try_from(room).unwrap_or(SEND_MAX).min(SEND_MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn state(sent: u64, settled: u64, kills: u64) -> State {
        State {
            sent,
            settled,
            kills,
            ..State::default()
        }
    }

    #[test]
    fn the_backlog_is_bounded() {
        assert_eq!(room(&state(0, 0, 0), &[]), SEND_MAX);
        assert_eq!(room(&state(10_000, 10_000 - BACKLOG_MAX + 7, 0), &[]), 7);
        assert_eq!(room(&state(10_000, 10_000 - BACKLOG_MAX, 0), &[]), 0);
    }

    #[test]
    fn the_feed_waits_for_the_crash() {
        let kills = [Kill {
            settled_min: 60,
            pause: Duration::ZERO,
            sent_max: 100,
        }];
        assert_eq!(room(&state(90, 80, 0), &kills), 10);
        assert_eq!(room(&state(100, 100, 0), &kills), 0);
        assert_eq!(room(&state(100, 100, 1), &kills), SEND_MAX);
    }
}
