//! `tidegate`: the program that shows the drain, runs it, and looks after it.
//!
//! ```text
//! args ─► config ─► connect ─► one command ─► output, or a failure ─► exit code
//! ```
//!
//! In the order of the flow:
//!
//! * [`args`] is the command line and its help,
//! * [`logging`] sends the log to the standard error, [`progress`] keeps it and bars apart,
//! * [`config`] reads the settings, [`tenant`] picks those of whom a command is for,
//! * [`connect`] opens the store and the sink, [`signals`] hears that it is time to stop,
//! * [`drain`] and [`demo`] are the commands,
//! * [`output`] and [`table`] print results, [`failure`] explains what went wrong.
//!
//! Results go to the standard output, everything else to the standard error. Neither ever shows
//! a password, and the log never shows an operation.

mod args;
mod config;
mod connect;
mod demo;
mod drain;
mod failure;
mod logging;
mod output;
mod progress;
mod signals;
mod table;
mod tenant;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};

/// Every operation is a dozen small allocations, a fifth of the time with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the end of the program waits for what still runs in the background. A read of the
/// standard input can't be interrupted, so there must be a bound.
const BACKGROUND_GRACE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = logging::start(&cli.log).and_then(|()| {
        let runtime = tokio::runtime::Runtime::new()
            .map_err(|error| miette::miette!("the asynchronous runtime can't start: {error}"))?;
        let ended = runtime.block_on(Box::pin(run(cli)));
        runtime.shutdown_timeout(BACKGROUND_GRACE);
        ended
    });
    ended.unwrap_or_else(|report| {
        failure::print(&report);
        ExitCode::FAILURE
    })
}

async fn run(cli: Cli) -> miette::Result<ExitCode> {
    let load = || config::load(cli.config.as_deref(), cli.hyperswitch_config.as_deref());
    match &cli.command {
        Command::Demo(args) => demo::run(args).await,
        Command::Drain(command) => Box::pin(drain::run(command, &load()?.settings)).await,
        Command::Config(command) => config::run(command, load()?).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "tidegate", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
