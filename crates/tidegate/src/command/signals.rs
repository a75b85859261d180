//! Signals: the first one asks for an orderly end, the second ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The exit code of a process that a second signal ends, as a shell has it for SIGINT.
const EXIT_AT_ONCE: i32 = 130;

/// Cancels `shutdown` on SIGTERM or SIGINT, as long as what it returns lives.
pub(super) fn cancel_on_signal(shutdown: CancellationToken) -> (JoinHandle<()>, DropGuard) {
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    let listening = tokio::spawn(async move {
        let (terminate, interrupt) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        );
        let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
            tracing::warn!("signals can't be heard; end the process with SIGKILL");
            return;
        };
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = ended.cancelled() => return,
            }
            if shutdown.is_cancelled() {
                std::process::exit(EXIT_AT_ONCE);
            }
            tracing::info!("stopping; a second signal stops at once");
            shutdown.cancel();
        }
    });
    (listening, guard)
}
