//! The connection that all short commands share.
//!
//! Between the operations, which know commands and replies, and the client, which knows sockets.
//! Many calls are under way at once on one connection, and the server runs them in the order in
//! which they were begun.
//!
//! A call ends with the server's reply, or fails within [`COMMAND_TIMEOUT`](super::settings);
//! it is never sent twice. While the connection is down every call fails at once, and the client
//! goes on trying to connect. If the process dies here, a command that was sent may still run.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use rustis::client::{Client, Config, ServerConfig};
use rustis::resp::{Command, CommandBuilder, cmd};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use tokio::sync::broadcast;
use tokio::time::timeout;

use super::failure::Failure;
use super::reply::Reply;
use super::router::{Question, Router, State};
use super::script::Script;
use super::settings::CONNECT_TIMEOUT;
use super::together::send_together;
use super::topology::Address;
use crate::{Error, Result};

/// The oldest server whose streams count what was ever added (`entries-added`, group `lag`).
const MAJOR_VERSION_MIN: u32 = 7;

/// A server, spoken to over one connection, or a Cluster, over one to each of its masters.
pub(super) struct Server {
    link: Link,
}

enum Link {
    One(Client),
    Cluster(Box<Router>),
}

impl Server {
    /// Connects, logs in, and looks whether the server is new enough.
    pub(super) async fn connect(config: Config) -> Result<Self> {
        let link = match &config.server {
            ServerConfig::Cluster(cluster) => {
                let seeds = cluster.nodes.clone();
                let router = Box::pin(Router::connect(config, seeds)).await?;
                Link::Cluster(Box::new(router))
            }
            _ => Link::One(connect(config).await?),
        };
        let server = Self { link };
        server.check_version().await?;
        Ok(server)
    }

    /// Sends one command.
    pub(super) async fn call(&self, command: impl Into<Command>) -> Result<Reply, Failure> {
        let command = command.into();
        match &self.link {
            Link::One(client) => send(client, command).await,
            Link::Cluster(router) => router.route(&One(command)).await,
        }
    }

    /// Sends one command, and reads the reply as a value.
    pub(super) async fn ask<T: DeserializeOwned + Send>(
        &self,
        command: impl Into<Command>,
    ) -> Result<T, Failure> {
        let command = command.into();
        match &self.link {
            Link::One(client) => Ok(client.send(command, None).await?),
            Link::Cluster(router) => router.route(&Value(command, PhantomData)).await,
        }
    }

    /// Sends one command to the server, or to every master of a Cluster at once, and reads each
    /// reply as a value, with the master's address on a Cluster.
    pub(super) async fn ask_all<T: DeserializeOwned>(
        &self,
        command: impl Fn() -> CommandBuilder,
    ) -> Result<Vec<(Option<Address>, T)>, Failure> {
        let asked = self.clients().into_iter().map(|(address, client)| {
            let command = command();
            async move { Ok((address, client.send(command, None).await?)) }
        });
        join_all(asked).await.into_iter().collect()
    }

    /// Tells, from now on, whether a connection was replaced by another.
    pub(super) fn connections(&self) -> Connections {
        let clients = self.clients();
        Connections {
            reconnections: clients.iter().map(|(_, it)| it.on_reconnect()).collect(),
            routed: match &self.link {
                Link::One(_) => None,
                Link::Cluster(router) => Some((router.state(), router.asked())),
            },
        }
    }

    /// Whether all connections are still those of then, and nothing has gone over another.
    pub(super) fn has_kept(&self, then: &mut Connections) -> bool {
        let same_nodes = match (&self.link, &then.routed) {
            (Link::Cluster(router), Some((state, asked))) => {
                Arc::ptr_eq(&router.state(), state) && router.asked() == *asked
            }
            _ => true,
        };
        let is_quiet = |it: &mut broadcast::Receiver<()>| {
            matches!(it.try_recv(), Err(broadcast::error::TryRecvError::Empty))
        };
        same_nodes && then.reconnections.iter_mut().all(is_quiet)
    }

    fn clients(&self) -> Vec<(Option<Address>, Client)> {
        match &self.link {
            Link::One(client) => vec![(None, client.clone())],
            Link::Cluster(router) => {
                let state = router.state();
                let masters = state.masters();
                let named = masters.map(|(address, it)| (Some(address.clone()), it.clone()));
                named.collect()
            }
        }
    }

    /// Sends several commands that the server runs together, with nothing in between, or not at
    /// all, and returns what it answers. Their keys must be in one slot of a Cluster.
    pub(super) async fn call_together<T: Default + DeserializeOwned + Send>(
        &self,
        commands: impl Iterator<Item = CommandBuilder>,
    ) -> Result<T, Failure> {
        let router = match &self.link {
            Link::One(client) => return send_together(client, commands).await,
            Link::Cluster(router) => router,
        };
        let commands: Vec<Command> = commands.map(Command::from).collect();
        if commands.is_empty() {
            return Ok(T::default());
        }
        router.route(&Together(commands, PhantomData)).await
    }

