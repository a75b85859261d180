//! `stream repartition`: another number of partitions for a stream in use.
//!
//! ```text
//! obstacles? ─► planned ─► switched ─► the processors catch up ─► the old partitions are emptied
//! ```
//!
//! Senders and workers go on meanwhile. It can end, by itself or by force, at any moment: the same
//! command goes on from there, and nobody waits for it.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tidegate_store::{GroupName, Store};
use tidegate_streams::Repartition;
use tidegate_streams::backlog::Backlog;
use tidegate_streams::repartition::Obstacle;
use tokio_util::sync::CancellationToken;

use super::output;
use super::stream::readers;
use crate::{App, Error};

/// How often it is looked how far the processors are.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// How many of these looks are between two lines, where there is no terminal.
const LOOKS_PER_LINE: u32 = 8;

/// A stream and its new number of partitions.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Senders go on at once in the new partitions; each processor begins with them when it has done all
that was sent before, so that every key keeps its order. Programs that are not Tidegate can't send
to the stream afterwards, nor read from it.

Examples:
  shop stream repartition orders --partitions 64
  shop stream repartition orders --partitions 64   # goes on, where it was stopped")]
pub(super) struct RepartitionArgs {
    /// The stream.
    stream: String,
    /// How many partitions it is to have.
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4096))]
    partitions: u32,
    /// Begin even where parked keys or a quarantine stand still: what is sent from then on waits
    /// until they are released.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub(super) async fn run(
    app: &App,
    store: Arc<dyn Store>,
    args: &RepartitionArgs,
    as_json: bool,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let spec = &app.stream_named(&args.stream)?.spec;
    let voice = Voice {
        stream: &args.stream,
        as_json,
    };
    let mut change = Repartition::begin(store, spec).await?;
    let mut groups = change.groups().await?;
    groups.extend(readers(app, spec)?);
    let before = count(&change);
    if before != args.partitions && !args.force {
        refuse(&change.obstacles(&groups).await?)?;
    }
    change.plan(args.partitions).await?;
    change.finish().await?;
    let after = count(&change);
    if before == after {
        voice.say(
            &format!("it has {after} partitions"),
            json!({"step": "unchanged", "after": after}),
        );
    } else {
        voice.say(
            &format!("{before} → {after} partitions: what is sent goes to the new ones"),
            json!({"step": "switched", "before": before, "after": after}),
        );
    }
    if change.former().is_empty() {
        return Ok(());
    }
    if groups.is_empty() {
        voice.say(
            "nobody reads it: what was sent before stays in the former partitions",
            json!({"step": "kept"}),
        );
        return Ok(());
    }
    if catch_up(&mut change, groups, &voice, shutdown).await? {
        voice.say(
            "done: the former partitions are empty",
            json!({"step": "done"}),
        );
    } else {
        voice.say(
            "stopped: the processors go on by themselves; the same command empties the former \
             partitions later",
            json!({"step": "stopped"}),
        );
    }
    Ok(())
}

fn count(change: &Repartition) -> u32 {
    let current = change.layout().current();
    current.map_or(0, |current| current.partitions)
}

fn refuse(obstacles: &[Obstacle]) -> Result<(), Error> {
    let Some(first) = obstacles.first() else {
        return Ok(());
    };
    let what = match first.is_in_quarantine {
        true => "a quarantine".to_owned(),
        false => format!("{} parked entries", first.parked),
    };
    Err(Error::Invalid(format!(
        "{} has {what} in partition {}, and in {} partitions in all something stands still; what is \
         sent after the change would wait for it: see `processor held {}`, release it, or use \
         --force",
        first.group,
        first.partition,
        obstacles.len(),
        first.group
    )))
}

/// Waits until the processors have done what was sent before, and empties the former partitions.
/// Answers whether it got there before the shutdown.
async fn catch_up(
    change: &mut Repartition,
    mut groups: BTreeSet<GroupName>,
    voice: &Voice<'_>,
    shutdown: &CancellationToken,
) -> Result<bool, Error> {
    let mut progress = Progress::default();
    loop {
        let mut backlog = change.backlog(&groups).await?;
        if backlog.is_empty() {
            // A processor may have come in the meantime.
            groups.extend(change.groups().await?);
            backlog = change.backlog(&groups).await?;
        }
        progress.show(voice, &backlog);
        if backlog.is_empty() && change.retire().await? {
            progress.bar.finish_and_clear();
            return Ok(true);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_PAUSE) => {}
            () = shutdown.cancelled() => {
                progress.bar.finish_and_clear();
                return Ok(false);
            }
        }
    }
}

/// How what happens is told.
struct Voice<'a> {
    stream: &'a str,
    as_json: bool,
}

impl Voice<'_> {
    fn say(&self, text: &str, mut value: Value) {
        if !self.as_json {
            output::line(format!("{}: {text}", self.stream));
            return;
        }
        if let Some(object) = value.as_object_mut() {
            object.insert("stream".to_owned(), self.stream.into());
        }
        output::json(&value);
    }
}

/// How far the processors are: a bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: ProgressBar,
    most: u64,
    looks: u32,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            most: 0,
            looks: 0,
        }
    }
}

impl Progress {
    fn show(&mut self, voice: &Voice<'_>, backlog: &[Backlog]) {
        let left: u64 = backlog.iter().map(Backlog::entries).sum();
        if std::io::stderr().is_terminal() && !voice.as_json {
            self.show_bar(left);
        } else if self.looks.is_multiple_of(LOOKS_PER_LINE) && left > 0 {
            say_backlog(voice, backlog);
        }
        self.looks = self.looks.wrapping_add(1);
    }

    fn show_bar(&mut self, left: u64) {
        if self.bar.is_hidden() && left > 0 {
            self.bar = ProgressBar::new(left);
            // The template is a constant; a wrong one only looks worse.
            if let Ok(style) = ProgressStyle::with_template("{bar:40} {msg} {eta}") {
                self.bar.set_style(style);
            }
        }
        self.most = self.most.max(left);
        self.bar.set_length(self.most);
        self.bar.set_position(self.most - left);
        self.bar
            .set_message(format!("{left} entries left in the former partitions"));
    }
}

fn say_backlog(voice: &Voice<'_>, backlog: &[Backlog]) {
    let groups: BTreeSet<&GroupName> = backlog.iter().map(|it| &it.group).collect();
    for group in groups {
        let of_group = || backlog.iter().filter(|it| it.group == *group);
        let entries: u64 = of_group().map(Backlog::entries).sum();
        let parked: u64 = of_group().map(|it| it.parked).sum();
        let partitions = of_group().count();
        let hint = match parked {
            0 => String::new(),
            parked => format!(", {parked} of them parked (`processor held {group}`)"),
        };
        voice.say(
            &format!("{group} has {entries} entries left in {partitions} former partitions{hint}"),
            json!({
                "step": "catching up", "processor": group.as_str(), "entries": entries,
                "parked": parked, "partitions": partitions,
            }),
        );
    }
}
