//! The demo as a user runs it: the real program, with its worker killed in between.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The keys of the report, which machines rely on.
const KEYS: [&str; 12] = [
    "operations_sent",
    "operations_applied",
    "dead_letters",
    "rows_expected",
    "rows_found",
    "lost",
    "duplicated",
    "worker_kills",
    "elapsed_seconds",
    "operations_per_second",
    "delay_ms_p50",
    "delay_ms_p99",
];

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("demo")
        .args(arguments)
        // A configuration of whoever runs the test must not matter.
        .env("TIDEGATE__STORE__URL", "redis://nobody.invalid")
        .output()
        .expect("tidegate runs")
}

fn report(output: &Output) -> Value {
    let (out, log) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}\n{out}\n{log}", output.status);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("not one object: {error}\n{out}"))
}

fn number(report: &Value, key: &str) -> u64 {
    report[key]
        .as_u64()
        .unwrap_or_else(|| panic!("{key} in {report}"))
}

fn in_dir(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("tidegate runs")
}

#[test]
fn a_day_with_crashes_loses_and_doubles_nothing() {
    let report = report(&demo(&["--operations", "3000", "--json"]));
    let mut keys: Vec<_> = report.as_object().expect("an object").keys().collect();
    keys.sort_unstable();
    let mut wanted = KEYS;
    wanted.sort_unstable();
    assert_eq!(keys, wanted);
    assert_eq!(
        (number(&report, "lost"), number(&report, "duplicated")),
        (0, 0)
    );
    assert_eq!(number(&report, "operations_sent"), 3_000);
    assert!(number(&report, "dead_letters") > 0);
    let settled = number(&report, "operations_applied") + number(&report, "dead_letters");
    assert_eq!(settled, 3_000);
    assert!(number(&report, "rows_expected") > 1_000);
    assert_eq!(
        number(&report, "rows_expected"),
        number(&report, "rows_found")
    );
    assert!(number(&report, "worker_kills") >= 3);
    assert!(report["elapsed_seconds"].as_f64().expect("a number") > 0.0);
    assert!(report["operations_per_second"].as_f64().expect("a number") > 0.0);
    assert!(number(&report, "delay_ms_p50") <= number(&report, "delay_ms_p99"));
}

#[test]
fn the_shortest_day_comes_to_its_end() {
    let report = report(&demo(&["--operations", "1", "--json"]));
    assert_eq!(number(&report, "operations_sent"), 1);
    assert_eq!(
        (number(&report, "lost"), number(&report, "duplicated")),
        (0, 0)
    );
}

#[test]
fn without_crashes_nothing_is_killed_and_the_data_can_be_looked_at() {
    let parent = tempfile::tempdir().expect("a directory");
    let dir = parent.path().join("demo");
    let name = dir.to_str().expect("a path");
    let output = demo(&[
        "--operations",
        "2000",
        "--no-crash",
        "--seed",
        "5",
        "--dir",
        name,
    ]);
    let story = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{story}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(story.contains("Nothing lost, nothing doubled."), "{story}");
    assert!(
        story.contains("never: --no-crash") && story.contains("payment_event"),
        "{story}"
    );
    assert!(!story.contains('\u{1b}'), "colours are for terminals only");

    // The commands that the story ends with.
    let dead = in_dir(&dir, &["drain", "dead", "list", "--json"]);
    assert!(
        dead.status.success(),
        "{}",
        String::from_utf8_lossy(&dead.stderr)
    );
    let verified = in_dir(&dir, &["drain", "verify"]);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );

    let again = demo(&["--dir", name]);
    let refusal = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        !again.status.success() && refusal.contains("is not empty"),
        "{refusal}"
    );
}
