//! The demo: to be written.

use std::process::ExitCode;

use crate::args::DemoArgs;

/// Runs the demo.
///
/// # Errors
/// Whatever kept it from running.
pub(crate) async fn run(_args: &DemoArgs) -> miette::Result<ExitCode> {
    Err(miette::miette!("the demo is not there yet"))
}
