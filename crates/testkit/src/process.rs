//! A program under test: started, read line by line, paused, killed.
//!
//! ```text
//! child ── stdout ──▶ reader thread ──┐
//!       ── stderr ──▶ reader thread ──┴──▶ Lines ──▶ wait_for_line
//! ```
//!
//! The reader threads end when the child's pipes close.

mod lines;

use std::ffi::OsStr;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::child::OwnedChild;
use crate::{Error, spawner};
use lines::{Awaited, Lines, Source};

/// A running program; it is killed, with its children, when the handle is dropped.
#[derive(Debug)]
pub struct Process {
    program: String,
    child: OwnedChild,
    lines: Arc<Lines>,
}

impl Process {
    /// Starts `command` with no input, and with its output and errors captured.
    ///
    /// The program, the arguments, the environment that was set or removed, and the current folder are
    /// taken over. What cannot be read back from a [`Command`] is not: `env_clear`, users, and pipes.
    ///
    /// # Errors
    ///
    /// [`Error::Spawn`] if the operating system refuses. With `setpriv` between the two, a program
    /// that does not exist is seen as one that ends early.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::process::Command;
    /// use std::time::Duration;
    /// use tidegate_testkit::Process;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tidegate_testkit::Error> {
    /// let process = Process::spawn(Command::new("echo").arg("ready: 7"))?;
    /// let line = process.wait_for_line(|it| it.starts_with("ready"), Duration::from_secs(5)).await?;
    /// assert_eq!(line, "ready: 7");
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn(command: &Command) -> Result<Self, Error> {
        let mut mortal = spawner::mortal(command.get_program());
        mortal.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => mortal.env(name, value),
                None => mortal.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            mortal.current_dir(folder);
        }
        mortal
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let program = short_name(command.get_program());
        let mut child = OwnedChild::spawn(&program, mortal)?;
        let (output, errors) = child.take_output();
        let lines = Arc::new(Lines::default());
        let started = lines
            .read_from(Source::Output, output)
            .and_then(|()| lines.read_from(Source::Errors, errors));
        match started {
            Ok(()) => Ok(Self {
                program,
                child,
                lines,
            }),
            Err(source) => Err(Error::Spawn { program, source }),
        }
    }

    /// The operating system's number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line, of the output or of the errors, that satisfies `predicate`.
    ///
    /// Lines are looked at once and in order: the next call begins after the line returned by this
    /// one. A call that fails leaves its lines to be looked at again.
    ///
    /// # Errors
    ///
    /// [`Error::LineNotSeen`], with the end of the output, after `deadline` or, sooner, when the process
    /// has closed its output.
    pub async fn wait_for_line(
        &self,
        predicate: impl FnMut(&str) -> bool,
        deadline: Duration,
    ) -> Result<String, Error> {
        match self.lines.wait_for(predicate, deadline).await {
            Awaited::Seen(line) => Ok(line),
            Awaited::Closed | Awaited::TimedOut => Err(Error::LineNotSeen {
                program: self.program.clone(),
                within: deadline,
                output: self.lines.tail(),
            }),
        }
    }

    /// All captured lines of the standard output so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        self.lines.of(Source::Output)
    }

    /// All captured lines of the standard error so far.
    #[must_use]
    pub fn stderr(&self) -> Vec<String> {
        self.lines.of(Source::Errors)
    }

    /// Whether the process has not ended yet.
    ///
    /// # Errors
    ///
    /// [`Error::Spawn`] if the operating system does not know.
    pub fn is_running(&mut self) -> Result<bool, Error> {
        Ok(self.child.try_status()?.is_none())
    }

    /// Waits for the end of the process by itself, and of its output.
    ///
    /// # Errors
    ///
    /// [`Error::NotStopped`] after `deadline`; the process goes on.
    pub async fn wait(&mut self, deadline: Duration) -> Result<ExitStatus, Error> {
        let status = self.child.wait(deadline).await?;
        // The last lines may still be on their way; a grandchild may keep the pipes for longer.
        self.lines.wait_until_closed(deadline).await;
        Ok(status)
    }

    /// Asks the process to end (`SIGTERM`) and waits for it.
    ///
    /// # Errors
    ///
    /// [`Error::NotStopped`] after `deadline`; [`Error::NotRunning`] if it had ended before.
    pub async fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus, Error> {
        self.child.ask_to_end(Signal::SIGTERM)?;
        self.wait(deadline).await
    }

    /// Kills the process and its children (`SIGKILL`), and waits for their end.
    ///
    /// # Errors
    ///
    /// [`Error::Signal`] if the system refuses the signal.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.child.kill()
    }

    /// Freezes the process and its children (`SIGSTOP`).
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] if it has ended.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.child.pause()
    }

    /// Lets a frozen process go on (`SIGCONT`).
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] if it has ended.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.child.resume()
    }
}

/// The program without its folders, for errors.
fn short_name(program: &OsStr) -> String {
    let name = std::path::Path::new(program).file_name().unwrap_or(program);
    name.to_string_lossy().into_owned()
}
