//! The report: round by round while it goes on, and the sums in the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::compare::Verdict;
use super::load::Operation;
use super::round::{Outcome, Script};
use crate::error::{Error, Result};
use crate::table::thousands;

/// What was played, and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    seed: u64,
    rounds: Vec<Outcome>,
    operations: usize,
    seconds: f64,
    /// How often each kind of fault was made.
    faults: BTreeMap<&'static str, u64>,
    total: Verdict,
    /// The round that did not come to its end, or whose tables are wrong.
    failed_round: Option<u64>,
    /// Where logs, operations and differences are, if they are kept.
    directory: Option<PathBuf>,
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            rounds: Vec::new(),
            operations: 0,
            seconds: 0.0,
            faults: BTreeMap::new(),
            total: Verdict::default(),
            failed_round: None,
            directory: None,
        }
    }

    /// Whether every round was right.
    pub(super) fn is_right(&self) -> bool {
        self.failed_round.is_none()
    }

    /// Adds a round, and tells of it.
    pub(super) fn add(&mut self, outcome: Outcome) {
        let is_right = outcome.verdict.is_right() && outcome.is_proved != Some(false);
        let verdict = if is_right { "right" } else { "WRONG" };
        eprintln!(
            "round {}: {} operations, {:.1} s: {verdict}",
            outcome.round, outcome.operations, outcome.seconds
        );
        for (at_ms, fault) in &outcome.faults {
            eprintln!("  {at_ms:>5} ms  {fault}");
        }
        for sample in &outcome.verdict.samples {
            eprintln!("  {sample}");
        }
        if outcome.is_proved == Some(false) {
            eprintln!("  `tidegate drain verify` finds a sum that does not come out");
        }
        for kind in &outcome.kinds {
            *self.faults.entry(kind).or_default() += 1;
        }
        self.operations += outcome.operations;
        self.seconds += outcome.seconds;
        self.total.add(outcome.verdict.clone());
        if !is_right {
            self.failed_round = Some(outcome.round);
        }
        self.rounds.push(outcome);
    }

    /// A round did not come to its end.
    pub(super) fn broken_in(&mut self, round: u64, script: &Script) {
        eprintln!("round {round}: not played to its end");
        for scheduled in &script.faults {
            eprintln!("  {:>5} ms  {}", scheduled.at.as_millis(), scheduled.fault);
        }
        self.failed_round = Some(round);
    }

    /// Leaves the report in the directory that stays.
    pub(super) fn keep(&mut self, dir: &Path, error: Option<&Error>) -> Result<()> {
        self.directory = Some(dir.to_owned());
        let mut text = self.to_text();
        if let Some(error) = error {
            let _written = writeln!(text, "{error}");
        }
        for sample in &self.total.samples {
            let _written = writeln!(text, "{sample}");
        }
        write(&dir.join("report.txt"), &text)?;
        write(&dir.join("report.json"), &self.to_json()?)
    }

    /// For machines.
    pub(super) fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// For people.
    pub(super) fn to_text(&self) -> String {
        let Verdict {
            lost,
            doubled,
            reordered,
            differing,
            wrongly_held,
            ..
        } = &self.total;
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        let operations = u32::try_from(self.operations).unwrap_or(u32::MAX);
        let mut text = format!(
            "seed {}: {} rounds, {} operations, {:.0} s\n\
             faults: {}\n\
             {lost} lost, {doubled} doubled, {reordered} reordered; \
             {differing} rows differ, {wrongly_held} operations wrongly held",
            self.seed,
            self.rounds.len(),
            thousands(f64::from(operations)),
            self.seconds,
            faults.join(", "),
        );
        if let Some(round) = self.failed_round {
            let seed = self.seed;
            let _written = write!(
                text,
                "\nround {round} failed; to play it again: \
                 tidegate-bench chaos --seed {seed} --first-round {round} --rounds 1"
            );
        }
        if let Some(directory) = &self.directory {
            let _written = write!(text, "\nkept: {}", directory.display());
        }
        text
    }
}

/// Leaves the operations of a round beside the logs.
pub(super) fn write_script(dir: &Path, script: &Script) -> Result<()> {
    let line = |operation: &Operation| {
        let Operation {
            number,
            shard,
            json,
        } = operation;
        format!("{number}\t{shard}\t{json}\n")
    };
    let operations: String = script.operations.iter().map(line).collect();
    write(&dir.join("operations.tsv"), &operations)?;
    let unsure: String = script.unsure.iter().map(line).collect();
    write(&dir.join("operations-maybe-lost.tsv"), &unsure)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::system("writing what is kept"))
}
