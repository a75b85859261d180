//! `drain`: operations from Redis into PostgreSQL, three ways.
//!
//! ```text
//! workload ─► load into Redis ─► contestant in a process of its own ─► check the table ─► report
//!     └─► what the table must hold at the end ─────────────────────────────────┘
//! ```
//!
//! In the order of the flow:
//!
//! * [`payment`] is the table and its rows, [`workload`] the operations on them,
//! * [`load`] puts operations into the shards, [`copy`] rows straight into the table,
//! * [`contest`] runs the contestants in turn and checks what each one left,
//! * [`run`] is one run in its own process: of the [`limit`], of the [`baseline`], of [`tidegate`],
//! * [`delay`] pushes at steady rates and measures how late each operation is committed,
//! * [`report`] makes medians and ratios of it.
//!
//! The load is in Redis before a run begins. A run lasts until every operation is committed and
//! its shard trimmed. Then the whole table is held against the model: a fast wrong result is an
//! error, not a figure.

mod baseline;
mod contest;
mod copy;
mod delay;
mod limit;
mod load;
mod payment;
mod report;
mod run;
mod tidegate;
mod workload;

use clap::Args;

pub(crate) use delay::{DelayRun, run_one as run_delay};
pub(crate) use run::{Run, run_one};

use crate::disk;
use crate::error::{Error, Result};
use crate::servers::Servers;
use contest::Contest;
use report::{Report, Setting};
use workload::Workload;

/// How the drain is to be measured.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate-bench drain
  tidegate-bench drain --operations 50000 --rounds 1
  tidegate-bench drain --rounds 5 --json

It starts its own Redis and PostgreSQL, and takes about three minutes with the defaults.
Only ratios within one run mean something: the servers and the measured program share the machine.")]
pub(crate) struct DrainArgs {
    /// How many operations each run of Tidegate drains, and how many rows the limit copies.
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    operations: u64,

    /// How many operations each run of the drainer without batches gets; it is slow.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    baseline_operations: u64,

    /// How often each contestant runs; the medians count.
    #[arg(long, value_name = "R", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,

    /// How many shards the stream has.
    #[arg(long, value_name = "N", default_value_t = 8)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_024))]
    shards: u32,

    /// The most operations of one of Tidegate's transactions.
    #[arg(long, value_name = "N", default_value_t = 4_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,

    /// The most connections that Tidegate opens to PostgreSQL.
    #[arg(long, value_name = "N", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    connections: u32,

    /// For how many seconds operations are pushed at each rate, to measure their delay; 0 for not
    /// at all.
    #[arg(long, value_name = "S", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=3_600))]
    delay_seconds: u32,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Measures, and returns what is to be printed.
///
/// # Errors
/// Whatever prevented a run, and a run that left a wrong table.
pub(crate) async fn measure(args: &DrainArgs) -> Result<String> {
    let servers = Servers::start().await?;
    let setting = Setting {
        servers: servers.facts().await?,
        disk_sync_us: disk::sync_time()?.as_micros(),
        cores: cores()?,
        shards: args.shards,
        batch: args.batch,
        connections: args.connections,
        baseline_connections: baseline::CONNECTIONS,
        limit_connections: limit::CONNECTIONS,
        operations: args.operations,
        baseline_operations: args.baseline_operations,
        rounds: args.rounds,
        row_bytes: Workload::Inserts.mean_bytes(args.operations)?,
        mixed_bytes: Workload::Mixed.mean_bytes(args.operations)?,
    };
    let contest = Box::pin(Contest::prepare(servers, args)).await?;
    let mut rounds = Vec::new();
    for round in 1..=args.rounds {
        for workload in Workload::ALL {
            eprintln!("round {round} of {}, {workload}", args.rounds);
            rounds.push((workload, contest.round(workload).await?));
        }
    }
    let report = Report::new(setting, &rounds, contest.delays().await?);
    if args.json {
        Ok(serde_json::to_string(&report)?)
    } else {
        Ok(report.to_text())
    }
}

fn cores() -> Result<usize> {
    let cores = std::thread::available_parallelism();
    Ok(cores.map_err(Error::system("counting the cores"))?.get())
}
