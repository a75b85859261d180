//! `tidegate drain run`: a worker in the foreground, until it is told to stop.
//!
//! ```text
//! signals ──► stop ──► Worker ──► summary
//! --once: nothing left ─┘  └─► Tally: counts, JSON lines, the live line
//! ```
//!
//! The worker and those who watch it run in one task; nothing is left behind when it ends. If
//! the process dies here, the database rolls the batch in flight back, and the next owner of its
//! shards begins with it.

mod live;
mod tally;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use miette::miette;
use tidegate_drain::{Error, Worker, status};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::args::RunArgs;
use crate::config::Settings;
use crate::connect::{self, Ends};
use crate::{failure, output, signals};

use live::Live;
use tally::Tally;

/// How often `--once` asks whether anything is left.
const ONCE_PAUSE: Duration = Duration::from_millis(100);
/// What the worker may take beyond the grace of its batches, to give its shards back.
const RELEASE_MARGIN: Duration = Duration::from_secs(5);

/// Drains until a signal, or with `--once` until nothing is left.
///
/// # Errors
/// What the worker can't wait out, and a worker that does not stop in time.
pub(crate) async fn run(args: &RunArgs, settings: &Settings) -> miette::Result<ExitCode> {
    let shutdown = signals::shutdown()?;
    let ends = tokio::select! {
        ends = connect::open(settings) => ends?,
        () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let options = &settings.drain;
    let sink = ends.sink.describe();
    info!(stream = %options.stream, partitions = options.partitions, %sink, "draining");
    if !settings.ignored.is_empty() {
        let ignored = settings.ignored.join("; ");
        warn!(%ignored, "some settings of Hyperswitch's drainer have no effect here");
    }
    let tally = Arc::new(Tally::new(args.json));
    let drained = drain(args.once, settings, &ends, &tally, shutdown).await;
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
    ends: &Ends,
    tally: &Arc<Tally>,
    stop: CancellationToken,
) -> miette::Result<()> {
    let options = settings.drain.clone();
    let (store, sink) = (ends.store.clone(), ends.sink.clone());
    let worker = Worker::new(store, sink, options, tally.clone()).map_err(failure::drain)?;
    let mut worker = Box::pin(worker.run(stop.clone()));
    let live = Live::new(ends, &settings.drain, tally);
    let mut live = Box::pin(live.show());
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(settings.drain.grace + RELEASE_MARGIN).await;
    };
    let mut too_late = Box::pin(too_late);
    let mut asking = Ok(());
    loop {
        tokio::select! {
            ended = &mut worker => {
                return ended.map_err(failure::drain).and(asking.map_err(failure::drain));
            }
            answer = until_drained(ends, settings), if once && !stop.is_cancelled() => {
                asking = answer;
                stop.cancel();
            }
            () = &mut live => {}
            () = &mut too_late => return Err(miette!(
                help = "nothing is lost: what was in flight is either committed or rolled back, \
                        and other workers take the shards over when the leases end",
                "the worker did not stop within drain.grace"
            )),
        }
    }
}

/// Returns when every entry is settled. While a server is away nobody knows, so it goes on
/// asking; the worker tells of the outage.
async fn until_drained(ends: &Ends, settings: &Settings) -> Result<(), Error> {
    loop {
        match status::is_drained(&*ends.store, &*ends.sink, &settings.drain).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if error.is_worth_waiting() => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(ONCE_PAUSE).await;
    }
}
