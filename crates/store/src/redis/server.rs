//! The connection that all short commands share.
//!
//! Between the operations, which know commands and replies, and the client, which knows sockets.
//! Many calls are under way at once on one connection, and the server runs them in the order in
//! which they were begun.
//!
//! A call ends with the server's reply, or fails within [`COMMAND_TIMEOUT`](super::settings);
//! it is never sent twice. While the connection is down every call fails at once, and the client
//! goes on trying to connect. If the process dies here, a command that was sent may still run.

use bytes::Bytes;
use rustis::client::{Client, Config};
use rustis::resp::{Command, CommandBuilder, cmd};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use tokio::sync::broadcast;
use tokio::time::timeout;

use super::failure::Failure;
use super::reply::Reply;
use super::script::Script;
use super::settings::CONNECT_TIMEOUT;
use crate::{Error, Result};

/// The oldest server whose streams count what was ever added (`entries-added`, group `lag`).
const MAJOR_VERSION_MIN: u32 = 7;

/// A server, spoken to over one connection.
pub(super) struct Server {
    client: Client,
}

impl Server {
    /// Connects, logs in, and looks whether the server is new enough.
    pub(super) async fn connect(config: Config) -> Result<Self> {
        let client = connect(config).await?;
        let server = Self { client };
        server.check_version().await?;
        Ok(server)
    }

    /// Sends one command.
    pub(super) async fn call(&self, command: impl Into<Command>) -> Result<Reply, Failure> {
        send(&self.client, command).await
    }

    /// Sends one command, and reads the reply as a value.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        command: impl Into<Command>,
    ) -> Result<T, Failure> {
        Ok(self.client.send(command, None).await?)
    }

    /// Tells each time from now on that the connection was replaced by another.
    pub(super) fn reconnections(&self) -> broadcast::Receiver<()> {
        self.client.on_reconnect()
    }

    /// Sends several commands that the server runs together, with nothing in between, or not at
    /// all, and returns the texts it answers. Their keys must be in one slot of a Cluster.
    pub(super) async fn call_together(
        &self,
        commands: impl Iterator<Item = CommandBuilder>,
    ) -> Result<Vec<String>, Failure> {
        let mut transaction = self.client.create_transaction();
        for command in commands {
            transaction.queue_command(command);
        }
        Ok(transaction.execute().await?)
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
        let version = match self.client.server_version() {
            Some(version) => version.to_string(),
            None => self.version_from_info().await?,
        };
        check_version(&version)
    }

    /// A Cluster has no single version; any of its nodes will do.
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
