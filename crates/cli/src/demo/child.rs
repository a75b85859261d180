//! The worker as a child process: this same program as `tidegate drain run --json`, as a user
//! would start it.
//!
//! Whoever holds a [`WorkerProcess`] owns the process and the two tasks that read what it prints;
//! when it is dropped, the process is killed. It shares the terminal's process group, so Ctrl-C
//! reaches it as well.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use miette::{IntoDiagnostic, WrapErr, miette};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::place::{CONFIG, Place};
use super::witness::Witness;

/// How long a worker may take to stop when it is asked to.
const STOP_MAX: Duration = Duration::from_secs(30);
/// Environment variables with this prefix configure the program; the demo has its own settings.
const VARIABLES: &str = "TIDEGATE_";

/// A worker that runs.
#[derive(Debug)]
pub(super) struct WorkerProcess {
    child: Child,
    readers: JoinSet<()>,
}

impl WorkerProcess {
    /// Starts a worker.
    ///
    /// # Errors
    /// A system that can't start it.
    pub(super) fn start(place: &Place, witness: &Witness) -> miette::Result<Self> {
        let program = env::current_exe()
            .into_diagnostic()
            .wrap_err("the program's own file")?;
        let mut command = Command::new(program);
        command
            .args(["--config", CONFIG, "drain", "run", "--json"])
            .current_dir(place.dir());
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with(VARIABLES) {
                command.env_remove(name);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .into_diagnostic()
            .wrap_err("the worker can't be started")?;
        let mut readers = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            let witness = witness.clone();
            readers.spawn(read_lines(stdout, move |line| witness.hear(&line)));
        }
        if let Some(stderr) = child.stderr.take() {
            let witness = witness.clone();
            readers.spawn(read_lines(stderr, move |line| witness.hear_log(line)));
        }
        Ok(Self { child, readers })
    }

    /// Waits for an end that nobody has asked for, and says that it is one.
    pub(super) async fn ended(&mut self) -> miette::Report {
        let ended = self.child.wait().await;
        // Its last words are in the pipes still.
        while self.readers.join_next().await.is_some() {}
        match ended {
            Ok(status) => miette!("the worker has ended by itself: {status}"),
            Err(error) => miette!("the worker is lost: {error}"),
        }
    }

    /// Kills it with SIGKILL: it can do nothing about that.
    ///
    /// # Errors
    /// A system that can't do so.
    pub(super) async fn kill(mut self) -> miette::Result<()> {
        self.child
            .kill()
            .await
            .into_diagnostic()
            .wrap_err("the worker can't be killed")?;
        while self.readers.join_next().await.is_some() {}
        Ok(())
    }

    /// Asks it to stop with SIGTERM and waits until it has.
    ///
    /// # Errors
    /// A worker that doesn't stop, or not well.
    pub(super) async fn stop(mut self) -> miette::Result<()> {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            let asked = kill(Pid::from_raw(id), Signal::SIGTERM).into_diagnostic();
            asked.wrap_err("the worker can't be asked to stop")?;
        }
        let ended = timeout(STOP_MAX, self.child.wait()).await;
        let Ok(ended) = ended else {
            return Err(miette!(
                "the worker did not stop within {} s",
                STOP_MAX.as_secs()
            ));
        };
        while self.readers.join_next().await.is_some() {}
        let status = ended.into_diagnostic().wrap_err("the worker is lost")?;
        require_success(status)
    }
}

/// A worker that was started a moment ago may not hear signals yet: then SIGTERM just ends it.
fn require_success(status: ExitStatus) -> miette::Result<()> {
    if status.success() || status.signal() == Some(Signal::SIGTERM as i32) {
        return Ok(());
    }
    Err(miette!("the worker did not stop well: {status}"))
}

/// Hands over line by line. What follows the last line's end was cut off by a kill and says
/// nothing.
async fn read_lines(from: impl AsyncRead + Unpin, hear: impl Fn(String)) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while let Ok(1..) = from.read_until(b'\n', &mut line).await {
        if line.pop() == Some(b'\n') {
            hear(String::from_utf8_lossy(&line).into_owned());
        }
        line.clear();
    }
}
