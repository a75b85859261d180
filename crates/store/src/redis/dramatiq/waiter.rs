//! Waits until there is something in a queue, on a connection of its own.
//!
//! Dramatiq has no way to wait: its workers look again and again. Here the server moves the first id of
//! the list to where it is, which changes nothing and blocks until there is one. Several who wait are
//! all woken, one by the other. If the process dies here, nothing is lost.

use std::time::Duration;

use rustis::client::{Client, Config};
use rustis::resp::cmd;
use tokio::time::timeout;

use crate::Result;
use crate::redis::failure::Failure;
use crate::redis::server::{connect, send};
use crate::redis::settings::COMMAND_TIMEOUT;

/// The longest that one command blocks, so that a link that died without a word is noticed.
const BLOCK_MAX: Duration = Duration::from_secs(5);

/// What waits for one list. It connects when it is first used, and again after an error.
pub struct Waiter {
    config: Config,
    key: String,
    client: Option<Client>,
}

impl Waiter {
    pub(super) fn new(config: Config, key: String) -> Self {
        Self {
            config,
            key,
            client: None,
        }
    }

    /// Waits until there is something in the list, at most some seconds; says whether there is. A
    /// call that is given up closes the connection.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error) where the server does not answer.
    pub async fn wait(&mut self) -> Result<bool> {
        // Taken out for the time of the call: a blocked command must not be left on a connection
        // that is used again.
        let client = match self.client.take() {
            Some(client) => client,
            None => connect(self.config.clone()).await?,
        };
        let key = self.key.as_str();
        let command = cmd("BLMOVE").key(key).key(key).arg("LEFT").arg("LEFT");
        let reply = send(&client, command.arg(BLOCK_MAX.as_secs()));
        let reply = timeout(BLOCK_MAX + COMMAND_TIMEOUT, reply).await;
        let found = reply
            .map_err(|_elapsed| Failure::TimedOut)??
            .optional_text()?;
        self.client = Some(client);
        Ok(found.is_some())
    }
}

impl std::fmt::Debug for Waiter {
    /// Names no server: its URL may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
