//! `send` and `sendmany`: records that are given as JSON.
//!
//! What could not be sent is named by its line; the lines before and after it are sent. If the
//! process dies here, a prefix of each partition's records was sent.

use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tidegate_store::Store;
use tokio_util::sync::CancellationToken;

use super::output;
use crate::registry::SendsJson;
use crate::{App, Error};

/// The most bytes of one record's line.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// One record.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  shop send orders '{\"order_id\":1,\"amount\":950}'")]
pub(super) struct SendArgs {
    /// The stream.
    stream: String,
    /// The record as JSON.
    record: String,
}

/// Many records.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  shop sendmany orders orders.jsonl\n  shop sendmany orders - < orders.jsonl"
)]
pub(super) struct SendManyArgs {
    /// The stream.
    stream: String,
    /// A file with a record as JSON on each line, or - for the standard input.
    file: PathBuf,
    /// How many records are sent at once.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
}

/// Sends one record and prints its id.
pub(super) async fn send(
    app: &App,
    store: Arc<dyn Store>,
    args: &SendArgs,
    as_json: bool,
) -> Result<(), Error> {
    let sender = app.stream_named(&args.stream)?.sender(store)?;
    let line = args.record.clone().into_bytes();
    for sent in sender.send(&[line]).await {
        let id = sent.map_err(|source| Error::Record { place: 1, source })?;
        if as_json {
            output::json(&json!({"stream": args.stream, "id": id.to_string()}));
        } else {
            output::line(id.to_string());
        }
    }
    Ok(())
}

/// Sends a record for each line, a batch at a time.
pub(super) async fn send_many(
    app: &App,
    store: Arc<dyn Store>,
    args: &SendManyArgs,
    as_json: bool,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let sender = app.stream_named(&args.stream)?.sender(store)?;
    let mut lines = Lines::open(&args.file)?;
    let bar = lines.progress_bar();
    let (mut total, mut refused) = (0_u64, 0_u64);
    while !shutdown.is_cancelled() {
        let batch = lines.next(args.batch as usize)?;
        if batch.is_empty() {
            break;
        }
        refused += send_batch(&*sender, &batch, &bar).await;
        total += batch.len() as u64;
        bar.set_position(lines.read_bytes);
    }
    bar.finish_and_clear();
    let sent = total - refused;
    if as_json {
        output::json(&json!({"stream": args.stream, "sent": sent, "refused": refused}));
    } else {
        output::line(format!("sent {sent} records to {}", args.stream));
    }
    match refused {
        0 => Ok(()),
        refused => Err(Error::NotAllSent { refused, total }),
    }
}

/// Sends a batch, and answers how many of its lines were refused.
async fn send_batch(sender: &dyn SendsJson, batch: &[(u64, Vec<u8>)], bar: &ProgressBar) -> u64 {
    let records: Vec<Vec<u8>> = batch.iter().map(|(_, line)| line.clone()).collect();
    let mut refused = 0;
    for ((place, _), sent) in batch.iter().zip(sender.send(&records).await) {
        if let Err(refusal) = sent {
            refused += 1;
            bar.suspend(|| output::note(format!("line {place}: {refusal}")));
        }
    }
    refused
}

/// The lines of a file, each with its number; empty ones are passed over.
struct Lines {
    reader: Box<dyn BufRead + Send>,
    name: String,
    number: u64,
    read_bytes: u64,
    bytes: Option<u64>,
}

impl Lines {
    fn open(file: &PathBuf) -> Result<Self, Error> {
        let name = file.display().to_string();
        let (reader, bytes): (Box<dyn BufRead + Send>, _) = if name == "-" {
            (Box::new(BufReader::new(std::io::stdin())), None)
        } else {
            let open = std::fs::File::open(file).map_err(Error::file(format!("reading {name}")))?;
            let bytes = open.metadata().ok().map(|facts| facts.len());
            (Box::new(BufReader::new(open)), bytes)
        };
        Ok(Self {
            reader,
            name,
            number: 0,
            read_bytes: 0,
            bytes,
        })
    }

    fn progress_bar(&self) -> ProgressBar {
        let bar = match self.bytes {
            Some(bytes) if std::io::stderr().is_terminal() => ProgressBar::new(bytes),
            _ => return ProgressBar::hidden(),
        };
        // The template is a constant; a wrong one only looks worse.
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}") {
            bar.set_style(style);
        }
        bar
    }

    fn next(&mut self, count: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let mut lines = Vec::with_capacity(count);
        while lines.len() < count {
            let mut line = Vec::new();
            let mut limited = (&mut self.reader).take(LINE_BYTES_MAX);
            let read = limited
                .read_until(b'\n', &mut line)
                .map_err(Error::file(format!("reading {}", self.name)))?
                as u64;
            if read == 0 {
                break;
            }
            self.number += 1;
            self.read_bytes += read;
            if read == LINE_BYTES_MAX {
                return Err(Error::Invalid(format!(
                    "{}, line {}: longer than {LINE_BYTES_MAX} bytes; the lines before it were sent",
                    self.name, self.number
                )));
            }
            if !line.trim_ascii().is_empty() {
                lines.push((self.number, line));
            }
        }
        Ok(lines)
    }
}
