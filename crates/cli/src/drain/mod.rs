//! `tidegate drain`: send, run, and look after what became of it.
//!
//! ```text
//! send ─► run ─► status, verify ─► dead list, show, retry, discard
//!   └─ plan: what would be run, diff: what that would change
//! ```
//!
//! [`lines`] reads files of operations for `send` and `plan`; [`letters`] shows dead letters for
//! `dead` and for those who come upon them.

mod audit;
mod dead;
mod diff;
mod json_text;
mod letters;
mod lines;
mod plan;
mod run;
mod send;
mod status;
mod verify;

use std::process::ExitCode;

use crate::args::{DrainArgs, DrainCommand};
use crate::config::Settings;
use crate::tenant;

/// Runs a command of the drain. `run` and `status` are for all tenants unless one is named, the
/// others for one.
///
/// # Errors
/// What kept the command from its answer. An answer that isn't good is an exit code.
pub(crate) async fn run(args: &DrainArgs, settings: &Settings) -> miette::Result<ExitCode> {
    let tenant = args.tenant.as_deref();
    match &args.command {
        DrainCommand::Run(args) => run::run(args, &tenant::some(settings, tenant)?).await,
        DrainCommand::Status(args) => status::run(args, &tenant::some(settings, tenant)?).await,
        command => of_one(command, &tenant::one(settings, tenant)?).await,
    }
}

async fn of_one(command: &DrainCommand, settings: &Settings) -> miette::Result<ExitCode> {
    match command {
        DrainCommand::Send(args) => send::run(args, settings).await,
        DrainCommand::Run(args) => run::run(args, settings).await,
        DrainCommand::Status(args) => status::run(args, settings).await,
        DrainCommand::Verify { json } => verify::run(*json, settings).await,
        DrainCommand::Audit { sample, json } => audit::run(*sample, *json, settings).await,
        DrainCommand::Plan {
            file,
            diff: true,
            json,
            hide_values,
        } => {
            let form = diff::Form {
                json: *json,
                hide_values: *hide_values,
            };
            diff::run(file, form, settings).await
        }
        DrainCommand::Plan { file, json, .. } => plan::run(file, *json, settings).await,
        DrainCommand::Dead(command) => dead::run(command, settings).await,
    }
}
