//! Dramatiq's queues on a Redis or Valkey server; see [`crate::dramatiq`] for what they promise.
//!
//! ```text
//! Broker ─► flow (enqueue, fetch, settle) ─┐
//! (this file)  delayed (file, due, promote) ├─► keys, scripts ─► server
//!              upkeep (beat, recover, dead) ┘
//!              waiter ── a connection of its own for each queue
//! ```
//!
//! Each step is one Lua script on the keys that Dramatiq's own script uses, so that both see whole
//! steps of the other. Not on a Cluster: Dramatiq's keys have no slot in common.

mod delayed;
mod flow;
mod keys;
mod scripts;
mod upkeep;
mod waiter;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use rustis::client::Config;

use self::keys::Keys;
use self::scripts::Scripts;
pub use self::waiter::Waiter;
use super::address::RedisUrl;
use super::server::Server;
use super::settings;
use crate::dramatiq::{
    BrokerId, Counts, DeadLetter, Due, DueMessages, Fetched, Lane, Options, Outgoing, QueueName,
    Settlement,
};
use crate::{Error, Result};

/// One run of one process that puts messages into Dramatiq's queues and takes them out.
pub struct Broker {
    server: Server,
    config: Config,
    scripts: Scripts,
    keys: Keys,
    id: BrokerId,
    options: Options,
}

impl Broker {
    /// Connects, under an id of its own.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the URL is a Cluster's, which Dramatiq can't use either;
    /// [`Error::Unavailable`] and [`Error::Refused`] as the server says.
    pub async fn connect(url: &RedisUrl, options: Options) -> Result<Self> {
        let config = settings::for_commands(url)?;
        if settings::is_cluster(&config) {
            return Err(Error::Invalid(
                "Dramatiq's queues can't be on a Redis Cluster: their keys are in different slots"
                    .into(),
            ));
        }
        let server = Server::connect(config.clone()).await?;
        let scripts = Scripts::load(&server).await?;
        Ok(Self {
            server,
            config,
            scripts,
            keys: Keys::new(&options.namespace),
            id: BrokerId::random(),
            options,
        })
    }

    /// Its own id.
    #[must_use]
    pub fn id(&self) -> &BrokerId {
        &self.id
    }

    /// What it was told at the start.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Puts messages into their queues, in this order; with a lost connection some may be in theirs.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it is not known whether they are there.
    pub async fn enqueue(&self, messages: &[Outgoing]) -> Result<()> {
        flow::enqueue(self, messages).await
    }

    /// Takes up to `max` messages of a queue into this broker's hands, the oldest first. It gives its
    /// sign of life with it.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; what was taken then goes back when this broker is taken for dead.
    pub async fn fetch(&self, queue: &QueueName, lane: Lane, max: usize) -> Result<Vec<Fetched>> {
        flow::fetch(self, queue, lane, max).await
    }

    /// Ends the work on a message with all that follows from it, and says whether it was still in
    /// this broker's hands; if not, nothing was changed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it is not known whether it has ended; it may be asked again.
    pub async fn settle(&self, settlement: &Settlement) -> Result<bool> {
        flow::settle(self, settlement).await
    }

    /// Files delayed messages that this broker has in hand under their due times, in milliseconds
    /// since 1970; returns how many it still had.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; it may be asked again.
    pub async fn file(&self, queue: &QueueName, due_ms: &[(Bytes, f64)]) -> Result<u64> {
        delayed::file(self, queue, due_ms).await
    }

    /// Up to `max` of a queue's filed messages whose time has come, by the server's clock, whoever
    /// filed them. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn due(&self, queue: &QueueName, max: usize) -> Result<DueMessages> {
        delayed::due(self, queue, max).await
    }

    /// Moves a message that is due into its queue, as another message, or drops its entry where `to`
    /// is none; says whether it was there to be moved.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; it may be asked again with the next look.
    pub async fn promote(
        &self,
        due: &Due,
        queue: &QueueName,
        to: Option<&Outgoing>,
    ) -> Result<bool> {
        delayed::promote(self, due, queue, to).await
    }

    /// Gives a sign of life, and returns some of the brokers that are taken for dead.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn beat(&self) -> Result<Vec<BrokerId>> {
        upkeep::beat(self).await
    }

    /// Gives back to a queue what a dead broker has in hand of it; returns how much it was.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; it may be asked again.
    pub async fn recover(&self, queue: &QueueName, lane: Lane, dead: &BrokerId) -> Result<u64> {
        upkeep::recover(self, queue, lane, dead).await
    }

    /// Forgets those dead brokers that have nothing in hand of any queue.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; it may be asked again.
    pub async fn forget(&self, dead: &[BrokerId]) -> Result<()> {
        upkeep::forget(self, dead).await
    }

    /// Removes dead letters that are older than they are kept; returns how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; it may be asked again.
    pub async fn expire_dead_letters(&self, queue: &QueueName) -> Result<u64> {
        upkeep::expire(self, queue).await
    }

    /// Up to `max` dead letters of a queue, the oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn dead_letters(&self, queue: &QueueName, max: usize) -> Result<Vec<DeadLetter>> {
        upkeep::dead_letters(self, queue, max).await
    }

    /// Takes a dead letter away, and puts a message into its queue in its place where `to` says one.
    /// Returns whether there was such a letter.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it is not known whether it was taken away.
    pub async fn revive(
        &self,
        queue: &QueueName,
        id: &[u8],
        to: Option<&Outgoing>,
    ) -> Result<bool> {
        upkeep::revive(self, queue, id, to).await
    }

    /// How many messages a queue holds.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn counts(&self, queue: &QueueName) -> Result<Counts> {
        upkeep::counts(self, queue).await
    }

    /// A result that is kept under `key`, or none yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn result(&self, key: &str) -> Result<Option<Bytes>> {
        flow::result(self, key).await
    }

    /// Creates the barrier of a group with so many members, unless there is one of this key.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it is not known whether it was created.
    pub async fn create_barrier(
        &self,
        key: &str,
        members: u64,
        lifetime: Duration,
    ) -> Result<bool> {
        flow::create_barrier(self, key, members, lifetime).await
    }

    /// What waits until there is something in a queue.
    #[must_use]
    pub fn waiter(&self, queue: &QueueName, lane: Lane) -> Waiter {
        let config = settings::for_waiting(&self.config);
        Waiter::new(config, self.keys.list(queue, lane))
    }
}

impl fmt::Debug for Broker {
    /// Names no server: its URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A duration as the scripts count it.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
