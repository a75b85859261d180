//! `stream`: what the streams hold, who owns their partitions, and how far the processors are.

use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};
use tidegate_store::{Entry, EntryId, GroupName, Lag, LeaseHolder, Partition, ReadLimit, Store};
use tidegate_streams::{StreamSpec, layout, quarantine};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::dead::{self, DeadCommand};
use super::output;
use super::repartition::{self, RepartitionArgs};
use crate::{App, Error};

/// How much one read of `tail` and `peek` brings.
const READ: ReadLimit = ReadLimit {
    entries: 500,
    bytes: 4 << 20,
};
/// How long `tail` waits before it looks whether it is to stop.
const WAIT: Duration = Duration::from_secs(1);

/// What to look at.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum StreamCommand {
    /// All streams of the application, with what they hold.
    List,
    /// A stream's partitions: owners, epochs, and how far each processor is.
    Info {
        /// The stream.
        stream: String,
    },
    /// Show entries as they arrive, until SIGINT.
    Tail {
        /// The stream.
        stream: String,
    },
    /// Show the oldest entries.
    Peek {
        /// The stream.
        stream: String,
        /// How many of each partition.
        #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=500))]
        entries: u32,
    },
    /// Give a stream another number of partitions while it is used.
    Repartition(RepartitionArgs),
    /// What processors gave up.
    #[command(subcommand)]
    Dead(DeadCommand),
}

/// Runs the command.
pub(super) async fn run(
    app: &App,
    store: Arc<dyn Store>,
    command: &StreamCommand,
    as_json: bool,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    match command {
        StreamCommand::List => list(app, &*store, as_json).await,
        StreamCommand::Info { stream } => info(app, &*store, stream, as_json).await,
        StreamCommand::Tail { stream } => tail(app, &*store, stream, as_json, shutdown).await,
        StreamCommand::Peek { stream, entries } => {
            peek(app, &*store, stream, *entries, as_json).await
        }
        StreamCommand::Repartition(args) => {
            repartition::run(app, store, args, as_json, shutdown).await
        }
        StreamCommand::Dead(command) => dead::run(app, store, command, as_json).await,
    }
}

async fn list(app: &App, store: &dyn Store, as_json: bool) -> Result<(), Error> {
    let mut rows = Vec::new();
    for registered in &app.streams {
        let spec = &registered.spec;
        let readers = readers(app, spec)?;
        let layout = layout::load(store, spec).await?;
        let partitions = layout.live_partitions(&spec.name()?);
        let count = layout.current().map_or(0, |current| current.partitions);
        // A stream that nobody reads still holds something.
        let asked = match readers.first() {
            Some(group) => group.clone(),
            None => GroupName::new("nobody")?,
        };
        let held: u64 = store
            .lag(&asked, &partitions)
            .await?
            .iter()
            .map(|lag| lag.held)
            .sum();
        let names: Vec<String> = readers.iter().map(ToString::to_string).collect();
        if as_json {
            output::json(&json!({
                "stream": spec.stream, "partitions": count, "entries": held,
                "processors": names,
            }));
        }
        rows.push(vec![
            spec.stream.clone(),
            names.join(", "),
            count.to_string(),
            held.to_string(),
        ]);
    }
    if !as_json {
        output::table(&["stream", "processors", "partitions", "entries"], 2, rows);
    }
    Ok(())
}

/// A partition as one processor has it.
struct Row {
    processor: GroupName,
    partition: u32,
    holder: Option<LeaseHolder>,
    lag: Lag,
    is_in_quarantine: bool,
}

async fn info(app: &App, store: &dyn Store, stream: &str, as_json: bool) -> Result<(), Error> {
    let spec = &app.stream_named(stream)?.spec;
    let partitions = partitions(store, spec).await?;
    let mut rows = Vec::new();
    for processor in readers(app, spec)? {
        let lags = store.lag(&processor, &partitions).await?;
        let holders = store.lease_holders(&processor, &partitions).await?;
        for ((partition, lag), holder) in partitions.iter().zip(lags).zip(holders) {
            let found = quarantine::look(store, &processor, partition).await?;
            rows.push(Row {
                processor: processor.clone(),
                partition: partition.index,
                holder,
                lag,
                is_in_quarantine: found.is_some(),
            });
        }
    }
    if as_json {
        for row in &rows {
            output::json(&row.to_json());
        }
    } else if rows.is_empty() {
        output::line(format!("no processor of the application reads {stream}"));
    } else {
        let header = [
            "processor",
            "owner",
            "state",
            "partition",
            "epoch",
            "entries",
            "waiting",
            "pending",
        ];
        output::table(&header, 3, rows.iter().map(Row::cells).collect());
    }
    Ok(())
}

