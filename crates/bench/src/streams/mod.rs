//! `streams`: events over the partitions of a stream in Redis, beside bare loops of commands.
//!
//! ```text
//! fill the partitions once ─► each reader in turn, with a group of its own ─┐
//! an empty stream ─► each sender in turn ───────────────────────────────────┼─► report
//! whole workers ─► one is ended; one stalls ────────────────────────────────┘
//! ```
//!
//! In the order of the flow:
//!
//! * [`order`] is the record, about 120 bytes of JSON,
//! * [`raw`] is the limit: the fewest commands that read and acknowledge, or append, everything,
//!   with the client that the store uses,
//! * [`processing`] and [`sending`] are ours,
//! * [`run`] is one run in its own process,
//! * [`workers`] are whole workers in processes of their own: how soon one takes over from another,
//!   and what memory one takes that doesn't go on,
//! * [`report`] makes medians and ratios of it.
//!
//! Every reader must see every event once, and every sender append all of them: a fast wrong run
//! is an error, not a figure.

mod order;
mod processing;
mod raw;
mod report;
mod run;
mod sending;
mod workers;

use clap::Args;
use rustis::client::Client;
use rustis::resp::cmd;
use tidegate_testkit::RedisServer;

pub(crate) use run::{Run, run_one};
pub(crate) use workers::{Job, run_worker};

use crate::error::{Error, Result};
use crate::usage::{Processes, Usage};
use report::{Report, Setting};
use run::Contestant;

/// The application and the stream that everybody reads and writes.
const APP: &str = "bench";
const STREAM: &str = "orders";

/// How streams are to be measured.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate-bench streams
  tidegate-bench streams --events 100000 --rounds 3
  tidegate-bench streams --rounds 7 --json

It starts its own Redis, and takes about four minutes with the defaults. Takeovers are measured
in ten rounds at least.
Only ratios within one run mean something: the server and the measured program share the machine.")]
pub(crate) struct StreamsArgs {
    /// How many events each run reads or sends.
    #[arg(long, value_name = "N", default_value_t = 400_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    events: u64,

    /// How often each contestant runs; the medians count.
    #[arg(long, value_name = "R", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,

    /// How many partitions the stream has.
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_024))]
    partitions: u32,

    /// The most events that one read brings of one partition.
    #[arg(long, value_name = "N", default_value_t = 500)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=10_000))]
    count: u32,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Measures, and returns what is to be printed.
///
/// # Errors
/// Whatever prevented a run, and a run that read or sent another number of events.
pub(crate) async fn measure(args: &StreamsArgs) -> Result<String> {
    let server = RedisServer::start().await?;
    let client = Client::connect(server.url()).await?;
    let info: String = client.send(cmd("INFO").arg("server"), None).await?;
    let of = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let redis = of("process_id").and_then(|pid| pid.trim().parse().ok());
    let redis = redis.ok_or_else(|| Error::Unexpected("Redis does not say who it is".into()))?;
    let setting = Setting {
        redis_version: of("redis_version").unwrap_or_default().trim().to_owned(),
        events: args.events,
        rounds: args.rounds,
        partitions: args.partitions,
        count: args.count,
        record_bytes: order::mean_bytes(args.events)?,
    };
    let usages = contest(args, &server.url(), &client, redis).await?;
    empty(&client).await?;
    let rounds = args.rounds.max(workers::ROUNDS_MIN);
    let takeovers = Box::pin(workers::measure_takeovers(&server.url(), rounds)).await?;
    empty(&client).await?;
    let stalled = Box::pin(workers::measure_stalled(&server.url())).await?;
    let report = Report::new(setting, &usages, takeovers, stalled);
    if args.json {
        Ok(serde_json::to_string(&report)?)
    } else {
        Ok(report.to_text())
    }
}

/// Lets everybody run, in turn.
async fn contest(
    args: &StreamsArgs,
    redis_url: &str,
    client: &Client,
    redis: u32,
) -> Result<Vec<(Contestant, Usage)>> {
    let run = |contestant, round| Run {
        contestant,
        round,
        events: args.events,
        partitions: args.partitions,
        count: args.count,
        redis_url: redis_url.to_owned(),
        processes: Processes {
            postmaster: None,
            redis,
        },
    };
    let mut usages = Vec::new();
    for round in 1..=args.rounds {
        // Senders first: what the last of them leaves is what the readers read.
        for contestant in Contestant::SENDERS.into_iter().chain(Contestant::READERS) {
            if Contestant::SENDERS.contains(&contestant) {
                empty(client).await?;
            }
            let usage = run(contestant, round).spawn().await?;
            eprintln!(
                "round {round} of {}, {contestant}: {:.2} s, others had {:.1} cores",
                args.rounds,
                usage.elapsed_seconds,
                usage.others_cores(),
            );
            usages.push((contestant, usage));
        }
    }
    Ok(usages)
}

async fn empty(client: &Client) -> Result<()> {
    Ok(client.send::<()>(cmd("FLUSHALL").arg("SYNC"), None).await?)
}
