//! Peers in other languages: their programs, run by their interpreters.
//!
//! `cargo xtask setup --bench` installs them. What is missing is an error that says so, never a
//! contestant that is left out in silence.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use super::contestant::Contestant;
use super::run::{Measured, Run};
use crate::error::{Error, Result};
use crate::subprocess::RUN_WITHIN;

const DRAMATIQ: (&str, &str) = ("dramatiq_peer.py", include_str!("peers/dramatiq_peer.py"));
const BULLMQ: (&str, &str) = ("bullmq.js", include_str!("peers/bullmq.js"));

/// Node's packages, as the project's setup installs them.
const NODE_MODULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../target/node/node_modules"
);

/// How many messages Dramatiq's workers have in hand; with its default they are slower.
const DRAMATIQ_PREFETCH: &str = "500";
/// How many tasks `BullMQ` works on at once.
const BULLMQ_CONCURRENCY: &str = "100";

/// Runs one stage of a peer.
pub(super) async fn run(run: &Run) -> Result<Measured> {
    let contestant = run.contestant.to_string();
    let folder = tempfile::tempdir().map_err(Error::system("making a folder"))?;
    let child = command(run, folder.path())?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::system("starting a peer"))?;
    let Ok(output) = timeout(RUN_WITHIN, child.wait_with_output()).await else {
        return Err(Error::TooSlow {
            contestant,
            within: RUN_WITHIN,
        });
    };
    let output = output.map_err(Error::system("reading a peer's result"))?;
    if !output.status.success() {
        return Err(Error::Run {
            contestant,
            status: output.status,
        });
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn command(run: &Run, folder: &Path) -> Result<Command> {
    let write = |(name, text): (&str, &str)| {
        let file = folder.join(name);
        let written = std::fs::write(&file, text).map_err(Error::system("writing a peer"));
        written.map(|()| file)
    };
    let (mut command, last) = match run.contestant {
        Contestant::Dramatiq { processes, threads } => {
            let mut command = Command::new(tidegate_testkit::python()?);
            command.arg(write(DRAMATIQ)?);
            command.env("dramatiq_queue_prefetch", DRAMATIQ_PREFETCH);
            (command, vec![processes.to_string(), threads.to_string()])
        }
        _ => {
            let modules = PathBuf::from(NODE_MODULES);
            if !modules.join("bullmq").is_dir() {
                return Err(Error::Unexpected(
                    "BullMQ is not installed; run `cargo xtask setup --bench`, or leave it out with \
                     `--only tidegate --only dramatiq`"
                        .into(),
                ));
            }
            let mut command = Command::new("node");
            command.arg(write(BULLMQ)?).env("NODE_PATH", modules);
            (command, vec![BULLMQ_CONCURRENCY.to_owned()])
        }
    };
    command
        .arg(run.redis_port.to_string())
        .arg(run.stage.word())
        .arg(run.count.to_string())
        .args(last);
    Ok(command)
}
