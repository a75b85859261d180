//! Signals: the first one asks to stop, the second one stops at once.

use miette::miette;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// The exit code of a program that was stopped by Ctrl-C, as shells have it.
const INTERRUPTED: i32 = 130;

/// Returns a token that SIGTERM or SIGINT cancels. The next signal ends the process where it
/// stands: a batch in flight is rolled back by the database then.
///
/// # Errors
/// A system that refuses to hand signals over.
pub(crate) fn shutdown() -> miette::Result<CancellationToken> {
    let listen = |kind| signal(kind).map_err(|error| miette!("signals can't be heard: {error}"));
    // Registered here and not in the task, so that no signal falls into the gap before it runs.
    let (mut term, mut int) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    // The task lives as long as the process; there is nothing to join.
    tokio::spawn(async move {
        let name = either(&mut term, &mut int).await;
        info!(
            signal = name,
            "stopping: the batches in flight are finished; again to stop at once"
        );
        token.cancel();
        either(&mut term, &mut int).await;
        std::process::exit(INTERRUPTED);
    });
    Ok(shutdown)
}

async fn either(term: &mut Signal, int: &mut Signal) -> &'static str {
    tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    }
}
