//! The store on a Redis or Valkey server, version 7.0 or newer.
//!
//! ```text
//!             ┌ append ─┐ (chunk, held)          ┌─► settings ◄─ address (URL)
//! Store ─────►│ read    │── keys, scripts ──► server ──► rustis ──► the server
//! (this file) │ group   │                        │
//!             │ lease   │◄────── reply ◄─────────┘ (or failure)
//!             │ workers │
//!             ├ wait ───┴── a connection of its own
//! TaskStore ─► task ──┴──── one that waits for tasks, and the shared one
//!             └ durable ─── a connection of its own
//!
//! for a Cluster: server ──► router (topology) ──► rustis, once for each master
//! ```
//!
//! The log is Redis Streams with consumer groups; a lease is a key that expires; whatever must
//! look at a lease and act on it at once is a Lua script. What an acknowledged append survives is
//! what the server is configured for (`appendfsync`, replicas).

mod address;
mod append;
mod chunk;
pub(crate) mod dramatiq;
mod durable;
mod entry_size;
mod failure;
mod fetch;
mod group;
mod held;
mod keys;
mod lease;
mod mark;
mod members;
mod park;
mod read;
mod redirection;
mod reply;
mod router;
mod script;
mod server;
mod settings;
mod state;
mod task;
mod together;
mod topology;
mod wait;
mod workers;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rustis::resp::cmd;
use tokio::sync::Notify;

pub use self::address::RedisUrl;
use self::durable::Durable;
use self::entry_size::EntrySize;
use self::held::HeldCounts;
use self::keys::Keys;
use self::members::Holdings;
use self::script::Scripts;
use self::server::{Connections, Server};
use self::task::Tasks;
use self::wait::Waiter;
use self::wait::entries::EntriesAfter;
use crate::Result;
use crate::append::{AppendOptions, Appended};
use crate::entry::{Entry, EntryId, NewEntry};
use crate::lease::{Epoch, Lease, LeaseHolder, WorkerId};
use crate::parked::ParkedEntry;
use crate::port::{Fetch, Forward, Lag, ReadLimit, Start, Store};
use crate::state::{NewState, Put, State, UnsettledState};
use crate::stream::{GroupName, Partition, StreamName};

/// The store on a Redis or Valkey server. It owns up to four connections, one for all short
/// commands, one that waits for entries, one that waits for tasks and one for durable appends, and closes them when it is dropped.
pub struct RedisStore {
    server: Server,
    scripts: Scripts,
    keys: Keys,
    holdings: Holdings,
    waiter: Waiter,
    durable: Durable,
    held: HeldCounts,
    entry_size: EntrySize,
    tasks: Box<Tasks>,
    /// The connections as they were when somebody last asked, and how often they had changed.
    way: Mutex<(Connections, u64)>,
}

impl RedisStore {
    /// Connects to a server, a Cluster, or the master that Sentinels know.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error) where the server does not answer,
    /// [`Error::Refused`](crate::Error) where it refuses the login or is older than 7.0,
    /// [`Error::Invalid`](crate::Error) where the URL can't be used.
    pub async fn connect(url: &RedisUrl) -> Result<Self> {
        let config = settings::for_commands(url)?;
        let keys = Keys::new(settings::is_cluster(&config));
        let waiter = Waiter::new(&config);
        let tasks = Box::new(Tasks::new(&config));
        let durable = Durable::new(&config);
        let server = Server::connect(config).await?;
        let scripts = Scripts::load(&server).await?;
        let way = Mutex::new((server.connections(), 0));
        Ok(Self {
            way,
            server,
            scripts,
            keys,
            holdings: Holdings::default(),
            waiter,
            durable,
            held: HeldCounts::default(),
            entry_size: EntrySize::new(),
            tasks,
        })
    }
}

