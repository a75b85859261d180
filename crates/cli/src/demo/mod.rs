//! The demo: the main job on a bare machine, for real, with nothing configured.
//!
//! ```text
//! scenario ─► feed ─► stream ─► worker, a child process ─► tables
//!     │                            ▲ SIGKILL, several times    │
//!     └─► model ───────────────────┴──────────────► verify ◄───┘
//! ```
//!
//! In the order of the flow:
//!
//! * [`place`] is the directory, [`schema`] the tables in it,
//! * [`scenario`] tells a day of a payments company, [`model`] knows what must come of it,
//! * [`feed`] sends, [`ledger`] sees what is settled, both through the shared [`state`],
//! * [`child`] is the worker, [`kills`] and [`crashes`] end it, [`witness`] hears what it says,
//! * [`show`] draws the bar,
//! * [`verify`] counts: [`tables`] are read and [`compare`]d, and the dead [`letters`],
//! * [`report`] is the result for machines, [`summary`] the one for people.
//!
//! All parts run in one task, and end together; the worker is killed when the demo ends early.
//! Only when the demo itself is killed with SIGKILL it can't do so: then its worker and its
//! directory are left behind, and have to be removed by hand.

mod child;
mod compare;
mod crashes;
mod feed;
mod kills;
mod ledger;
mod letters;
mod model;
mod place;
mod report;
mod scenario;
mod schema;
mod show;
mod state;
mod summary;
mod tables;
mod verify;
mod witness;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tidegate_drain::Options;
use tidegate_drain::route::Sender;

use crate::args::DemoArgs;
use crate::connect::{self, Ends};
use crate::{failure, output, progress, signals};

use model::Model;
use place::Place;
use report::Report;
use scenario::Scenario;
use state::{SharedState, State};
use witness::Witness;

/// Enough to be seen at work on two cores for some seconds.
const OPERATIONS_DEFAULT: u64 = 80_000;
/// The exit code of a program that was stopped by Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// Runs the demo.
///
/// # Errors
/// Whatever kept it from coming to its end. A demo that finds something lost or doubled has come
/// to its end, and says so by its exit code.
pub(crate) async fn run(args: &DemoArgs) -> miette::Result<ExitCode> {
    let stop = signals::shutdown()?;
    let place = Place::take(args.dir.as_deref())?;
    let witness = Witness::new()?;
    let ended = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(interrupted()),
        ended = Box::pin(perform(args, &place, &witness)) => ended,
    };
    match ended {
        // Ctrl-C reaches the worker as well, and its end may be seen first.
        Err(_) if stop.is_cancelled() => Ok(interrupted()),
        Err(error) => {
            for line in witness.log() {
                progress::note(&format!("worker: {}", output::clean(&line)));
            }
            Err(error)
        }
        Ok(exit) => Ok(exit),
    }
}

fn interrupted() -> ExitCode {
    progress::note("interrupted; the worker is stopped");
    ExitCode::from(INTERRUPTED)
}

async fn perform(args: &DemoArgs, place: &Place, witness: &Witness) -> miette::Result<ExitCode> {
    place.furnish()?;
    let settings = place.settings()?;
    let ends = connect::open(&settings).await?;
    ends.sink.prepare().await.map_err(failure::drain)?;

    let played = play(args, place, witness, &ends, &settings.drain).await?;
    let Played {
        model,
        state,
        elapsed,
    } = played;
    let findings = verify::verify(model, place.file(), &ends, &settings.drain, state.sent).await?;
    let testimony = witness.testify()?;
    let report = Report::new(state.sent, state.kills, elapsed, &findings, testimony);
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&summary::tell(&report, &findings, testimony, place))?;
    }
    Ok(if findings.is_right() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What a day that is over leaves behind.
struct Played {
    model: Model,
    state: State,
    /// From the first operation sent to the last one settled.
    elapsed: Duration,
}

/// Sends the day while workers drain it and are killed, until everything is settled.
async fn play(
    args: &DemoArgs,
    place: &Place,
    witness: &Witness,
    ends: &Ends,
    options: &Options,
) -> miette::Result<Played> {
    let operations = args.operations.unwrap_or(OPERATIONS_DEFAULT);
    let kills = if args.no_crash {
        Vec::new()
    } else {
        kills::plan(args.seed, operations)
    };
    let catalog = ends.sink.catalog().await.map_err(failure::drain)?;
    let (stream, partitions) = (options.stream.clone(), options.partitions);
    let sender = Sender::new(ends.store.clone(), catalog, stream, partitions);

    let state = SharedState::new(State::default());
    let started = Instant::now();
    let (model, elapsed, (), ()) = tokio::try_join!(
        feed::feed(
            &sender,
            Scenario::new(args.seed, operations),
            &kills,
            &state
        ),
        async {
            ledger::watch(ends, options, &state).await?;
            Ok(started.elapsed())
        },
        Box::pin(crashes::run_workers(place, &kills, witness, &state)),
        show::show(&state, operations, args.json),
    )?;
    let state = *state.borrow();
    Ok(Played {
        model,
        state,
        elapsed,
    })
}
