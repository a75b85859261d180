//! `tidegate drain send`: from lines to entries of the stream.
//!
//! ```text
//! lines ─► strict: a first pass ─► address ─► append, batch by batch ─► summary
//! ```
//!
//! A batch that was appended is durable. If the process or the store dies in the middle, the
//! lines before the batch in flight are sent, those after it are not, and the failure names
//! both; nothing remembers them for a second send.

mod strict;
mod warnings;

use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use indicatif::ProgressBar;
use miette::{Report, miette};
use serde_json::json;
use tidegate_drain::route::Sender;
use tidegate_store::NewEntry;
use uuid::Uuid;

use super::lines::{Line, Lines};
use crate::args::SendArgs;
use crate::config::Settings;
use crate::output::{self, count, things};
use crate::{connect, failure, progress};

use strict::Inspector;
use warnings::Warnings;

/// Sends a file.
///
/// # Errors
/// A file that can't be read or is refused, and a store that fails; each says what was sent.
pub(crate) async fn run(args: &SendArgs, settings: &Settings) -> miette::Result<ExitCode> {
    let bytes_max = settings.drain.entry_bytes_max;
    let lines = Lines::open(&args.file, bytes_max)?;
    let ends = connect::open(settings).await?;
    let catalog = ends.sink.catalog().await.map_err(failure::drain)?;
    let mut inspector = args
        .strict
        .then(|| Inspector::new(catalog.clone(), &settings.drain));
    // Only a regular file can be read twice.
    if let Some(inspector) = inspector.take_if(|_| lines.bytes.is_some()) {
        inspector.inspect(Lines::open(&args.file, bytes_max)?, args.skip_lines)?;
    }
    let drain = &settings.drain;
    let sender = Sender::new(ends.store, catalog, drain.stream.clone(), drain.partitions);
    let bar = bar(args, &lines);
    let mut sending = Sending {
        sender,
        inspector,
        lines,
        skip_lines: args.skip_lines,
        entry_bytes_max: bytes_max,
        bar,
        warnings: Warnings::default(),
        sent: 0,
        sent_through_line: args.skip_lines,
    };
    let started = Instant::now();
    let ended = sending.send_all().await;
    sending.bar.finish_and_clear();
    sending.warnings.finish();
    ended?;
    sending.report(args.json, started)?;
    Ok(ExitCode::SUCCESS)
}

fn bar(args: &SendArgs, lines: &Lines) -> ProgressBar {
    match lines.bytes {
        Some(bytes) if !args.json => progress::bytes_bar(bytes),
        _ => ProgressBar::hidden(),
    }
}

/// A file on its way.
struct Sending {
    sender: Sender,
    /// Only for a pipe that is sent strictly: a file has been inspected before.
    inspector: Option<Inspector>,
    lines: Lines,
    skip_lines: u64,
    entry_bytes_max: usize,
    bar: ProgressBar,
    warnings: Warnings,
    /// Operations that are surely in the stream.
    sent: u64,
    /// The last line of which that is true for it and for all before it.
    sent_through_line: u64,
}

impl Sending {
    async fn send_all(&mut self) -> miette::Result<()> {
        loop {
            let batch = match self.lines.next_batch() {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.stopped(error.into())),
            };
            let mut entries = Vec::with_capacity(batch.len());
            let mut refusal = None;
            let skip_lines = self.skip_lines;
            for line in batch.into_iter().filter(|line| line.number > skip_lines) {
                match self.address(line) {
                    Ok(entry) => entries.push(entry),
                    Err(report) => {
                        refusal = Some(report);
                        break;
                    }
                }
            }
            // The lines before one that stops the file are sent: their order is kept, and the
            // failure can name a line to go on from.
            self.append(entries).await?;
            if let Some(report) = refusal {
                return Err(self.stopped(report));
            }
            self.bar.set_position(self.lines.consumed_bytes());
        }
    }

    /// Makes an entry of a line, or says why the file stops here.
    fn address(&mut self, line: Line) -> miette::Result<(u64, NewEntry)> {
        let Line { number, bytes } = line;
        if let Some(inspector) = &self.inspector {
            inspector.require(number, &bytes)?;
        }
        let request_id = Uuid::now_v7().to_string();
        // A line of a file knows of no thing that outlives its operation, so the two ids are one.
        let outgoing = self
            .sender
            .address(bytes, &request_id, &request_id, SystemTime::now());
        let entry_bytes: usize = outgoing
            .entry
            .fields
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if entry_bytes > self.entry_bytes_max {
            let error = super::lines::Error::TooLong {
                line: number,
                bytes_max: self.entry_bytes_max,
            };
            return Err(error.into());
        }
        if let Some(rejection) = &outgoing.rejection {
            self.warnings.add(number, rejection);
        }
        Ok((number, outgoing.entry))
    }

    async fn append(&mut self, numbered: Vec<(u64, NewEntry)>) -> miette::Result<()> {
        let Some(through_line) = numbered.last().map(|(number, _)| *number) else {
            return Ok(());
        };
        let entries: Vec<NewEntry> = numbered.into_iter().map(|(_, entry)| entry).collect();
        let sending = entries.len() as u64;
        match self.sender.send(entries).await {
            Ok(_) => {
                self.sent += sending;
                self.sent_through_line = through_line;
                Ok(())
            }
            Err(error) => Err(self.interrupted(&failure::drain(error), sending, through_line)),
        }
    }

    /// The file stopped at a line that was not sent.
    fn stopped(&self, report: Report) -> Report {
        let help = report
            .help()
            .map(|help| format!("{help}; "))
            .unwrap_or_default();
        miette!(
            help = format!(
                "{help}then go on with --skip-lines {}",
                self.sent_through_line
            ),
            "{report}; {} sent before it",
            things(self.sent, "operation"),
        )
    }

    /// The store failed while it was appending.
    fn interrupted(&self, report: &Report, sending: u64, through_line: u64) -> Report {
        let done = self.sent_through_line;
        miette!(
            help = format!(
                "when the store is back, go on with --skip-lines {done}: operations of the lines \
                 after that which did arrive are sent twice then; or find out with `tidegate drain \
                 status --json` what arrived"
            ),
            "{report}\n{} (through line {}) sent for sure; of the next {} (through line {}) any may \
             have been sent; nothing after them was",
            things(self.sent, "operation"),
            count(done),
            count(sending),
            count(through_line),
        )
    }

    fn report(&self, json: bool, started: Instant) -> miette::Result<()> {
        let seconds = started.elapsed().as_secs_f64();
        let malformed = self.warnings.count();
        if json {
            let seconds = (seconds * 1e3).round() / 1e3;
            return output::print_json(&json!({
                "sent": self.sent, "malformed": malformed, "seconds": seconds,
            }));
        }
        let bad = match malformed {
            0 => String::new(),
            bad => format!("; {} of them will be dead letters", count(bad)),
        };
        let sent = things(self.sent, "operation");
        output::print_line(&format!("Sent {sent} in {seconds:.1} s{bad}."))
    }
}
