//! A Redis (or Valkey) server of a test's own.
//!
//! By default it keeps nothing on disk. With [`RedisBuilder::aof`] each acknowledged write is on disk
//! before its reply, and survives a [`kill`](RedisServer::kill) and a [`restart`](RedisServer::restart).
//! Several of them make a [`RedisCluster`] or are watched by a [`RedisSentinel`].

mod cluster;
mod dialogue;
mod distribution;
mod sentinel;
mod slot_move;
mod tls;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

pub use self::cluster::RedisCluster;
pub use self::distribution::Distribution;
pub use self::sentinel::RedisSentinel;
pub use self::slot_move::SlotMove;
use self::tls::Certificates;
use crate::directory::ServerDirectory;
use crate::port::Port;
use crate::server::{Kind, Server};
use crate::{Error, spawner};

/// A running Redis server; it is killed, and its directory removed, when the handle is dropped.
#[derive(Debug)]
pub struct RedisServer {
    server: Server<Redis>,
}

/// What a Redis server is to be started with.
#[derive(Debug, Clone, Default)]
pub struct RedisBuilder {
    aof: bool,
    tls: bool,
    distribution: Distribution,
    settings: Vec<(String, Vec<String>)>,
}

/// How Redis is called, and how one sees that it answers.
#[derive(Debug)]
struct Redis {
    program: PathBuf,
    options: RedisBuilder,
    tls: Option<Tls>,
}

/// Where the server listens besides, and with which certificates.
#[derive(Debug)]
struct Tls {
    port: Port,
    certificates: Certificates,
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

    /// A server of another make or version.
    #[must_use]
    pub fn of(distribution: Distribution) -> RedisBuilder {
        RedisBuilder {
            distribution,
            ..RedisBuilder::default()
        }
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

    /// The address for clients that speak TLS, `rediss://…?ca=FILE`, with `login` (`user:password@`
    /// or nothing) before the host; none for a server without TLS.
    #[must_use]
    pub fn tls_url(&self, login: &str) -> Option<String> {
        let Tls { port, certificates } = self.server.kind().tls.as_ref()?;
        let authority = certificates.authority.display();
        let port = port.number();
        Some(format!("rediss://{login}127.0.0.1:{port}?ca={authority}"))
    }

    /// The port that the server listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Deletes all data, so that the next of several tests that share the server begins anew.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] if the server does not do so.
    pub async fn clear(&self) -> Result<(), Error> {
        let cleared = dialogue::ask(self.port(), "FLUSHALL").await;
        cleared.map_err(|refusal| Error::NotReady {
            program: Redis::PROGRAM.to_owned(),
            within: Duration::ZERO,
            output: refusal.to_string(),
        })?;
        Ok(())
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

    /// Makes a replica a master, with what it has; it stays one over restarts.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] if the server does not answer, or refuses.
    pub async fn promote(&mut self) -> Result<(), Error> {
        let promoted = dialogue::ask(self.port(), "REPLICAOF NO ONE").await;
        promoted.map_err(|_unanswered| Error::NotRunning {
            program: Redis::PROGRAM.to_owned(),
        })?;
        let settings = &mut self.server.kind_mut().options.settings;
        settings.retain(|(name, _)| name != "replicaof");
        Ok(())
    }

    /// What the next start follows, as a replica from its first moment.
    pub(crate) fn follow(&mut self, master_port: u16) {
        let settings = &mut self.server.kind_mut().options.settings;
        settings.retain(|(name, _)| name != "replicaof");
        settings.push(replica_of(master_port));
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

    /// Whether it speaks TLS as well, on a port of its own, with certificates that are made for it;
    /// see [`tls_url`](RedisServer::tls_url).
    #[must_use]
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// A user with a password and ACL rules such as `~* +@all`.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, rules: &str) -> Self {
        let mut words = vec![name.to_owned(), "on".to_owned(), format!(">{password}")];
        words.extend(rules.split_whitespace().map(str::to_owned));
        self.settings.push(("user".to_owned(), words));
        self
    }

    /// Follows the server on this port.
    #[must_use]
    pub fn replica_of(mut self, port: u16) -> Self {
        self.settings.push(replica_of(port));
        self
    }

    /// Any other setting of `redis.conf`; a later one overrides an earlier one.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), vec![value.into()]));
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Error::MissingProgram`] without its program; otherwise whatever prevented the start.
    pub async fn start(self) -> Result<RedisServer, Error> {
        let program = self.distribution.program()?;
        let directory = ServerDirectory::create("tidegate-redis-", None)?;
        let tls = match self.tls {
            true => Some(Tls::prepare(&directory)?),
            false => None,
        };
        let kind = Redis {
            program,
            options: self,
            tls,
        };
        let server = Server::start(kind, directory).await?;
        Ok(RedisServer { server })
    }
}

/// The setting by which a server follows the one on this port.
fn replica_of(port: u16) -> (String, Vec<String>) {
    let words = vec!["127.0.0.1".to_owned(), port.to_string()];
    ("replicaof".to_owned(), words)
}

impl Tls {
    fn prepare(directory: &ServerDirectory) -> Result<Self, Error> {
        let port = Port::reserve().map_err(|source| Error::Spawn {
            program: Redis::PROGRAM.to_owned(),
            source,
        })?;
        let certificates = Certificates::create(directory.path())?;
        Ok(Self { port, certificates })
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
            command.arg(format!("--{name}")).args(value);
        }
        if let Some(Tls { port, certificates }) = &self.tls {
            let port = port.number().to_string();
            command.args(["--tls-port", &port, "--tls-auth-clients", "no"]);
            let authority = &certificates.authority;
            command.arg("--tls-ca-cert-file").arg(authority);
            command
                .arg("--tls-cert-file")
                .arg(&certificates.certificate);
            command.arg("--tls-key-file").arg(&certificates.key);
        }
        command
    }

    async fn answers(&self, port: u16) -> bool {
        dialogue::answers(port).await
    }
}
