//! `bench`: the project's own measurements of whole paths, in a release build.

use crate::error::Error;
use crate::shell::{cargo, run as run_command};

/// Runs the bench program; which measurements there are is its own affair.
pub(crate) fn run(args: &[String]) -> Result<(), Error> {
    let mut bench = cargo(&["run", "--release", "--package", "tidegate-bench", "--"]);
    bench.args(args);
    run_command(bench)
}
