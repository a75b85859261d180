//! A child process that is ours: its signals, its end, and the children it has in turn.
//!
//! PostgreSQL is a tree of processes, and each one leaves the group it was born in. So "kill the
//! server" and "freeze the server" mean the process and its children, found through `/proc`: the parent
//! is stopped first, so that no child is born while the others are signalled.

use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::deadline::PROBE_INTERVAL;
use crate::{Error, spawner};

/// How long the children of a killed process may take to be gone; they need microseconds.
const ORPHANS_GONE_WITHIN: Duration = Duration::from_secs(5);

/// A running child process, killed with its own children when dropped.
#[derive(Debug)]
pub(crate) struct OwnedChild {
    program: String,
    child: Child,
}

impl OwnedChild {
    /// Starts `command`; `program` is its name in errors.
    pub(crate) fn spawn(program: &str, command: Command) -> Result<Self, Error> {
        let program = program.to_owned();
        match spawner::spawn(command) {
            Ok(child) => Ok(Self { program, child }),
            Err(source) => Err(Error::Spawn { program, source }),
        }
    }

    /// The operating system's number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The standard output and the standard error, where they are pipes and were not taken before.
    pub(crate) fn take_output(
        &mut self,
    ) -> (
        Option<std::process::ChildStdout>,
        Option<std::process::ChildStderr>,
    ) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// How the process ended, or `None` while it runs.
    pub(crate) fn try_status(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child.try_wait().map_err(|source| Error::Spawn {
            program: self.program.clone(),
            source,
        })
    }

    /// Waits for the end of the process.
    pub(crate) async fn wait(&mut self, within: Duration) -> Result<ExitStatus, Error> {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.try_status()? {
                return Ok(status);
            }
            if Instant::now() >= end {
                return Err(Error::NotStopped {
                    program: self.program.clone(),
                    within,
                });
            }
            sleep(PROBE_INTERVAL).await;
        }
    }

    /// Asks the process to end; a paused one is resumed, or it could not obey.
    pub(crate) fn ask_to_end(&mut self, with: Signal) -> Result<(), Error> {
        self.signal(with)?;
        match self.resume() {
            // It was quick to obey.
            Err(Error::NotRunning { .. }) => Ok(()),
            done => done,
        }
    }

    /// Freezes the process and its children.
    pub(crate) fn pause(&mut self) -> Result<(), Error> {
        self.signal(Signal::SIGSTOP)?;
        self.signal_children(Signal::SIGSTOP);
        Ok(())
    }

    /// Lets the process and its children go on.
    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        self.signal_children(Signal::SIGCONT);
        self.signal(Signal::SIGCONT)
    }

    /// Kills the process and its children at once, and waits until all of them are gone.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        // A process that has ended and been waited for has no number any more, and no children.
        if self.try_status()?.is_some() {
            return Ok(());
        }
        self.signal(Signal::SIGSTOP)?;
        let children = children_of(self.pid());
        self.signal(Signal::SIGKILL)?;
        for child in &children {
            signal::kill(*child, Signal::SIGKILL).ok();
        }
        self.child.wait().map_err(|source| Error::Spawn {
            program: self.program.clone(),
            source,
        })?;
        let end = std::time::Instant::now() + ORPHANS_GONE_WITHIN;
        while children.iter().any(|child| is_alive(*child)) && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        if self.try_status()?.is_some() {
            return Err(Error::NotRunning {
                program: self.program.clone(),
            });
        }
        signal::kill(self.pid(), signal).map_err(|source| Error::Signal {
            program: self.program.clone(),
            source,
        })
    }

    fn signal_children(&self, signal: Signal) {
        for child in children_of(self.pid()) {
            // A child may end between being listed and being signalled.
            signal::kill(child, signal).ok();
        }
    }

    fn pid(&self) -> Pid {
        // A process number always fits; -1 would mean "everyone", so the fallback is our own.
        i32::try_from(self.child.id()).map_or_else(|_| Pid::this(), Pid::from_raw)
    }
}

impl Drop for OwnedChild {
    fn drop(&mut self) {
        self.kill().ok();
    }
}

/// The direct children of `parent`; none where there is no `/proc`.
fn children_of(parent: Pid) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .map(Pid::from_raw)
        .filter(|pid| stat(*pid).is_some_and(|(_, its_parent)| its_parent == parent))
        .collect()
}

/// Whether the process exists and is more than an entry waiting to be reaped.
fn is_alive(pid: Pid) -> bool {
    if signal::kill(pid, None) == Err(Errno::ESRCH) {
        return false;
    }
    stat(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// The state and the parent of a process, from `/proc/<pid>/stat` (see proc(5)).
fn stat(pid: Pid) -> Option<(char, Pid)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name comes second, in parentheses, and may itself hold blanks and parentheses.
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some((state, Pid::from_raw(parent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_takes_the_children_along() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & sleep 600"]);
        let mut shell = OwnedChild::spawn("sh", command).unwrap();
        let end = std::time::Instant::now() + Duration::from_secs(10);
        let mut children = children_of(shell.pid());
        while children.len() < 2 {
            assert!(
                std::time::Instant::now() < end,
                "the shell has started its children"
            );
            children = children_of(shell.pid());
        }
        shell.kill().unwrap();
        assert!(!children.into_iter().any(is_alive));
    }
}
