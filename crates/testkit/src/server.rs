//! What every server has in common: a port, a directory, a child process, and its life.
//!
//! ```text
//! start ─▶ launch ─▶ probe until it answers ─▶ stop │ kill │ pause ⇄ resume ─▶ launch again
//!            └── the port was taken in the meantime: another port, at most START_ATTEMPTS_MAX times
//! ```

use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::child::OwnedChild;
use crate::deadline::PROBE_INTERVAL;
use crate::directory::ServerDirectory;
use crate::port::Port;

/// How long a server may take to answer, on a loaded machine and after a crash.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a server may take for an orderly end.
pub(crate) const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// How many ports are tried for a first start.
const START_ATTEMPTS_MAX: usize = 5;

/// A kind of server: how it is called, and how one sees that it answers.
pub(crate) trait Kind {
    /// The program's name, for errors.
    const PROGRAM: &'static str;
    /// The signal that ends it in order, without waiting for its clients.
    const STOP_SIGNAL: Signal;

    /// The command that runs the server in `directory` on `port`, in the foreground.
    fn command(&self, directory: &ServerDirectory, port: u16) -> Command;

    /// Whether the server on `port` answers requests now.
    fn answers(&self, port: u16) -> impl Future<Output = bool> + Send;
}

/// A server of one kind, running or stopped.
#[derive(Debug)]
pub(crate) struct Server<K> {
    kind: K,
    // Dropped in this order: the process first, then the directory that it writes to.
    child: Option<OwnedChild>,
    directory: ServerDirectory,
    port: Port,
}

impl<K: Kind> Server<K> {
    /// Starts a server in `directory`, on a free port, and waits until it answers.
    pub(crate) async fn start(kind: K, directory: ServerDirectory) -> Result<Self, Error> {
        let mut server = Self {
            kind,
            child: None,
            directory,
            port: reserve::<K>()?,
        };
        for _ in 1..START_ATTEMPTS_MAX {
            match server.launch().await {
                Err(Error::EndedEarly { output, .. }) if port_was_taken(&output) => {
                    server.port = reserve::<K>()?;
                }
                done => return done.map(|()| server),
            }
        }
        match server.launch().await {
            Err(Error::EndedEarly { output, .. }) if port_was_taken(&output) => {
                let program = K::PROGRAM.to_owned();
                Err(Error::NoFreePort {
                    program,
                    attempts: START_ATTEMPTS_MAX,
                })
            }
            done => done.map(|()| server),
        }
    }

    /// What the server was started with.
    pub(crate) fn kind(&self) -> &K {
        &self.kind
    }

    /// The same, to change what the next start is called with.
    pub(crate) fn kind_mut(&mut self) -> &mut K {
        &mut self.kind
    }

    /// The port that the server listens on, also while it is stopped.
    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// Ends the server in order, and waits; it is no error if it does not run.
    pub(crate) async fn stop(&mut self) -> Result<(), Error> {
        if let Some(child) = &mut self.child {
            child.ask_to_end(K::STOP_SIGNAL)?;
            child.wait(STOPPED_WITHIN).await?;
            self.child = None;
        }
        Ok(())
    }

    /// Kills the server and its children at once; it is no error if it does not run.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        match self.child.take() {
            Some(mut child) => child.kill(),
            None => Ok(()),
        }
    }

    /// Ends the server in order if it runs, and starts it again in place.
    pub(crate) async fn restart(&mut self) -> Result<(), Error> {
        self.stop().await?;
        self.launch().await
    }

    /// Freezes the server: its connections stay open and nobody answers.
    pub(crate) fn pause(&mut self) -> Result<(), Error> {
        self.running()?.pause()
    }

    /// Lets a frozen server go on.
    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        self.running()?.resume()
    }

    fn running(&mut self) -> Result<&mut OwnedChild, Error> {
        self.child.as_mut().ok_or_else(|| Error::NotRunning {
            program: K::PROGRAM.to_owned(),
        })
    }

    /// Starts the process and waits until it answers; if it does not, nothing is left running.
    async fn launch(&mut self) -> Result<(), Error> {
        let log_start = self.directory.log_length();
        let log = self.directory.log()?;
        let error_log = self.directory.log()?;
        let mut command = self.kind.command(&self.directory, self.port());
        command.stdin(Stdio::null()).stdout(log).stderr(error_log);
        let mut child = OwnedChild::spawn(K::PROGRAM, command)?;
        let end = Instant::now() + READY_WITHIN;
        loop {
            let answers = self.kind.answers(self.port()).await;
            // Asked after the probe: if ours has ended, it was somebody else who answered.
            if let Some(status) = child.try_status()? {
                let output = self.directory.log_since(log_start);
                return Err(Error::EndedEarly {
                    program: K::PROGRAM.to_owned(),
                    status,
                    output,
                });
            }
            if answers {
                self.child = Some(child);
                return Ok(());
            }
            if Instant::now() >= end {
                let output = self.directory.log_since(log_start);
                let program = K::PROGRAM.to_owned();
                return Err(Error::NotReady {
                    program,
                    within: READY_WITHIN,
                    output,
                });
            }
            sleep(PROBE_INTERVAL).await;
        }
    }
}

fn reserve<K: Kind>() -> Result<Port, Error> {
    Port::reserve().map_err(|source| Error::Spawn {
        program: K::PROGRAM.to_owned(),
        source,
    })
}

/// Both Redis and PostgreSQL log the words of the C library for `EADDRINUSE`.
fn port_was_taken(log: &str) -> bool {
    log.contains("Address already in use")
}
