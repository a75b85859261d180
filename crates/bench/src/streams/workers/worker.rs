//! What a hired process does: one worker with one processor, until it is told to end.
//!
//! It says on the standard output who it is, and of each partition, under each lease, that it has
//! processed a first event: `<partition> <epoch>`. If it dies, its leases end by themselves.

use std::io::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_store::StoreUrl;
use tidegate_streams::processor::{Processor, Settings};
use tidegate_streams::worker::{Options, Worker};
use tidegate_streams::{BoxError, Events, Raw, StreamSpec};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

use super::super::APP;
use crate::error::{Error, Result};

/// The name of the processor, and so of the group.
pub(super) const GROUP: &str = "bench";
/// What a worker says first, followed by its id.
pub(super) const WORKING: &str = "working as ";

/// Everything that a hired process must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(super) redis_url: String,
    pub(super) stream: String,
    pub(super) partitions: u32,
    pub(super) lease_ms: u64,
    /// The worker's budget for entries in memory.
    pub(super) prefetch_bytes: usize,
    pub(super) behaviour: Behaviour,
}

/// What its processor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Behaviour {
    /// Nothing, with one event after the other.
    Flow,
    /// It takes one event and never asks for another.
    Stall,
}

impl Job {
    /// The name of the command that does this.
    pub(super) const COMMAND: &str = "streams-worker";

    /// Reads what the parent passed.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The stream, as the sender and the workers are told of it.
    pub(super) fn spec(&self) -> StreamSpec {
        StreamSpec {
            partitions: self.partitions,
            ..StreamSpec::new(APP, self.stream.as_str())
        }
    }
}

/// Works in this process until SIGTERM.
///
/// # Errors
/// Whatever ended the worker before.
pub(crate) async fn run(job: &Job) -> Result<String> {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let store = tidegate_store::connect(&StoreUrl::parse(&job.redis_url)?).await?;
    let behaviour = job.behaviour;
    let processor = Processor::new(GROUP, &job.spec(), move |events| process(events, behaviour))?
        .with_settings(Settings::default())?;
    let options = Options {
        lease_ttl: Duration::from_millis(job.lease_ms),
        prefetch_bytes: job.prefetch_bytes,
    };
    let worker = Worker::new(store, vec![processor], options)?;
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::system("a signal"))?;
    // From now on it can be asked to end.
    say(&format!("{WORKING}{}", worker.id())).map_err(Error::system("speaking"))?;
    let signalled = shutdown.clone();
    tokio::spawn(async move {
        terminate.recv().await;
        signalled.cancel();
    });
    worker.run(shutdown).await?;
    Ok("ended".into())
}

async fn process(mut events: Events<Raw>, behaviour: Behaviour) -> Result<(), BoxError> {
    let Some(first) = events.next().await? else {
        return Ok(());
    };
    say(&format!("{} {}", first.partition, first.epoch()))?;
    if behaviour == Behaviour::Stall {
        std::future::pending::<()>().await;
    }
    while events.next().await?.is_some() {}
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
