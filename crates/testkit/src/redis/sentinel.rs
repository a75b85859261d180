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
/// The end of a Sentinel's settings: after how many milliseconds a silent master is taken for
/// dead, which a busy machine must not make of a living one.
const SETTINGS: &str = "down-after-milliseconds tidegate 2000
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

    /// The port of the server that all Sentinels take for the master now.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] if they know none, or not the same one: during a failover one of them
    /// knows the new master some seconds before the others.
    pub async fn master_port(&self) -> Result<u16, Error> {
        let question = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {SERVICE}");
        let mut agreed = None;
        for sentinel in &self.sentinels {
            let address = dialogue::ask(sentinel.port(), &question).await;
            let port: Option<u16> = address.ok().and_then(|it| it.get(1)?.parse().ok());
            match (port, agreed) {
                (Some(port), None) => agreed = Some(port),
                (Some(port), Some(other)) if port == other => {}
                _ => return Err(not_running()),
            }
        }
        agreed.ok_or_else(not_running)
    }

    /// Kills the master (`SIGKILL`), and returns the port on which it listened. Some four seconds
    /// later the replica is the master.
    ///
    /// It waits before until the replica follows the master and every Sentinel knows so: otherwise
    /// there would be nobody to take its place, or somebody without its data.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] if that is not so in time.
    pub async fn kill_master(&mut self) -> Result<u16, Error> {
        let port = self.until("a replica is ready", async || {
            self.replaceable_master().await
        });
        let port = port.await?;
        self.server(port)?.kill().await?;
        Ok(port)
    }

    /// Starts the server on `port` again, after it was killed, once another one has taken its
    /// place: it has no data, and follows the new master.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] for an unknown port, [`Error::NotReady`] if there is no other master
    /// in time; otherwise whatever prevented the start.
    pub async fn restart(&mut self, port: u16) -> Result<(), Error> {
        let master = self.until("another master", async || {
            let master = self.master_port().await.ok();
            master.filter(|master| *master != port)
        });
        let master = master.await?;
        // As a replica from the start: an empty master, for however short, would be found.
        let server = self.server(port)?;
        server.follow(master);
        server.restart().await
    }

    fn server(&mut self, port: u16) -> Result<&mut RedisServer, Error> {
        let is_it = |server: &&mut RedisServer| server.port() == port;
        let server = self.servers.iter_mut().find(is_it);
        server.ok_or_else(not_running)
    }

    /// Waits until the Sentinels know each other and the replica.
    async fn until_acquainted(&self) -> Result<(), Error> {
        let acquainted = self.until("three Sentinels", async || {
            for sentinel in &self.sentinels {
                let told = told(sentinel, "MASTER").await;
                let others = value(&told, "num-other-sentinels");
                if others != Some("2") || value(&told, "num-slaves") != Some("1") {
                    return None;
                }
            }
            Some(())
        });
        acquainted.await
    }

    /// The master, if all Sentinels see it and its replica well, and the replica follows it.
    async fn replaceable_master(&self) -> Option<u16> {
        let master = self.master_port().await.ok()?;
        for sentinel in &self.sentinels {
            let (of_master, of_replica) = (
                told(sentinel, "MASTER").await,
                told(sentinel, "REPLICAS").await,
            );
            // Whatever is amiss, or under way, is a further flag.
            if value(&of_master, "flags") != Some("master")
                || value(&of_replica, "flags") != Some("slave")
            {
                return None;
            }
        }
        let replica = self.servers.iter().find(|it| it.port() != master)?;
        let info = dialogue::ask(replica.port(), "INFO replication").await;
        let info = info.ok()?.concat();
        let is_following = info.contains(&format!("master_port:{master}\r"))
            && info.contains("master_link_status:up");
        is_following.then_some(master)
    }

    /// Asks until there is an answer.
    async fn until<T>(
        &self,
        what: &str,
        mut answer: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T, Error> {
        let end = Instant::now() + READY_WITHIN;
        loop {
            if let Some(answer) = answer().await {
                return Ok(answer);
            }
            if Instant::now() >= end {
                let mut output = format!("missed: {what}");
                for sentinel in &self.sentinels {
                    for subject in ["MASTER", "REPLICAS"] {
                        let told = told(sentinel, subject).await;
                        output = format!("{output}\n{}", told.join(" "));
                    }
                }
                return Err(Error::NotReady {
                    program: "redis-sentinel".to_owned(),
                    within: READY_WITHIN,
                    output,
                });
            }
            sleep(PROBE_INTERVAL).await;
        }
    }
}

/// What a Sentinel says of the master or of its replicas; nothing if it does not answer.
async fn told(sentinel: &Server<Sentinel>, subject: &str) -> Vec<String> {
    let question = format!("SENTINEL {subject} {SERVICE}");
    let told = dialogue::ask(sentinel.port(), &question).await;
    told.unwrap_or_default()
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
