//! A Redis (or Valkey) server of a test's own.
//!
//! By default it keeps nothing on disk. With [`RedisBuilder::aof`] each acknowledged write is on disk
//! before its reply, and survives a [`kill`](RedisServer::kill) and a [`restart`](RedisServer::restart).

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::directory::ServerDirectory;
use crate::server::{Kind, Server};
use crate::{Error, program, spawner};

/// How long one probe waits for its reply.
const PROBE_REPLY_WITHIN: Duration = Duration::from_secs(1);

/// A running Redis server; it is killed, and its directory removed, when the handle is dropped.
#[derive(Debug)]
pub struct RedisServer {
    server: Server<Redis>,
}

/// What a Redis server is to be started with.
#[derive(Debug, Clone, Default)]
pub struct RedisBuilder {
    aof: bool,
    program: Option<PathBuf>,
    settings: Vec<(String, String)>,
}

/// How Redis is called, and how one sees that it answers.
#[derive(Debug)]
struct Redis {
    program: PathBuf,
    options: RedisBuilder,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    ///
    /// # Errors
    ///
    /// [`Error::MissingProgram`] without `redis-server`; otherwise whatever prevented the start.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// A server with other settings.
    #[must_use]
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// The address for clients: `redis://127.0.0.1:PORT`. It is the same after a restart.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// The port that the server listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Ends the server in order (`SIGTERM`) and waits for its end.
    ///
    /// # Errors
    ///
    /// [`Error::NotStopped`] if it does not end in time.
    pub async fn stop(&mut self) -> Result<(), Error> {
        self.server.stop().await
    }

    /// Kills the server (`SIGKILL`), as a power cut would, and waits for its end.
    ///
    /// # Errors
    ///
    /// [`Error::Signal`] if the system refuses the signal.
    pub async fn kill(&mut self) -> Result<(), Error> {
        self.server.kill()
    }

    /// Starts the server again on the same port and directory; stops it first if it runs.
    ///
    /// # Errors
    ///
    /// Whatever prevented the stop or the start.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.server.restart().await
    }

    /// Freezes the server (`SIGSTOP`): connections stay open and nobody answers.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] while the server is stopped.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.server.pause()
    }

    /// Lets a frozen server go on (`SIGCONT`).
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] while the server is stopped.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.server.resume()
    }
}

impl RedisBuilder {
    /// Whether each write is on disk before its reply (`appendonly yes`, `appendfsync always`).
    #[must_use]
    pub fn aof(mut self, aof: bool) -> Self {
        self.aof = aof;
        self
    }

    /// The server program, instead of the `redis-server` found on the `PATH`.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Any other setting of `redis.conf`; a later one overrides an earlier one.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Error::MissingProgram`] without `redis-server`; otherwise whatever prevented the start.
    pub async fn start(self) -> Result<RedisServer, Error> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => program::find("redis-server")?,
        };
        let directory = ServerDirectory::create("tidegate-redis-", None)?;
        let server = Server::start(
            Redis {
                program,
                options: self,
            },
            directory,
        )
        .await?;
        Ok(RedisServer { server })
    }
}

impl Kind for Redis {
    const PROGRAM: &'static str = "redis-server";
    const STOP_SIGNAL: Signal = Signal::SIGTERM;

    fn command(&self, directory: &ServerDirectory, port: u16) -> Command {
        let mut command = spawner::mortal(self.program.as_os_str());
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--daemonize", "no", "--save", ""]);
        command.arg("--dir").arg(directory.path());
        if self.options.aof {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        for (name, value) in &self.options.settings {
            command.arg(format!("--{name}")).arg(value);
        }
        command
    }

    async fn answers(&self, port: u16) -> bool {
        timeout(PROBE_REPLY_WITHIN, ping(port))
            .await
            .is_ok_and(|answer| answer.is_ok_and(|it| it))
    }
}

/// Whether a server with its data loaded is there; one that asks for a password is.
async fn ping(port: u16) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    connection.write_all(b"PING\r\n").await?;
    let mut reply = [0_u8; 7];
    connection.read_exact(&mut reply).await?;
    Ok(&reply == b"+PONG\r\n" || &reply == b"-NOAUTH")
}
