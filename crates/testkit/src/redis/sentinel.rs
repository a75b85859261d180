//! A Redis master and its replica, watched by three Sentinels.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use super::{RedisServer, dialogue};
use crate::deadline::PROBE_INTERVAL;
use crate::directory::ServerDirectory;
use crate::server::{Kind, READY_WITHIN, Server};
use crate::{Error, program, spawner};

/// What the Sentinels call the master.
const SERVICE: &str = "tidegate";
/// How many Sentinels there are; two of them must agree that the master is gone.
const SENTINELS: usize = 3;
/// The end of a Sentinel's settings; how soon a silent master is taken for dead, in milliseconds.
const SETTINGS: &str = "down-after-milliseconds tidegate 500
sentinel failover-timeout tidegate 4000
sentinel parallel-syncs tidegate 1
";

/// A running master, replica and Sentinels; all are killed when the handle is dropped.
#[derive(Debug)]
pub struct RedisSentinel {
    servers: Vec<RedisServer>,
    sentinels: Vec<Server<Sentinel>>,
}

impl RedisSentinel {
    /// Starts all of them, and waits until the Sentinels know each other and the replica.
    ///
    /// # Errors
    ///
    /// [`Error::MissingProgram`] without `redis-server`, [`Error::NotReady`] if they don't find
    /// each other; otherwise whatever prevented a start.
    pub async fn start() -> Result<Self, Error> {
        let master = RedisServer::start().await?;
        let replica = RedisServer::builder()
            .setting("repl-diskless-sync-delay", "0")
            .replica_of(master.port())
            .start()
            .await?;
        let mut sentinels = Vec::with_capacity(SENTINELS);
        for _ in 0..SENTINELS {
            sentinels.push(Sentinel::start(master.port()).await?);
        }
        let servers = vec![master, replica];
        let started = Self { servers, sentinels };
        started.until_acquainted().await?;
        Ok(started)
    }

    /// The address for clients: `redis+sentinel://127.0.0.1:PORT,…/tidegate`, with all Sentinels.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self
            .sentinels
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port()))
            .collect();
        format!("redis+sentinel://{}/{SERVICE}", hosts.join(","))
    }

    /// The port of the server that the Sentinels take for the master now.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] if they know none.
    pub async fn master_port(&self) -> Result<u16, Error> {
        let question = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {SERVICE}");
        for sentinel in &self.sentinels {
            let address = dialogue::ask(sentinel.port(), &question).await;
            let port = address.ok().and_then(|it| it.get(1)?.parse().ok());
            if let Some(port) = port {
                return Ok(port);
            }
        }
        Err(not_running())
    }

    /// Kills the master (`SIGKILL`), and returns the port on which it listened. About two seconds
    /// later the replica is the master.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] if the Sentinels know no master.
    pub async fn kill_master(&mut self) -> Result<u16, Error> {
        let port = self.master_port().await?;
        self.server(port)?.kill().await?;
        Ok(port)
    }

    /// Starts the server on `port` again, after it was killed and another one has taken its place:
    /// it has no data, and follows the new master, as a Sentinel tells it after some ten seconds.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] for an unknown port or while there is no other master; otherwise
    /// whatever prevented the start.
    pub async fn restart(&mut self, port: u16) -> Result<(), Error> {
        let master = self.master_port().await?;
        if master == port {
            return Err(not_running());
        }
        self.server(port)?.restart().await?;
        let followed = dialogue::ask(port, &format!("REPLICAOF 127.0.0.1 {master}")).await;
        followed.map_err(|_refusal| not_running())?;
        Ok(())
    }

    fn server(&mut self, port: u16) -> Result<&mut RedisServer, Error> {
        let is_it = |server: &&mut RedisServer| server.port() == port;
        let server = self.servers.iter_mut().find(is_it);
        server.ok_or_else(not_running)
    }

    async fn until_acquainted(&self) -> Result<(), Error> {
        let end = Instant::now() + READY_WITHIN;
        for sentinel in &self.sentinels {
            loop {
                let question = format!("SENTINEL MASTER {SERVICE}");
                let told = dialogue::ask(sentinel.port(), &question)
                    .await
                    .unwrap_or_default();
                if value(&told, "num-other-sentinels") == Some("2")
                    && value(&told, "num-slaves") == Some("1")
                {
                    break;
                }
                if Instant::now() >= end {
                    return Err(Error::NotReady {
                        program: "redis-sentinel".to_owned(),
                        within: READY_WITHIN,
                        output: told.join(" "),
                    });
                }
                sleep(PROBE_INTERVAL).await;
            }
        }
        Ok(())
    }
}

/// The value that follows a name in a flat list of both.
fn value<'a>(told: &'a [String], name: &str) -> Option<&'a str> {
    let at = told.iter().position(|text| text == name)?;
    told.get(at + 1).map(String::as_str)
}

fn not_running() -> Error {
    Error::NotRunning {
        program: "redis-server".to_owned(),
    }
}

/// How a Sentinel is called.
#[derive(Debug)]
struct Sentinel {
    program: PathBuf,
}

impl Sentinel {
    async fn start(master_port: u16) -> Result<Server<Self>, Error> {
        let program = program::find("redis-server")?;
        let directory = ServerDirectory::create("tidegate-sentinel-", None)?;
        let path = settings_of(&directory);
        // A Sentinel writes what it learns into this file.
        let settings =
            format!("sentinel monitor {SERVICE} 127.0.0.1 {master_port} 2\nsentinel {SETTINGS}");
        fs::write(&path, settings).map_err(|source| Error::Filesystem { path, source })?;
        Server::start(Self { program }, directory).await
    }
}

fn settings_of(directory: &ServerDirectory) -> PathBuf {
    directory.path().join("sentinel.conf")
}

impl Kind for Sentinel {
    const PROGRAM: &'static str = "redis-sentinel";
    const STOP_SIGNAL: Signal = Signal::SIGTERM;

    fn command(&self, directory: &ServerDirectory, port: u16) -> Command {
        let mut command = spawner::mortal(self.program.as_os_str());
        command.arg(settings_of(directory)).arg("--sentinel");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.arg("--dir").arg(directory.path());
        command
    }

    async fn answers(&self, port: u16) -> bool {
        dialogue::answers(port).await
    }
}
