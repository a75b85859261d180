//! `stream dead`: what processors gave up, and its second try.

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;
use tidegate_store::{EntryId, Store};
use tidegate_streams::dead_letter::DeadLetter;
use tidegate_streams::desk::Desk;

use super::output;
use crate::{App, Error};

/// How many letters one page of the desk has.
const PAGE: usize = 500;

/// What to do with dead letters.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum DeadCommand {
    /// Show them, the oldest first.
    List {
        /// The stream whose events were given up.
        stream: String,
        /// How many at most.
        #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
        count: usize,
    },
    /// Send their entries to their partitions again.
    #[command(after_help = "\
Examples:
  shop stream dead retry orders 1732244400000-0
  shop stream dead retry orders --all")]
    Retry(Chosen),
    /// Give them up for good.
    Discard(Chosen),
}

/// Some letters of a stream.
#[derive(Clone, Debug, Args)]
pub(super) struct Chosen {
    /// The stream whose events were given up.
    stream: String,
    /// The letters, as `list` names them.
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    ids: Vec<EntryId>,
    /// All that are open.
    #[arg(long)]
    all: bool,
}

impl DeadCommand {
    fn stream(&self) -> &str {
        match self {
            Self::List { stream, .. } => stream,
            Self::Retry(chosen) | Self::Discard(chosen) => &chosen.stream,
        }
    }
}

/// Runs the command; another one has to wait meanwhile.
pub(super) async fn run(
    app: &App,
    store: Arc<dyn Store>,
    command: &DeadCommand,
    as_json: bool,
) -> Result<(), Error> {
    let stream = app.stream_named(command.stream())?;
    let desk = Desk::open(store, stream.spec.clone()).await?;
    let desk = desk.with_keys(stream.key_of());
    let done = at(&desk, command, as_json).await;
    // The desk is free in half a minute anyway; what was done, or failed, says more.
    let closed = desk.close().await;
    done?;
    Ok(closed?)
}

async fn at(desk: &Desk, command: &DeadCommand, as_json: bool) -> Result<(), Error> {
    match command {
        DeadCommand::List { count, .. } => list(desk, *count, as_json).await,
        DeadCommand::Retry(chosen) => {
            let retried = desk.retry(&chosen.of(desk).await?).await?;
            report("retried", retried as u64, as_json);
            Ok(())
        }
        DeadCommand::Discard(chosen) => {
            let discarded = desk.discard(&chosen.of(desk).await?).await?;
            report("discarded", discarded, as_json);
            Ok(())
        }
    }
}

impl Chosen {
    async fn of(&self, desk: &Desk) -> Result<Vec<EntryId>, Error> {
        if !self.all {
            return Ok(self.ids.clone());
        }
        let mut ids = Vec::new();
        loop {
            let after = ids.last().copied().unwrap_or(EntryId::ZERO);
            let page = desk.list(after, PAGE).await?;
            if page.is_empty() {
                return Ok(ids);
            }
            ids.extend(page.iter().map(|letter| letter.id));
        }
    }
}

async fn list(desk: &Desk, count: usize, as_json: bool) -> Result<(), Error> {
    let mut letters: Vec<DeadLetter> = Vec::new();
    while letters.len() < count {
        let after = letters.last().map_or(EntryId::ZERO, |letter| letter.id);
        let page = desk.list(after, PAGE.min(count - letters.len())).await?;
        if page.is_empty() {
            break;
        }
        letters.extend(page);
    }
    if as_json {
        for letter in &letters {
            output::json(&json!({
                "id": letter.id.to_string(), "failed_at": letter.failed_at,
                "processor": letter.processor, "partition": letter.partition,
                "entry": letter.entry.to_string(), "reason": letter.reason,
            }));
        }
        return Ok(());
    }
    if letters.is_empty() {
        output::line("no dead letters");
        return Ok(());
    }
    let rows = letters.into_iter().map(|letter| {
        vec![
            letter.id.to_string(),
            letter.failed_at,
            letter.processor,
            letter.partition.to_string(),
            letter.reason,
        ]
    });
    let header = ["id", "failed at", "processor", "partition", "reason"];
    output::table(&header, header.len(), rows.collect());
    Ok(())
}

fn report(what: &str, count: u64, as_json: bool) {
    if as_json {
        output::json(&json!({what: count}));
    } else {
        output::line(format!("{what} {count}"));
    }
}
