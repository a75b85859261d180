//! Waits until what was appended is on replicas or on the disk.
//!
//! `WAIT` and `WAITAOF` are about the writes of the connection that asks, and hold it up while
//! they wait. So appends that ask for more than memory share a connection of their own, opened by
//! the first of them.
//!
//! ```text
//! append A ── chunks ─► reply ─► ticket 1 ┐
//! append B ── chunks ─► reply ─► ticket 2 ┴─► one WAIT for both ─► confirmed through 2
//! ```
//!
//! A wait confirms everything that was appended before it began, so whoever comes while one is
//! under way shares the next one: no caller stands behind more than two.
//!
//! It guarantees that nothing is confirmed by another connection than the one that appended: where
//! the connection was replaced in between (a restart, a failover), the answer is "not known". If
//! the process dies here, the entries are there, as durable as they have become.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustis::client::Config;
use rustis::resp::{CommandBuilder, cmd};
use tokio::sync::Mutex;

use super::Result;
use super::server::{Connections, Server};
use super::settings;
use crate::Error;
use crate::append::Durability;

/// The longest that one wait takes. It is well below the time a command may take, since commands
/// of other appends stand behind it on the connection.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// How long the look takes whether the server can wait for its disk.
const PROBE_MS: u64 = 1;

/// The connection for durable appends, opened when it is first used.
pub(super) struct Durable {
    config: Config,
    link: Mutex<Option<Arc<Link>>>,
}

impl Durable {
    /// A connection for later.
    pub(super) fn new(commands: &Config) -> Self {
        Self {
            config: settings::for_durable(commands),
            link: Mutex::new(None),
        }
    }

    /// The connection, on a server that can keep such a promise.
    ///
    /// # Errors
    /// [`Error::Refused`] where the server can't wait for its disk.
    pub(super) async fn link(&self, durability: Durability) -> Result<Arc<Link>> {
        let mut slot = self.link.lock().await;
        let link = match &*slot {
            Some(link) => Arc::clone(link),
            None => {
                let link = Arc::new(Link {
                    server: Server::connect(self.config.clone()).await?,
                    tickets: AtomicU64::new(0),
                    last: Mutex::default(),
                    can_fsync: Mutex::new(false),
                });
                *slot = Some(Arc::clone(&link));
                link
            }
        };
        drop(slot);
        if durability == Durability::Fsynced {
            link.require_fsync().await?;
        }
        Ok(link)
    }
}

/// The connection, and how far its appends are confirmed.
pub(super) struct Link {
    server: Server,
    /// The last ticket that was given to an append.
    tickets: AtomicU64,
    last: Mutex<Option<Confirmed>>,
    can_fsync: Mutex<bool>,
}

/// How a wait ended.
#[derive(Clone)]
struct Confirmed {
    durability: Durability,
    /// The last ticket that was given before the wait began.
    through: u64,
    outcome: Result<(), String>,
}

impl Link {
    /// The connection on which to append.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Asks once whether the server can wait for its disk.
    async fn require_fsync(&self) -> Result<()> {
        let mut can_fsync = self.can_fsync.lock().await;
        if *can_fsync {
            return Ok(());
        }
        let probe = self
            .server
            .ask_all::<(u64, u64)>(|| wait_aof(PROBE_MS))
            .await;
        probe.map_err(|failure| match Error::from(failure) {
            Error::Refused(source) => Error::Refused(
                format!(
                    "appends can be waited for until they are on the disk from Redis 7.2 on, with \
                     appendonly on: {source}"
                )
                .into(),
            ),
            other => other,
        })?;
        *can_fsync = true;
        Ok(())
    }

    /// Waits for everything that was appended on this connection until now.
    async fn wait(&self, durability: Durability) -> Result<(), String> {
        let (wanted, reached, what) = match durability {
            Durability::Memory => return Ok(()),
            Durability::Replicated { replicas } => {
                let reached = self.server.ask_all::<u64>(|| wait(replicas)).await;
                (u64::from(replicas), reached, "replicas have it")
            }
            Durability::Fsynced => {
                let reached = self.server.ask_all(|| wait_aof(wait_ms())).await;
                let local = |(at, (local, _replicas)): (_, (u64, u64))| (at, local);
                let reached = reached.map(|all| all.into_iter().map(local).collect());
                (1, reached, "disks have it")
            }
        };
        let reached = reached.map_err(|failure| failure.to_string())?;
        // On a Cluster the appends may have gone to any of the masters.
        let least = reached.into_iter().min_by_key(|(_, reached)| *reached);
        let (address, reached) = least.ok_or("no master is known")?;
        if reached >= wanted {
            return Ok(());
        }
        let place = address.map_or_else(String::new, |(host, port)| {
            format!(" at {host}:{port}: every master of a Cluster needs {wanted}")
        });
        Err(format!(
            "after {WAIT_MAX:?}, {reached} of {wanted} {what}{place}"
        ))
    }
}

/// The promise that one append wants to see kept.
pub(super) struct Receipt<'a> {
    link: &'a Link,
    connections: Connections,
}

impl<'a> Receipt<'a> {
    /// To be called before the append begins.
    pub(super) fn begin(link: &'a Link) -> Self {
        Self {
            link,
            connections: link.server.connections(),
        }
    }

    /// Waits until what was appended since the beginning is as durable as asked.
    ///
    /// # Errors
    /// What is missing, for a person.
    pub(super) async fn confirm(mut self, durability: Durability) -> Result<(), String> {
        let ticket = self.link.tickets.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.link.last.lock().await;
        let outcome = match &*last {
            Some(shared) if shared.durability == durability && shared.through >= ticket => {
                shared.outcome.clone()
            }
            _ => {
                let through = self.link.tickets.load(Ordering::SeqCst);
                let outcome = self.link.wait(durability).await;
                *last = Some(Confirmed {
                    durability,
                    through,
                    outcome: outcome.clone(),
                });
                outcome
            }
        };
        drop(last);
        if !self.link.server.has_kept(&mut self.connections) {
            return Err("the connection was replaced before it was confirmed".into());
        }
        outcome
    }
}

fn wait(replicas: u32) -> CommandBuilder {
    cmd("WAIT").arg(replicas).arg(wait_ms())
}

fn wait_aof(timeout_ms: u64) -> CommandBuilder {
    cmd("WAITAOF").arg(1).arg(0).arg(timeout_ms)
}

fn wait_ms() -> u64 {
    u64::try_from(WAIT_MAX.as_millis()).unwrap_or(u64::MAX)
}
