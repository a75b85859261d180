//! `chaos`: random faults over a mixed load, and a proof after each round that nothing was lost,
//! doubled or reordered.
//!
//! ```text
//! seed ─► script: load, faults, model ─► producer ─► Redis ─► workers ─► PostgreSQL
//!                                │                     ▲         ▲           ▲   │
//!                                └──── faults ─────────┴─────────┴───────────┘   │
//!                                └──── model ──────────► comparison ◄────────────┘
//! ```
//!
//! In the order of the flow:
//!
//! * [`program`] finds the program under test, [`site`] starts servers, proxies and workers,
//! * [`plan`] says which faults there are, [`load`] what is sent, [`model`] what must come of it; all
//!   three are functions of the seed and the round,
//! * [`producer`] sends, [`act`] does the faults,
//! * [`witness`] reads the tables, [`compare`](mod@compare) holds them against the model,
//! * [`round`] is one round, [`report`] sums up.
//!
//! A round begins with empty tables and has numbers of its own, so that any round can be played alone
//! and what reaches the tables too late is recognised. The times of day, and how fast the machine
//! is, no seed can repeat: a failure may need several tries.

mod act;
mod compare;
mod load;
mod model;
mod plan;
mod producer;
mod program;
mod report;
mod round;
mod site;
mod witness;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use self::producer::Producer;
use self::report::Report;
use self::round::Script;
use self::site::Site;
use crate::error::{Error, Result};

/// How chaos is to be made.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate-bench chaos --rounds 100
  tidegate-bench chaos --seed 42 --first-round 17 --rounds 1     one round of another run again
  tidegate-bench chaos --rounds 5 --json

It starts its own Redis and PostgreSQL and three workers (`tidegate drain run`); a round takes about
seven seconds. Exit code 1 if anything was lost, doubled, reordered or wrongly held; then the logs of
the workers, the operations and the differences are kept in the directory that is named.")]
pub(crate) struct ChaosArgs {
    /// How many rounds.
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rounds: u64,

    /// Decides on the faults and the load; by default it is another one each time.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// The first round's number.
    #[arg(long, value_name = "R", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    first_round: u64,

    /// How many operations each round sends.
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(100..=100_000))]
    operations: u32,

    /// The program under test; by default it is built from these sources.
    #[arg(long, value_name = "FILE")]
    tidegate: Option<PathBuf>,

    /// Keep the directory with the logs also where everything went well.
    #[arg(long)]
    keep: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Makes chaos, and returns what is to be printed.
///
/// # Errors
/// Tables that are not what they must be, after the report was printed; and whatever kept a
/// round from its end.
pub(crate) async fn measure(args: &ChaosArgs) -> Result<String> {
    let seed = args.seed.unwrap_or_else(seed_of_now);
    let program = program::find(args.tidegate.as_deref())?;
    let dir = tempfile::Builder::new()
        .prefix("tidegate-chaos-")
        .tempdir()
        .map_err(Error::system("making a directory"))?;
    eprintln!("seed {seed}, logs in {}", dir.path().display());
    let mut report = Report::new(seed);
    let played = play(args, seed, program, dir.path(), &mut report).await;
    if args.keep || !report.is_right() || played.is_err() {
        report.keep(&dir.keep(), played.as_ref().err())?;
    }
    let text = if args.json {
        report.to_json()?
    } else {
        report.to_text()
    };
    match played {
        Ok(()) if report.is_right() => Ok(text),
        Ok(()) => {
            println!("{text}");
            Err(Error::Unexpected(
                "the tables are not what they must be".to_owned(),
            ))
        }
        Err(error) => {
            println!("{text}");
            Err(error)
        }
    }
}

/// Plays the rounds, up to the first that goes wrong.
async fn play(
    args: &ChaosArgs,
    seed: u64,
    program: PathBuf,
    dir: &Path,
    report: &mut Report,
) -> Result<()> {
    let site = Site::start(program, dir).await?;
    let producer = Producer::connect(site.producer_link.port()).await?;
    let operations = usize::try_from(args.operations).unwrap_or(usize::MAX);
    let mut has_lost = false;
    for round in args.first_round..args.first_round + args.rounds {
        let script = Script::write(seed, round, operations);
        has_lost |= script.loses();
        let played = round::play(&site, &producer, round, &script, !has_lost).await;
        match played {
            Ok(outcome) => report.add(outcome),
            Err(error) => {
                site.save_logs().await?;
                report::write_script(dir, &script)?;
                report.broken_in(round, &script);
                return Err(error);
            }
        }
        if !report.is_right() {
            site.save_logs().await?;
            return report::write_script(dir, &script);
        }
    }
    site.stop_workers().await
}

fn seed_of_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // Few digits, since people copy it.
    since.map_or(1, |since| since.as_secs() % 1_000_000)
}
