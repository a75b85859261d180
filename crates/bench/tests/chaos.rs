//! A few rounds of chaos, as a person would run them: faults at servers, workers and networks over a
//! mixed load, held against the model.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Another number is another load and other faults.
const SEED: &str = "1";
/// Enough for each place to be struck, in a fraction of a minute.
const ROUNDS: &str = "5";

/// What the report says at this path.
fn at<'a>(report: &'a Value, path: &str) -> &'a Value {
    report.pointer(path).unwrap_or(&Value::Null)
}

#[test]
fn faults_at_any_place_lose_double_and_reorder_nothing() {
    let bench = Path::new(env!("CARGO_BIN_EXE_tidegate-bench"));
    let mut command = Command::new(bench);
    command.args([
        "chaos",
        "--json",
        "--seed",
        SEED,
        "--rounds",
        ROUNDS,
        "--operations",
        "2000",
    ]);
    // A run of all tests has built it; a run of these alone may not have.
    let tidegate = bench.with_file_name("tidegate");
    if tidegate.is_file() {
        command.arg("--tidegate").arg(tidegate);
    }
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(at(&report, "/rounds/4/round"), 5, "{report:#}");
    assert!(
        at(&report, "/operations").as_u64() >= Some(10_000),
        "{report:#}"
    );
    for nothing in ["lost", "doubled", "reordered", "differing", "wrongly_held"] {
        assert_eq!(at(&report, &format!("/total/{nothing}")), 0, "{report:#}");
    }
}
