//! `check`: everything that can be said about the project without running it.
//!
//! The steps that compile nothing come first. Each of the project's own rules is a module with a pure
//! function, from the [`Tree`] of files to [`Finding`]s.

mod dead_files;
mod decisions;
mod file_length;
mod finding;
mod forbidden;
mod guarantees;
mod layering;
mod links;
mod tree;

use std::io::{IsTerminal, Write};
use std::process::Command;
use std::time::Instant;

use crate::error::Error;
use crate::shell::{capture, cargo, is_in, path_folders, root};
use finding::Finding;
use tree::Tree;

/// What a step came to.
struct Outcome {
    passed: bool,
    /// What to print below the step's line.
    details: String,
}

/// One of the project's own rules.
struct Rule {
    name: &'static str,
    check: fn(&Tree) -> Vec<Finding>,
}

const RULES: [Rule; 7] = [
    Rule {
        name: "no dead files",
        check: dead_files::check,
    },
    Rule {
        name: "file length",
        check: file_length::check,
    },
    Rule {
        name: "layers",
        check: layering::check,
    },
    Rule {
        name: "links in Markdown",
        check: links::check,
    },
    Rule {
        name: "guarantees have tests",
        check: guarantees::check,
    },
    Rule {
        name: "forbidden words",
        check: forbidden::check,
    },
    Rule {
        name: "names of decisions",
        check: decisions::check,
    },
];

/// Runs all steps, or only those that compile nothing, and prints a line for each.
pub(crate) fn run(only_style: bool) -> Result<(), Error> {
    let mut report = Report::default();
    report.step("format", format)?;
    let tree = Tree::read(&root())?;
    for rule in RULES {
        report.step(rule.name, || Ok(judge(&(rule.check)(&tree))))?;
    }
    report.step("spelling", spelling)?;
    if !only_style {
        report.step("lints", || {
            let args = ["clippy", "--workspace", "--all-targets", "--all-features"];
            command(compiling(&args, &["--", "-D", "warnings"]))
        })?;
        report.step("docs", || {
            let args = [
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ];
            let mut docs = compiling(&args, &[]);
            docs.env("RUSTDOCFLAGS", "-D warnings");
            command(docs)
        })?;
    }
    report.end()
}

/// The lines printed so far, counted.
#[derive(Default)]
struct Report {
    steps: usize,
    failed: usize,
}

impl Report {
    fn step(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<Outcome, Error>,
    ) -> Result<(), Error> {
        print!("{name:<24}");
        // Nothing is lost if the name appears only together with its result.
        std::io::stdout().flush().ok();
        let start = Instant::now();
        let outcome = work();
        let seconds = start.elapsed().as_secs_f32();
        let word = if outcome.as_ref().is_ok_and(|it| it.passed) {
            "ok"
        } else {
            "FAILED"
        };
        println!("{word:<8}{seconds:6.2} s");
        let outcome = outcome?;
        if !outcome.details.is_empty() {
            println!("{}", outcome.details.trim_end());
        }
        self.steps += 1;
        self.failed += usize::from(!outcome.passed);
        Ok(())
    }

    fn end(self) -> Result<(), Error> {
        match self.failed {
            0 => Ok(()),
            failed => Err(Error::ChecksFailed {
                failed,
                steps: self.steps,
            }),
        }
    }
}

/// A rule fails by what is wrong, not by what it merely notes.
fn judge(findings: &[Finding]) -> Outcome {
    let details: String = findings
        .iter()
        .map(|finding| format!("  {finding}\n"))
        .collect();
    Outcome {
        passed: !findings.iter().any(Finding::is_wrong),
        details,
    }
}

/// A command is silent if it succeeds, and shows all it wrote if it fails.
fn command(command: Command) -> Result<Outcome, Error> {
    let output = capture(command)?;
    let passed = output.status.success();
    let mut details = String::new();
    if !passed {
        details.push_str(&String::from_utf8_lossy(&output.stdout));
        details.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    Ok(Outcome { passed, details })
}

/// A Cargo command that is quiet about what it compiles, and in colour if somebody is looking.
fn compiling(args: &[&str], passed_on: &[&str]) -> Command {
    let color = if std::io::stdout().is_terminal() {
        "always"
    } else {
        "never"
    };
    let mut command = cargo(args);
    command.args(["--quiet", "--color", color]).args(passed_on);
    command
}

/// Names the files rather than showing the differences, which one command settles.
fn format() -> Result<Outcome, Error> {
    let mut outcome = command(cargo(&[
        "fmt",
        "--all",
        "--check",
        "--",
        "--files-with-diff",
    ]))?;
    if !outcome.passed {
        outcome
            .details
            .push_str("  these files are not formatted: run `cargo fmt --all`");
    }
    Ok(outcome)
}

fn spelling() -> Result<Outcome, Error> {
    if !is_in(&path_folders(), "typos") {
        let details = "  note: skipped, as `typos` is not installed (`cargo install typos-cli`)";
        return Ok(Outcome {
            passed: true,
            details: details.to_owned(),
        });
    }
    let mut typos = Command::new("typos");
    typos.current_dir(root());
    command(typos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_does_not_fail_a_step_and_is_shown() {
        let outcome = judge(&[Finding::note("a.rs", "is rather long")]);
        assert!(outcome.passed);
        assert!(outcome.details.contains("a.rs"));
    }

    #[test]
    fn a_failing_command_shows_what_it_wrote() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo on stdout; echo on stderr >&2; exit 1"]);
        let outcome = command(shell).unwrap();
        assert!(!outcome.passed);
        assert_eq!(outcome.details, "on stdout\non stderr\n");
    }
}