    /// The connection, where it is one and not several to a Cluster.
    pub(super) fn single(&self) -> Option<&Client> {
        match &self.link {
            Link::One(client) => Some(client),
            Link::Cluster(_) => None,
        }
    }

    /// Runs a script. `arguments` adds the number of keys, the keys and the arguments; it is
    /// asked twice where the server has forgotten the script.
    pub(super) async fn run(
        &self,
        script: &Script,
        arguments: impl Fn(CommandBuilder) -> CommandBuilder,
    ) -> Result<Reply, Failure> {
        let by_hash = arguments(cmd("EVALSHA").arg(script.sha.as_str()));
        match self.call(by_hash).await {
            Err(failure) if failure.is_unknown_script() => {
                // The server keeps what it has evaluated, so this is once per forgetting.
                self.call(arguments(cmd("EVAL").arg(script.text))).await
            }
            reply => reply,
        }
    }

    /// Gives the server the text of a script, and returns the hash by which it can be run.
    pub(super) async fn load(&self, text: &str) -> Result<Bytes> {
        self.call(cmd("SCRIPT").arg("LOAD").arg(text)).await?.text()
    }

    async fn check_version(&self) -> Result<()> {
        for (_, client) in self.clients() {
            let version = match client.server_version() {
                Some(version) => version.to_string(),
                None => self.version_from_info().await?,
            };
            check_version(&version)?;
        }
        Ok(())
    }

    /// For a server that does not say its version when one logs in.
    async fn version_from_info(&self) -> Result<String> {
        let info = self.call(cmd("INFO").arg("server")).await?.text()?;
        let info = String::from_utf8_lossy(&info);
        let version = info
            .lines()
            .find_map(|line| line.strip_prefix("redis_version:"));
        Ok(version.unwrap_or_default().trim().to_owned())
    }
}

fn check_version(version: &str) -> Result<()> {
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major >= MAJOR_VERSION_MIN => Ok(()),
        Some(_) => Err(Error::Refused(
            format!("the server is version {version}; Redis 7.0 or Valkey is needed").into(),
        )),
        None => Err(Error::Corrupt(format!(
            "the server's version is {version:?}"
        ))),
    }
}

/// The connections of a moment.
pub(super) struct Connections {
    reconnections: Vec<broadcast::Receiver<()>>,
    /// Of a Cluster: its masters, and how many commands have gone past these connections.
    routed: Option<(Arc<State>, u64)>,
}

/// One command, whose reply is read by the caller.
struct One(Command);

impl Question for One {
    type Answer = Reply;

    fn key(&self) -> Option<Vec<u8>> {
        first_key(&self.0)
    }

    async fn ask(&self, client: &Client) -> Result<Reply, Failure> {
        send(client, self.0.clone()).await
    }
}

/// One command, whose reply is a value.
struct Value<T>(Command, PhantomData<fn() -> T>);

impl<T: DeserializeOwned + Send> Question for Value<T> {
    type Answer = T;

    fn key(&self) -> Option<Vec<u8>> {
        first_key(&self.0)
    }

    async fn ask(&self, client: &Client) -> Result<T, Failure> {
        Ok(client.send(self.0.clone(), None).await?)
    }
}

/// Several commands, together or not at all.
struct Together<T>(Vec<Command>, PhantomData<fn() -> T>);

impl<T: DeserializeOwned + Send> Question for Together<T> {
    type Answer = T;

    fn key(&self) -> Option<Vec<u8>> {
        first_key(self.0.first()?)
    }

    async fn ask(&self, client: &Client) -> Result<T, Failure> {
        send_together(client, self.0.iter().cloned()).await
    }
}

fn first_key(command: &Command) -> Option<Vec<u8>> {
    Some(command.keys().next()?.to_vec())
}

/// Opens a connection. The client has a limit for the dial and one for the login, but none for
/// what TLS says in between, so this one is for everything.
pub(super) async fn connect(config: Config) -> Result<Client, Failure> {
    let client = timeout(CONNECT_TIMEOUT, Client::connect(config)).await;
    Ok(client.map_err(|_elapsed| Failure::TimedOut)??)
}

/// Sends one command over a client, and tells a reply from an error reply.
pub(super) async fn send(client: &Client, command: impl Into<Command>) -> Result<Reply, Failure> {
    let raw = client.send_raw(command, None).await?;
    let reply = Reply::new(Bytes::from(raw.into_vec()));
    match reply.error() {
        Some(text) => Err(Failure::Server(text)),
        None => Ok(reply),
    }
}

/// An argument of bytes, which need not be text.
pub(super) struct Raw<'a>(pub(super) &'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_older_than_7_is_refused() {
        for version in ["7.0.0", "7.2.4", "8.2.1", "9.1.0"] {
            assert!(check_version(version).is_ok(), "{version}");
        }
        assert!(matches!(check_version("6.2.14"), Err(Error::Refused(_))));
        assert!(matches!(check_version(""), Err(Error::Corrupt(_))));
    }
}