impl fmt::Debug for RedisStore {
    /// Names no server: its URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn append_with(
        &self,
        entries: Vec<NewEntry>,
        options: &AppendOptions,
    ) -> Vec<Result<Appended>> {
        append::append_with(self, &entries, options).await
    }

    async fn read_after(
        &self,
        partition: &Partition,
        after: EntryId,
        limit: ReadLimit,
    ) -> Result<Vec<Entry>> {
        read::read_after(self, partition, after, limit).await
    }

    async fn wait_for_entries(
        &self,
        positions: &[(Partition, EntryId)],
        timeout: Duration,
        interrupt: &Notify,
    ) -> Result<Vec<usize>> {
        let news = EntriesAfter {
            keys: self.keys,
            positions,
        };
        self.waiter
            .wait(&self.server, &news, timeout, interrupt)
            .await
    }

    async fn fetch(&self, lease: &Lease, fetch: Fetch, limit: ReadLimit) -> Result<Vec<Entry>> {
        fetch::fetch(self, lease, fetch, limit).await
    }

    async fn acknowledge(&self, lease: &Lease, ids: &[EntryId]) -> Result<u64> {
        group::acknowledge(self, lease, ids).await
    }

    async fn acknowledge_through(&self, lease: &Lease, through: EntryId) -> Result<()> {
        group::acknowledge_through(self, lease, through).await
    }

    async fn trim(&self, lease: &Lease, keep: u64) -> Result<u64> {
        group::trim(self, lease, keep).await
    }

    fn reconnections(&self) -> u64 {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.server.has_kept(&mut way.0) {
            *way = (self.server.connections(), way.1 + 1);
        }
        way.1
    }

    async fn move_last_id_forward(&self, lease: &Lease, forward: &Forward) -> Result<u64> {
        group::move_last_id_forward(self, lease, forward).await
    }

    async fn reset_group(
        &self,
        group: &GroupName,
        partition: &Partition,
        start: Start,
    ) -> Result<()> {
        group::reset(self, group, partition, start).await
    }

    async fn park(&self, lease: &Lease, entries: Vec<ParkedEntry>) -> Result<()> {
        park::park(self, lease, entries).await
    }

    async fn unpark(&self, lease: &Lease, parked_ids: &[EntryId]) -> Result<u64> {
        park::unpark(self, lease, parked_ids).await
    }

    async fn put(&self, entry: NewEntry, state: NewState, options: &AppendOptions) -> Result<Put> {
        state::put(self, &entry, &state, options).await
    }

    async fn state(&self, partition: &Partition, name: &str) -> Result<Option<State>> {
        state::read(self, partition, name).await
    }

    async fn unsettled_states(
        &self,
        partition: &Partition,
        through: EntryId,
        skip: usize,
    ) -> Result<Vec<UnsettledState>> {
        state::unsettled(self, partition, through, skip).await
    }

    async fn settle_states(
        &self,
        partition: &Partition,
        states: &[UnsettledState],
        keep_for: Duration,
    ) -> Result<u64> {
        state::settle(self, partition, states, keep_for).await
    }

    async fn put_mark(&self, lease: &Lease, name: &str, value: Option<Bytes>) -> Result<()> {
        mark::put(self, lease, name, value).await
    }

    async fn marks(
        &self,
        group: &GroupName,
        partition: &Partition,
    ) -> Result<BTreeMap<String, Bytes>> {
        mark::all(self, group, partition).await
    }

    async fn set_mark(
        &self,
        group: &GroupName,
        partition: &Partition,
        name: &str,
        value: Bytes,
    ) -> Result<()> {
        mark::set(self, group, partition, name, value).await
    }

    async fn clear_mark(
        &self,
        group: &GroupName,
        partition: &Partition,
        name: &str,
    ) -> Result<bool> {
        mark::clear(self, group, partition, name).await
    }

    async fn seal(&self, partition: &Partition) -> Result<()> {
        group::seal(self, partition).await
    }

    async fn groups(&self, partition: &Partition) -> Result<Vec<GroupName>> {
        group::groups(self, partition).await
    }

    async fn lag(&self, group: &GroupName, partitions: &[Partition]) -> Result<Vec<Lag>> {
        group::lag(self, group, partitions).await
    }

    async fn try_acquire_lease(
        &self,
        group: &GroupName,
        partition: &Partition,
        worker: WorkerId,
        ttl: Duration,
        floor: Epoch,
    ) -> Result<Option<Lease>> {
        lease::try_acquire(self, group, partition, worker, ttl, floor).await
    }

    async fn renew_leases(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<bool>> {
        lease::renew(self, leases, ttl).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<()> {
        lease::release(self, lease).await
    }

    async fn lease_holders(
        &self,
        group: &GroupName,
        partitions: &[Partition],
    ) -> Result<Vec<Option<LeaseHolder>>> {
        lease::holders(self, group, partitions).await
    }

    async fn beat(
        &self,
        stream: &StreamName,
        group: &GroupName,
        worker: WorkerId,
        ttl: Duration,
    ) -> Result<Vec<WorkerId>> {
        workers::beat(self, stream, group, worker, ttl).await
    }

    async fn leave(&self, stream: &StreamName, group: &GroupName, worker: WorkerId) -> Result<()> {
        workers::leave(self, stream, group, worker).await
    }

    async fn workers(&self, stream: &StreamName, group: &GroupName) -> Result<Vec<WorkerId>> {
        workers::workers(self, stream, group).await
    }

    async fn ping(&self) -> Result<()> {
        self.server.call(cmd("PING")).await?.text()?;
        Ok(())
    }
}
