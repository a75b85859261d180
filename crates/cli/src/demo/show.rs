//! What a person sees while the demo is under way: a bar on a terminal, plain lines elsewhere.

use super::state::{SharedState, State, until};
use crate::output::count;
use crate::progress;

/// Elsewhere than on a terminal, so many lines tell of the progress.
const LINES: u64 = 5;

/// Shows how far the demo is, until it is over.
///
/// # Errors
/// None in practice.
pub(super) async fn show(
    state: &SharedState,
    operations: u64,
    is_quiet: bool,
) -> miette::Result<()> {
    if progress::is_visible() {
        draw(state, operations).await
    } else if is_quiet {
        until(state, |state| state.is_over).await.map(|_| ())
    } else {
        tell(state, operations).await
    }
}

async fn draw(state: &SharedState, operations: u64) -> miette::Result<()> {
    let bar = progress::count_bar(operations);
    bar.set_prefix("applied");
    let mut before = State::default();
    let shown = loop {
        match until(state, |state| *state != before || state.is_over).await {
            Ok(now) if now.is_over => break Ok(()),
            Ok(now) => {
                bar.set_position(now.settled);
                bar.set_message(words(&now));
                before = now;
            }
            Err(error) => break Err(error),
        }
    };
    bar.finish_and_clear();
    shown
}

async fn tell(state: &SharedState, operations: u64) -> miette::Result<()> {
    let step = operations.div_ceil(LINES).max(1);
    let mut before = State::default();
    loop {
        let now = until(state, |state| {
            state.is_over
                || state.kills > before.kills
                || state.settled / step > before.settled / step
        })
        .await?;
        if now.is_over {
            return Ok(());
        }
        let settled = count(now.settled);
        if now.kills > before.kills {
            progress::note(&format!(
                "the worker was killed with SIGKILL ({}), {settled} applied",
                now.kills
            ));
        } else {
            progress::note(&format!("{settled} applied, {}", words(&now)));
        }
        before = now;
    }
}

fn words(state: &State) -> String {
    let killed = match state.kills {
        0 => String::new(),
        1 => ", killed once".to_owned(),
        kills => format!(", killed {kills} times"),
    };
    format!("{} sent{killed}", count(state.sent))
}
