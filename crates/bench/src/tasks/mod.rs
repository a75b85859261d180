//! `tasks`: no-op tasks through queues on Redis, beside other queues on the same server.
//!
//! ```text
//! an empty server ─► one contestant puts tasks in, one by one and in bulk ─► its worker works through
//!        ▲                them ─► tasks at a hundred a second, and when each begins ──┐
//!        └──────────────────── again, in turn ◄───────────────────────────────────────┴─► report
//! ```
//!
//! In the order of the flow:
//!
//! * [`contestant`] says who runs, and what,
//! * [`tidegate`] is ours, `apalis` a Rust peer (with the feature of that name), [`peer`] those in
//!   other languages, whose programs are in `peers/`,
//! * [`run`] is one run in its own process,
//! * [`report`] makes medians and ratios of it.
//!
//! A worker must have worked on every task, and a queue must be empty in the end: a fast wrong run is an
//! error, not a figure.

#[cfg(feature = "apalis")]
mod apalis;
mod contestant;
mod peer;
mod report;
mod run;
mod tidegate;

use clap::Args;
use rustis::client::Client;
use rustis::resp::cmd;
use tidegate_testkit::RedisServer;

pub(crate) use run::{Run, run_one};

use crate::error::{Error, Result};
use crate::usage::Processes;
use contestant::{Contestant, Stage};
use report::{Report, Setting};
use run::Measured;

/// How tasks are to be measured.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate-bench tasks
  tidegate-bench tasks --tasks 20000 --rounds 3
  tidegate-bench tasks --only tidegate
  tidegate-bench tasks --rounds 7 --json

It starts its own Redis, and takes about eight minutes with the defaults. The peers are installed by
`cargo xtask setup --bench`; apalis is a part of this program where it is built with
`--features apalis`. Only ratios within one run mean something: the server and the measured programs
share the machine.")]
pub(crate) struct TasksArgs {
    /// How many tasks each worker works through.
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    tasks: u64,

    /// How many tasks are enqueued one by one, and how many latencies are measured.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(100..=100_000))]
    singles: u64,

    /// How often each contestant runs; the medians count.
    #[arg(long, value_name = "R", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,

    /// Only those contestants whose names begin so; several times for several.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Measures, and returns what is to be printed.
///
/// # Errors
/// Whatever prevented a run, and a run that did not work on every task.
pub(crate) async fn measure(args: &TasksArgs) -> Result<String> {
    let server = RedisServer::start().await?;
    let client = Client::connect(server.url()).await?;
    let info: String = client.send(cmd("INFO").arg("server"), None).await?;
    let of = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let redis = of("process_id").and_then(|pid| pid.trim().parse().ok());
    let redis = redis.ok_or_else(|| Error::Unexpected("Redis does not say who it is".into()))?;
    let site = Site {
        args,
        server: &server,
        client: &client,
        processes: Processes {
            postmaster: None,
            redis,
        },
    };
    let contestants = site.contestants().await?;
    let mut measured = Vec::new();
    for round in 1..=args.rounds {
        for contestant in &contestants {
            for stage in Stage::ALL {
                let Some(figure) = site.stage(*contestant, stage).await? else {
                    continue;
                };
                eprintln!(
                    "round {round} of {}, {contestant}, {stage}: {figure}",
                    args.rounds
                );
                measured.push((*contestant, stage, figure));
            }
        }
    }
    let setting = Setting {
        redis_version: of("redis_version").unwrap_or_default().trim().to_owned(),
        cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        tasks: args.tasks,
        singles: args.singles,
        rounds: args.rounds,
        enqueued_at_once: tidegate::ENQUEUED_AT_ONCE,
    };
    let report = Report::new(setting, &contestants, &measured);
    if args.json {
        Ok(report.to_json()?)
    } else {
        Ok(report.to_text())
    }
}

/// The server, and what is to be done.
struct Site<'a> {
    args: &'a TasksArgs,
    server: &'a RedisServer,
    client: &'a Client,
    processes: Processes,
}

impl Site<'_> {
    /// Who takes part. Of Dramatiq it is the fastest of its settings, found by a short contest.
    async fn contestants(&self) -> Result<Vec<Contestant>> {
        let is_wanted = |it: &Contestant| {
            let name = it.to_string();
            let mut only = self.args.only.iter();
            self.args.only.is_empty() || only.any(|wanted| name.starts_with(wanted.as_str()))
        };
        let mut contestants = vec![Contestant::Tidegate];
        let mut best: Option<(f64, Contestant)> = None;
        for contestant in Contestant::DRAMATIQ.into_iter().filter(is_wanted) {
            let count = self.args.tasks.min(20_000);
            self.empty().await?;
            self.run(contestant, Stage::Single, count).await?;
            let measured = self.run(contestant, Stage::Process, count).await?;
            let rate = measured.rate(count);
            eprintln!("{contestant}: {rate:.0} tasks/s");
            if best.is_none_or(|(best, _)| rate > best) {
                best = Some((rate, contestant));
            }
        }
        contestants.extend(best.map(|(_, contestant)| contestant));
        contestants.push(Contestant::BullMq);
        contestants.extend(cfg!(feature = "apalis").then_some(Contestant::Apalis));
        contestants.retain(is_wanted);
        Ok(contestants)
    }

    /// One stage; none where the contestant has no such thing.
    async fn stage(&self, contestant: Contestant, stage: Stage) -> Result<Option<Measured>> {
        if !contestant.has(stage) {
            return Ok(None);
        }
        let Self { args, .. } = self;
        let count = match stage {
            Stage::Bulk | Stage::Process => args.tasks,
            Stage::Single | Stage::Latency => args.singles,
        };
        self.empty().await?;
        if stage == Stage::Process {
            let fill = contestant.fill();
            self.run(contestant, fill, count).await?;
        }
        let mut measured = self.run(contestant, stage, count).await?;
        measured.count = count;
        Ok(Some(measured))
    }

    async fn run(&self, contestant: Contestant, stage: Stage, count: u64) -> Result<Measured> {
        let run = Run {
            contestant,
            stage,
            count,
            redis_url: self.server.url(),
            redis_port: self.server.port(),
            processes: self.processes,
        };
        let mut measured = run.spawn().await?;
        measured.count = count;
        Ok(measured)
    }

    async fn empty(&self) -> Result<()> {
        let flush = cmd("FLUSHALL").arg("SYNC");
        Ok(self.client.send::<()>(flush, None).await?)
    }
}
