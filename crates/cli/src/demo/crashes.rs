//! The crashes: keeps a worker running, and kills it with SIGKILL when the plan says so.

use tokio::time::sleep;

use super::child::WorkerProcess;
use super::kills::Kill;
use super::place::Place;
use super::state::{SharedState, until};
use super::witness::Witness;

/// Runs workers, one after the other, until the demo is over; the last one is asked to stop.
///
/// # Errors
/// A worker that can't be started or ends by itself.
pub(super) async fn run_workers(
    place: &Place,
    kills: &[Kill],
    witness: &Witness,
    state: &SharedState,
) -> miette::Result<()> {
    let mut worker = WorkerProcess::start(place, witness)?;
    for kill in kills {
        let due = async {
            until(state, |state| state.settled >= kill.settled_min).await?;
            sleep(kill.pause).await;
            Ok::<_, miette::Report>(())
        };
        tokio::select! {
            due = due => due?,
            end = worker.ended() => return Err(end),
        }
        worker.kill().await?;
        worker = WorkerProcess::start(place, witness)?;
        state.send_modify(|state| state.kills += 1);
    }
    tokio::select! {
        over = until(state, |state| state.is_over) => over.map(|_| ())?,
        end = worker.ended() => return Err(end),
    }
    worker.stop().await
}