impl Row {
    fn owner(&self) -> Option<String> {
        let holder = self.holder.as_ref()?;
        // A program that is not Tidegate may hold the lock.
        let worker = holder.worker.map(|worker| worker.to_string());
        Some(worker.unwrap_or_else(|| "another program".to_owned()))
    }

    fn state(&self) -> &'static str {
        match (&self.holder, self.is_in_quarantine) {
            (_, true) => "quarantine",
            (Some(_), false) => "owned",
            (None, false) => "free",
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "processor": self.processor.as_str(),
            "partition": self.partition,
            "owner": self.owner(),
            "epoch": self.holder.as_ref().map(|holder| holder.epoch.0),
            "state": self.state(),
            "entries": self.lag.held,
            "waiting": self.lag.undelivered,
            "pending": self.lag.pending,
            "delivered_through": self.lag.delivered_through.to_string(),
            "last_id": self.lag.last_id.to_string(),
        })
    }

    fn cells(&self) -> Vec<String> {
        let epoch = self.holder.as_ref().map(|holder| holder.epoch.to_string());
        vec![
            self.processor.to_string(),
            self.owner().unwrap_or_else(|| "–".to_owned()),
            self.state().to_owned(),
            self.partition.to_string(),
            epoch.unwrap_or_else(|| "–".to_owned()),
            self.lag.held.to_string(),
            self.lag.undelivered.to_string(),
            self.lag.pending.to_string(),
        ]
    }
}

async fn peek(
    app: &App,
    store: &dyn Store,
    stream: &str,
    entries: u32,
    as_json: bool,
) -> Result<(), Error> {
    let limit = ReadLimit {
        entries: entries as usize,
        ..READ
    };
    for partition in partitions(store, &app.stream_named(stream)?.spec).await? {
        for entry in store.read_after(&partition, EntryId::ZERO, limit).await? {
            show(&partition, &entry, as_json);
        }
    }
    Ok(())
}

async fn tail(
    app: &App,
    store: &dyn Store,
    stream: &str,
    as_json: bool,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let partitions = partitions(store, &app.stream_named(stream)?.spec).await?;
    let ends = store.lag(&GroupName::new("nobody")?, &partitions).await?;
    let ends = ends.into_iter().map(|lag| lag.last_id);
    let mut positions: Vec<(Partition, EntryId)> = partitions.into_iter().zip(ends).collect();
    let interrupt = Notify::new();
    while !shutdown.is_cancelled() {
        let arrived = store.wait_for_entries(&positions, WAIT, &interrupt).await?;
        for index in arrived {
            let Some((partition, position)) = positions.get_mut(index) else {
                continue;
            };
            for entry in store.read_after(partition, *position, READ).await? {
                show(partition, &entry, as_json);
                *position = entry.id;
            }
        }
    }
    Ok(())
}

/// Prints an entry. What it holds is shown only here, where a person has asked for it.
fn show(partition: &Partition, entry: &Entry, as_json: bool) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if as_json {
        let fields: Vec<Value> = entry
            .fields
            .iter()
            .map(|(name, value)| json!([text(name), text(value)]))
            .collect();
        output::json(&json!({
            "partition": partition.index, "id": entry.id.to_string(), "fields": fields,
        }));
        return;
    }
    let fields: Vec<String> = entry
        .fields
        .iter()
        .map(|(name, value)| format!("{}={}", text(name), text(value)))
        .collect();
    output::line(format!(
        "{} {} {}",
        partition.index,
        entry.id,
        fields.join(" ")
    ));
}

/// The partitions that a stream has, and had before where something of these may be left.
async fn partitions(store: &dyn Store, spec: &StreamSpec) -> Result<Vec<Partition>, Error> {
    let layout = layout::load(store, spec).await?;
    Ok(layout.live_partitions(&spec.name()?))
}

/// The processors that read a stream.
pub(super) fn readers(app: &App, spec: &StreamSpec) -> Result<Vec<GroupName>, Error> {
    let names = app.processors.iter().map(|one| &one.options);
    let names = names.filter(|options| options.stream == spec.stream);
    let groups = names.map(|options| GroupName::new(options.name));
    Ok(groups.collect::<Result<_, _>>()?)
}
