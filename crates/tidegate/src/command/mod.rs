//! The command line that an application gets: workers, sending, and a look at its streams.
//!
//! ```text
//! arguments ─► one command ─► the store ─► text or JSON on the standard output
//! ```
//!
//! In the order of use: [`worker`] runs the processors and the schedules and tells how it goes by
//! its [`console`], [`send`] sends records, [`stream`] shows the streams, [`mod@repartition`]
//! changes their partitions, [`dead`] what was given up, [`processor`] moves the processors'
//! positions and releases what
//! they hold back, and [`task`] deals with tasks,
//! which [`task_metrics`] counts.

mod console;
mod dead;
mod output;
mod processor;
mod repartition;
mod send;
mod signals;
mod stream;
mod task;
mod task_metrics;
mod worker;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::{App, Error};

/// The variable that says where the streams are, as the configuration of `tidegate` itself has it.
pub(crate) const STORE_URL_VARIABLE: &str = "TIDEGATE__STORE__URL";
/// What is logged where nothing is said. The Redis client repeats what the store says once.
const LOG_LEVELS: &str = "info,rustis=off";

#[derive(Debug, Parser)]
#[command(
    subcommand_required = false,
    arg_required_else_help = false,
    max_term_width = 100
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, Args)]
struct Global {
    /// Where the streams are: redis://HOST:PORT, rediss:// (TLS) or sqlite://FILE.
    #[arg(long = "store", value_name = "URL", global = true)]
    #[arg(env = STORE_URL_VARIABLE, hide_env_values = true)]
    store_url: Option<String>,

    /// What is logged: off, error, warn, info, debug, trace, or a list of target=level.
    #[arg(long, value_name = "LEVEL", global = true, default_value = LOG_LEVELS)]
    log_level: String,

    /// Print JSON, one object per line.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run processors, tasks and schedules until SIGTERM or SIGINT; this is also what happens without a
    /// command.
    Worker(worker::WorkerArgs),
    /// Send one record.
    Send(send::SendArgs),
    /// Send a record for each line of a file.
    #[command(name = "sendmany")]
    SendMany(send::SendManyArgs),
    /// Move a processor's position, or release what it holds back.
    #[command(subcommand)]
    Processor(processor::ProcessorCommand),
    /// Look at the streams.
    #[command(subcommand)]
    Stream(stream::StreamCommand),
    /// Enqueue tasks, look at them, and deal with those that are dead.
    #[command(subcommand)]
    Task(task::TaskCommand),
}

/// Runs the command that the arguments name; says what goes wrong.
pub(crate) async fn main(app: App, arguments: Vec<OsString>) -> ExitCode {
    let parsed = match parse(&app, arguments) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    let ended = match start_log(&parsed.global.log_level) {
        Ok(()) => {
            let shutdown = CancellationToken::new();
            let _signals = signals::cancel_on_signal(shutdown.clone());
            Box::pin(perform(app, parsed, shutdown)).await
        }
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Runs the command that the arguments name, without a log of its own.
pub(crate) async fn run(
    app: App,
    arguments: Vec<OsString>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let parsed = parse(&app, arguments).map_err(|error| Error::Invalid(error.to_string()))?;
    Box::pin(perform(app, parsed, shutdown)).await
}

fn parse(app: &App, arguments: Vec<OsString>) -> Result<Arguments, clap::Error> {
    let mut command = Arguments::command();
    if let Some(about) = &app.about {
        command = command.about(about.clone());
    }
    Arguments::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

async fn perform(
    mut app: App,
    arguments: Arguments,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    app.check()?;
    let Arguments { global, command } = arguments;
    let url = global.store_url.as_deref();
    if let Some(Command::Task(command)) = command {
        let client = app.tasks.client(app.connect_tasks(url).await?, &app.name)?;
        return task::run(&app, &client, command, global.json).await;
    }
    let store = app.connect(url).await?;
    match command.unwrap_or(Command::Worker(worker::WorkerArgs::default())) {
        Command::Worker(args) => {
            let tasks = match app.tasks.is_empty() {
                true => None,
                false => Some(app.connect_tasks(url).await?),
            };
            worker::run(app, store, tasks, &args, shutdown).await
        }
        Command::Send(args) => send::send(&app, store, &args, global.json).await,
        Command::SendMany(args) => {
            send::send_many(&app, store, &args, global.json, &shutdown).await
        }
        Command::Processor(command) => processor::run(&app, &*store, &command, global.json).await,
        Command::Stream(command) => {
            stream::run(&app, store, &command, global.json, &shutdown).await
        }
        // It needs no connection for streams, and has had its turn.
        Command::Task(_) => Ok(()),
    }
}

fn start_log(levels: &str) -> Result<(), Error> {
    let filter: Targets = levels.parse().map_err(|error| {
        Error::Invalid(format!(
            "the log level {levels:?} can't be read: {error}; use off, error, warn, info, debug or \
             trace, or a list such as tidegate_streams=debug"
        ))
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // Where the user's program has a log already, that one is kept.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_is_a_worker() {
        let parsed = parse(&App::new("shop"), vec!["shop".into()]).unwrap();
        assert!(parsed.command.is_none());
    }
}
