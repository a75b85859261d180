//! Runs `peer.py`, a Python program that speaks runnel's format.

use std::process::Command;
use std::time::Duration;

use tidegate_testkit::Process;

/// What a run may take at most.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs the program to its end and returns what it printed.
pub(crate) async fn peer(arguments: &[&str]) -> Vec<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/peer.py");
    let mut python = Command::new("python3");
    // The text of a key may hold any character, whatever the machine's language is.
    python.arg(script).args(arguments).env("PYTHONUTF8", "1");
    let mut process =
        Process::spawn(&python).expect("start python3 (install it with `cargo xtask setup`)");
    let status = process.wait(DEADLINE).await.expect("it ends by itself");
    assert!(status.success(), "{status}: {:#?}", process.stderr());
    process.stdout()
}
