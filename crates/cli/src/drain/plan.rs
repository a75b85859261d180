//! `tidegate drain plan`: the SQL that a file of operations would run, without running it.
//!
//! It plans up to drain.batch_max lines at once, in the order of the file, as a worker would if
//! the stream had one shard. With several shards the same changes are grouped otherwise.

use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;
use tidegate_drain::catalog::Catalog;
use tidegate_drain::envelope::{Envelope, fields};
use tidegate_drain::sink::Unit;
use tidegate_drain::{Options, Rejection, Sink, preview};
use tidegate_store::EntryId;

use super::lines::{Line, Lines};
use crate::config::Settings;
use crate::output::{self, clean, things};
use crate::{connect, failure};

/// Plans a file; the exit code says whether every line can be planned.
///
/// # Errors
/// A file that can't be read, and the sink's errors.
pub(crate) async fn run(file: &str, json: bool, settings: &Settings) -> miette::Result<ExitCode> {
    let mut lines = Lines::open(file, settings.drain.entry_bytes_max)?;
    let sink = connect::sink(settings).await?;
    let catalog = settings
        .drain
        .catalog(&*sink)
        .await
        .map_err(failure::drain)?;
    let mut plan = Plan::new(&*sink, &catalog, &settings.drain, json);
    while let Some(batch) = lines.next_batch()? {
        for line in batch {
            plan.add(line)?;
        }
    }
    plan.finish()
}

/// A plan in the making. As text each batch is printed when it is full; as JSON all at the end.
struct Plan<'a> {
    sink: &'a dyn Sink,
    catalog: &'a Catalog,
    options: &'a Options,
    json: bool,
    units: Vec<Unit>,
    /// The first and the last line of the open batch.
    batch_lines: (u64, u64),
    operations: u64,
    statements: u64,
    printed: Vec<String>,
    rejected: Vec<(u64, Rejection)>,
}

impl<'a> Plan<'a> {
    fn new(sink: &'a dyn Sink, catalog: &'a Catalog, options: &'a Options, json: bool) -> Self {
        Self {
            sink,
            catalog,
            options,
            json,
            units: Vec::new(),
            batch_lines: (0, 0),
            operations: 0,
            statements: 0,
            printed: Vec::new(),
            rejected: Vec::new(),
        }
    }

    fn add(&mut self, line: Line) -> miette::Result<()> {
        let fields = fields("", "", line.bytes, SystemTime::UNIX_EPOCH);
        let envelope = Envelope {
            id: EntryId::new(line.number, 0),
            fields,
        };
        match preview::unit(self.catalog, self.options, envelope) {
            Ok(unit) => {
                if self.units.is_empty() {
                    self.batch_lines.0 = line.number;
                }
                self.batch_lines.1 = line.number;
                self.units.push(unit);
            }
            Err(rejection) => self.rejected.push((line.number, rejection)),
        }
        if self.units.len() == self.options.batch_max {
            self.close_batch()
        } else {
            Ok(())
        }
    }

    fn close_batch(&mut self) -> miette::Result<()> {
        if self.units.is_empty() {
            return Ok(());
        }
        let statements = self.sink.explain(&self.units);
        let operations = self.units.len() as u64;
        self.operations += operations;
        self.statements += statements.len() as u64;
        self.units.clear();
        if self.json {
            self.printed.extend(statements);
            return Ok(());
        }
        let (first, last) = self.batch_lines;
        let mut text = format!(
            "-- one transaction for {} (lines {first} to {last}): {}\n",
            things(operations, "operation"),
            things(statements.len() as u64, "statement"),
        );
        for statement in statements {
            text.push_str(&format!("{};\n", clean(statement.trim_end_matches(';'))));
        }
        output::print(&text)
    }

    fn finish(mut self) -> miette::Result<ExitCode> {
        self.close_batch()?;
        if self.json {
            let rejected = |(line, rejection): &(u64, Rejection)| {
                json!({
                    "line": line,
                    "code": rejection.code.as_str(),
                    "reason": rejection.reason,
                })
            };
            output::print_json(&json!({
                "operations": self.operations,
                "statements": self.printed,
                "dead_letters": self.rejected.iter().map(rejected).collect::<Vec<_>>(),
            }))?;
        } else {
            let mut text = format!(
                "-- {} in {}; nothing was run\n",
                things(self.operations, "operation"),
                things(self.statements, "statement"),
            );
            for (line, rejection) in &self.rejected {
                let reason = clean(&rejection.to_string()).replace('\n', " ");
                text.push_str(&format!(
                    "-- line {line} would be a dead letter: {reason}\n"
                ));
            }
            output::print(&text)?;
        }
        Ok(if self.rejected.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
