//! `tidegate-bench`: measures Tidegate beside its limit and its peers, in one run.
//!
//! Redis, PostgreSQL and the measured programs share one machine, so a figure alone says little;
//! the ratios of figures that were measured in turn in one run say what is promised.
//!
//! ```text
//! args ─► servers of our own ─► load ─► one contestant in a process of its own ─► check ─► table
//!                                 └───────────── again, in turn ◄──────────────────┘
//! ```
//!
//! In the order of the flow:
//!
//! * [`drain`] measures the drain, [`streams`] the streams, [`tasks`] the tasks; [`chaos`] breaks
//!   everything but promises,
//! * [`servers`] starts what is measured against, [`disk`] says how slow its disk is,
//! * [`subprocess`] runs one contestant,
//! * [`usage`] is what a run costs: time, processor, memory,
//! * [`median`](mod@median) sums up, [`table`] prints.
//!
//! Progress goes to the standard error, results to the standard output. The exit code says whether
//! everything could be measured and every result was right, whatever the figures are. If the
//! process dies, its servers die with it.

#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

mod chaos;
mod disk;
mod drain;
mod error;
mod median;
mod servers;
mod streams;
mod subprocess;
mod table;
mod tasks;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Every operation is a dozen small allocations, a fifth of the time with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Tidegate beside its limit and its peers, in one run.
#[derive(Debug, Parser)]
#[command(name = "tidegate-bench", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What is to be measured.
#[derive(Debug, Subcommand)]
enum Command {
    /// Operations from Redis into PostgreSQL: the drain, a drainer without batches, and COPY.
    Drain(drain::DrainArgs),

    /// Events over 16 partitions of Redis: processed and sent, beside a bare loop of commands.
    Streams(streams::StreamsArgs),

    /// No-op tasks through queues on Redis: ours, Dramatiq's, BullMQ's and apalis-redis's.
    Tasks(tasks::TasksArgs),

    /// Random faults over a mixed load: is anything lost, doubled or reordered?
    Chaos(chaos::ChaosArgs),

    /// One run of one contestant, in a process of its own.
    #[command(hide = true)]
    DrainRun {
        /// The run as JSON.
        #[arg(value_parser = drain::Run::parse)]
        run: drain::Run,
    },

    /// One worker, in a process of its own.
    #[command(hide = true)]
    StreamsWorker {
        /// What it does, as JSON.
        #[arg(value_parser = streams::Job::parse)]
        job: streams::Job,
    },

    /// One run at one rate, in a process of its own.
    #[command(hide = true)]
    DrainDelayRun {
        /// The run as JSON.
        #[arg(value_parser = drain::DelayRun::parse)]
        run: drain::DelayRun,
    },

    /// One run of one contestant, in a process of its own.
    #[command(hide = true)]
    TasksRun {
        /// The run as JSON.
        #[arg(value_parser = tasks::Run::parse)]
        run: tasks::Run,
    },

    /// One run of one contestant, in a process of its own.
    #[command(hide = true)]
    StreamsRun {
        /// The run as JSON.
        #[arg(value_parser = streams::Run::parse)]
        run: streams::Run,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Drain(args) => Box::pin(drain::measure(&args)).await,
        Command::Streams(args) => Box::pin(streams::measure(&args)).await,
        Command::StreamsWorker { job } => Box::pin(streams::run_worker(&job)).await,
        Command::Chaos(args) => Box::pin(chaos::measure(&args)).await,
        Command::Tasks(args) => Box::pin(tasks::measure(&args)).await,
        Command::TasksRun { run } => Box::pin(tasks::run_one(&run)).await,
        Command::StreamsRun { run } => Box::pin(streams::run_one(&run)).await,
        Command::DrainDelayRun { run } => Box::pin(drain::run_delay(&run)).await,
        Command::DrainRun { run } => Box::pin(drain::run_one(&run)).await,
    };
    ended.map_or_else(
        |error| {
            eprintln!("tidegate-bench: {error}");
            ExitCode::FAILURE
        },
        |text| {
            println!("{text}");
            ExitCode::SUCCESS
        },
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
