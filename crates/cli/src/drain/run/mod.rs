//! `tidegate drain run`: the drains of this process in the foreground, until it is told to stop.
//!
//! ```text
//! signals ──► stop ──► Runner: a worker for each tenant ──► summary
//! --once: nothing left ─┘  ├─► Tally: counts, JSON lines, the live line
//!                          └─► Metrics ─► the console, over HTTP
//! ```
//!
//! [`site`] builds it, this runs it. The console answers until the last worker has ended. If the
//! process dies here, the database rolls the batches in flight back, and the next owners of its
//! shards begin with them.

mod live;
mod site;
mod tally;
mod traces;

use std::process::ExitCode;
use std::time::Duration;

use miette::miette;
use tidegate_drain::tenants::Handle;
use tidegate_drain::{Error, status};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::args::RunArgs;
use crate::config::Settings;
use crate::{failure, output, signals};

use live::Live;
use site::Site;

/// How often `--once` asks whether anything is left.
const ONCE_PAUSE: Duration = Duration::from_millis(100);
/// What the workers may take beyond the grace of their batches, to give their shards back.
const RELEASE_MARGIN: Duration = Duration::from_secs(5);

/// Drains until a signal, or with `--once` until nothing is left.
///
/// # Errors
/// What a worker can't wait out, and workers that do not stop in time.
pub(crate) async fn run(args: &RunArgs, settings: &Settings) -> miette::Result<ExitCode> {
    let shutdown = signals::shutdown()?;
    let site = tokio::select! {
        site = Site::build(args, settings) => site?,
        () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    if !settings.ignored.is_empty() {
        let ignored = settings.ignored.join("; ");
        warn!(%ignored, "some settings of Hyperswitch's drainer have no effect here");
    }
    let (tally, traces) = (site.tally.clone(), site.traces.clone());
    let drained = drain(args.once, settings, site, shutdown).await;
    traces.close().await;
    // What was done is told also where it ended badly.
    if args.json {
        output::print_json(&serde_json::json!({ "summary": tally.summary() }))?;
    } else {
        output::print_line(&tally.sentence())?;
    }
    drained.map(|()| ExitCode::SUCCESS)
}

async fn drain(
    once: bool,
    settings: &Settings,
    site: Site,
    stop: CancellationToken,
) -> miette::Result<()> {
    let tenants = site.runner.handles();
    let mut runner = Box::pin(site.runner.run(stop.clone()));
    let console_end = CancellationToken::new();
    let mut console = Box::pin(async {
        if let Some(console) = site.console {
            console.run(console_end.clone()).await;
        }
        // Without a console there is nothing to wait for, until the end.
        console_end.cancelled().await;
    });
    let mut live = Box::pin(Live::new(&tenants, &site.tally).show());
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(settings.drain.grace + RELEASE_MARGIN).await;
    };
    let mut too_late = Box::pin(too_late);
    let mut asking = Ok(());
    let ended = loop {
        tokio::select! {
            ended = &mut runner => {
                break ended.map_err(failure::drain).and(asking.map_err(failure::drain));
            }
            answer = until_drained(&tenants), if once && !stop.is_cancelled() => {
                asking = answer;
                stop.cancel();
            }
            () = &mut live => {}
            () = &mut console => {}
            () = &mut too_late => break Err(miette!(
                help = "nothing is lost: what was in flight is either committed or rolled back, \
                        and other workers take the shards over when the leases end",
                "a worker did not stop within drain.grace"
            )),
        }
    };
    console_end.cancel();
    // It ends within its own grace; without one there is nothing to end.
    let _ = tokio::time::timeout(RELEASE_MARGIN, console).await;
    ended
}

/// Returns when every entry of every tenant is settled. While a server is away nobody knows, so
/// it goes on asking; the workers tell of the outage.
async fn until_drained(tenants: &[Handle]) -> Result<(), Error> {
    'again: loop {
        tokio::time::sleep(ONCE_PAUSE).await;
        for tenant in tenants {
            let Some(ends) = tenant.ends() else {
                continue 'again;
            };
            match status::is_drained(&*ends.store, &*ends.sink, tenant.options()).await {
                Ok(true) => {}
                Ok(false) => continue 'again,
                Err(error) if error.is_worth_waiting() => continue 'again,
                Err(error) => return Err(error),
            }
        }
        return Ok(());
    }
}
