//! The embedded backend: the whole store in one SQLite file, which several processes may open.
//!
//! ```text
//!            ┌─ command ─► channel ─► writer thread ─ one transaction for many ─► answers
//! caller ────┼─ read ────► reader: a few connections on blocking threads
//!            └─ wait ────► watch: one connection, asked for the file's version
//! ```
//!
//! A handle owns its writer thread, its readers and its watch; dropping it finishes what is
//! queued. An answered write is on the disk. If the process dies anywhere, each call has
//! happened as a whole or not at all, and the next process to open the file reads on.
//!
//! In the order of the flow: [`connection`] and [`schema`] open the file, [`writer`] and
//! [`readers`] run the work, which is in [`partition`], [`append`] (with [`codec`], [`sent`] and
//! [`drop_oldest`]), [`read`], [`watch`], [`lease`], [`group`], [`trim`], [`park`], [`push`],
//! [`mark`], [`lag`] and [`member`], and of background tasks in [`task`]; [`clock`] gives the time,
//! [`mod@column`] and [`failure`] translate SQLite's numbers and errors.

mod append;
mod clock;
mod codec;
mod column;
mod connection;
mod drop_oldest;
mod failure;
mod forward;
mod group;
mod lag;
mod lease;
mod mark;
mod member;
mod park;
mod partition;
mod push;
mod read;
mod readers;
mod schema;
mod sent;
mod task;
mod trim;
mod watch;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::Notify;

use self::append::Batch;
pub use self::clock::{Clock, ManualClock, SystemClock};
use self::connection::Access;
use self::readers::{Readers, blocking};
use self::watch::Watch;
use self::writer::Writer;
use crate::append::{AppendOptions, Appended, repeated};
use crate::entry::{Entry, EntryId, NewEntry};
use crate::lease::{Epoch, Lease, LeaseHolder, WorkerId};
use crate::parked::ParkedEntry;
use crate::port::{Fetch, Forward, Lag, ReadLimit, Start, Store};
use crate::stream::{GroupName, Partition, StreamName};
use crate::{Error, Result};

/// A store in one file. Several handles, in one process or in many, may share the file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    watch: Watch,
    clock: Arc<dyn Clock>,
}

impl SqliteStore {
    /// Opens the store in this file, and creates the file when it is missing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while another process keeps the file locked, [`Error::Corrupt`]
    /// for a file that is no database, [`Error::Refused`] for one that can't be opened or that a
    /// newer Tidegate has written.
    ///
    /// # Examples
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("tidegate.sqlite");
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// use tidegate_store::{SqliteStore, Store};
    /// let store = SqliteStore::open(&path).await?;
    /// store.ping().await?;
    /// # Ok::<(), tidegate_store::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn open(path: &Path) -> Result<Self> {
        Self::open_with_clock(path, Arc::new(SystemClock)).await
    }

    /// Opens the store with a clock of the caller's.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn open_with_clock(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let path = path.to_owned();
        blocking(move || {
            let mut connection = connection::open(&path, Access::Write)?;
            schema::prepare(&mut connection)?;
            Ok(Self {
                writer: Writer::start(connection)?,
                readers: Readers::new(&path),
                watch: Watch::open(&path)?,
                clock,
            })
        })
        .await
    }

    /// Runs work on the writer thread. The time is taken there: between the call and its turn a
    /// lease may have ended.
    async fn write<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection, u64) -> Result<T> + Send + 'static,
    {
        let clock = Arc::clone(&self.clock);
        self.writer
            .run(move |connection| work(connection, clock.now_ms()))
            .await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn append_with(
        &self,
        entries: Vec<NewEntry>,
        options: &AppendOptions,
    ) -> Vec<Result<Appended>> {
        let batch = Batch::encode(entries, *options);
        let total = batch.len();
        let appended = match batch.refusal() {
            Some(refusal) => Err(refusal),
            None => {
                self.write(move |connection, now_ms| append::append(connection, batch, now_ms))
                    .await
            }
        };
        match appended {
            Ok(results) => {
                self.watch.tell();
                results
            }
            Err(failure) => {
                let again = repeated(failure);
                (0..total).map(|_| Err(again())).collect()
            }
        }
    }

    async fn read_after(
        &self,
        partition: &Partition,
        after: EntryId,
        limit: ReadLimit,
    ) -> Result<Vec<Entry>> {
        let partition = partition.clone();
        let read = move |connection: &Connection| {
            read::decode(read::read_after(connection, &partition, after, limit)?)
        };
        self.readers.run(read).await
    }

    async fn wait_for_entries(
        &self,
        positions: &[(Partition, EntryId)],
        timeout: Duration,
        interrupt: &Notify,
    ) -> Result<Vec<usize>> {
        self.watch.wait(positions, timeout, interrupt).await
    }

    async fn fetch(&self, lease: &Lease, fetch: Fetch, limit: ReadLimit) -> Result<Vec<Entry>> {
        let lease = lease.clone();
        let work = move |connection: &Connection, now_ms| {
            group::fetch(connection, &lease, fetch, limit, now_ms)
        };
        read::decode(self.write(work).await?)
    }

    async fn acknowledge(&self, lease: &Lease, ids: &[EntryId]) -> Result<u64> {
        let (lease, ids) = (lease.clone(), ids.to_vec());
        self.write(move |connection, now_ms| group::acknowledge(connection, &lease, &ids, now_ms))
            .await
    }

    async fn acknowledge_through(&self, lease: &Lease, through: EntryId) -> Result<()> {
        let lease = lease.clone();
        self.write(move |connection, now_ms| {
            group::acknowledge_through(connection, &lease, through, now_ms)
        })
        .await
    }

    async fn trim(&self, lease: &Lease, keep: u64) -> Result<u64> {
        let mut deleted = 0;
        loop {
            let lease = lease.clone();
            let work =
                move |connection: &Connection, now_ms| trim::trim(connection, &lease, keep, now_ms);
            match self.write(work).await {
                Ok(trimmed) => {
                    deleted += trimmed.entries;
                    if !trimmed.has_more {
                        return Ok(deleted);
                    }
                }
                // `LeaseLost` says that nothing was changed; the next call will say it.
                Err(Error::LeaseLost { .. }) if deleted > 0 => return Ok(deleted),
                Err(error) => return Err(error),
            }
        }
    }

    async fn move_last_id_forward(&self, lease: &Lease, forward: &Forward) -> Result<u64> {
        let (lease, forward) = (lease.clone(), forward.clone());
        self.write(move |connection, now_ms| {
            forward::move_last_id_forward(connection, &lease, &forward, now_ms)
        })
        .await
    }

    async fn reset_group(
        &self,
        group: &GroupName,
        partition: &Partition,
        start: Start,
    ) -> Result<()> {
        let (group, partition) = (group.clone(), partition.clone());
        self.write(move |connection, _now_ms| group::reset(connection, &group, &partition, start))
            .await
    }

    async fn park(&self, lease: &Lease, entries: Vec<ParkedEntry>) -> Result<()> {
        let lease = lease.clone();
        self.write(move |connection, now_ms| park::park(connection, &lease, entries, now_ms))
            .await?;
        self.watch.tell();
        Ok(())
    }

    async fn unpark(&self, lease: &Lease, parked_ids: &[EntryId]) -> Result<u64> {
        let (lease, ids) = (lease.clone(), parked_ids.to_vec());
        self.write(move |connection, now_ms| park::unpark(connection, &lease, &ids, now_ms))
            .await
    }

    async fn put_mark(&self, lease: &Lease, name: &str, value: Option<Bytes>) -> Result<()> {
        let (lease, name) = (lease.clone(), name.to_owned());
        self.write(move |connection, now_ms| {
            mark::put(connection, &lease, &name, value.as_ref(), now_ms)
        })
        .await
    }

    async fn marks(
        &self,
        group: &GroupName,
        partition: &Partition,
    ) -> Result<BTreeMap<String, Bytes>> {
        let (group, partition) = (group.clone(), partition.clone());
        self.readers
            .run(move |connection| mark::all(connection, &group, &partition))
            .await
    }

    async fn set_mark(
        &self,
        group: &GroupName,
        partition: &Partition,
        name: &str,
        value: Bytes,
    ) -> Result<()> {
        let (group, partition, name) = (group.clone(), partition.clone(), name.to_owned());
        self.write(move |connection, _now_ms| {
            mark::set(connection, &group, &partition, &name, &value)
        })
        .await
    }

    async fn clear_mark(
        &self,
        group: &GroupName,
        partition: &Partition,
        name: &str,
    ) -> Result<bool> {
        let (group, partition, name) = (group.clone(), partition.clone(), name.to_owned());
        self.write(move |connection, _now_ms| mark::clear(connection, &group, &partition, &name))
            .await
    }

    async fn seal(&self, partition: &Partition) -> Result<()> {
        let partition = partition.clone();
        self.write(move |connection, _now_ms| partition::seal(connection, &partition))
            .await
    }

    async fn groups(&self, partition: &Partition) -> Result<Vec<GroupName>> {
        let partition = partition.clone();
        self.readers
            .run(move |connection| group::names(connection, &partition))
            .await
    }

    async fn lag(&self, group: &GroupName, partitions: &[Partition]) -> Result<Vec<Lag>> {
        let (group, partitions) = (group.clone(), partitions.to_vec());
        self.readers
            .run(move |connection| lag::lag(connection, &group, &partitions))
            .await
    }

    async fn try_acquire_lease(
        &self,
        group: &GroupName,
        partition: &Partition,
        worker: WorkerId,
        ttl: Duration,
        floor: Epoch,
    ) -> Result<Option<Lease>> {
        let (group, partition) = (group.clone(), partition.clone());
        let wanted = Lease {
            group,
            partition,
            worker,
            epoch: floor,
        };
        self.write(move |connection, now_ms| lease::try_acquire(connection, wanted, ttl, now_ms))
            .await
    }

    async fn renew_leases(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<bool>> {
        let leases = leases.to_vec();
        self.write(move |connection, now_ms| lease::renew(connection, &leases, ttl, now_ms))
            .await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<()> {
        let lease = lease.clone();
        self.write(move |connection, now_ms| lease::release(connection, &lease, now_ms))
            .await
    }

    async fn lease_holders(
        &self,
        group: &GroupName,
        partitions: &[Partition],
    ) -> Result<Vec<Option<LeaseHolder>>> {
        let (group, partitions, now_ms) = (group.clone(), partitions.to_vec(), self.clock.now_ms());
        self.readers
            .run(move |connection| lease::holders(connection, &group, &partitions, now_ms))
            .await
    }

    async fn beat(
        &self,
        stream: &StreamName,
        group: &GroupName,
        worker: WorkerId,
        ttl: Duration,
    ) -> Result<Vec<WorkerId>> {
        let (stream, group) = (stream.clone(), group.clone());
        let work = move |connection: &Connection, now_ms| {
            let announced = member::beat(connection, &stream, &group, worker, ttl, now_ms)?;
            let workers = member::workers(connection, &stream, &group, now_ms)?;
            Ok((announced, workers))
        };
        let (announced, workers) = self.write(work).await?;
        if announced {
            self.watch.tell();
        }
        Ok(workers)
    }

    async fn leave(&self, stream: &StreamName, group: &GroupName, worker: WorkerId) -> Result<()> {
        let (stream, group) = (stream.clone(), group.clone());
        let work = move |connection: &Connection, now_ms| {
            member::leave(connection, &stream, &group, worker, now_ms)
        };
        if self.write(work).await? {
            self.watch.tell();
        }
        Ok(())
    }

    async fn workers(&self, stream: &StreamName, group: &GroupName) -> Result<Vec<WorkerId>> {
        let (stream, group, now_ms) = (stream.clone(), group.clone(), self.clock.now_ms());
        self.readers
            .run(move |connection| member::workers(connection, &stream, &group, now_ms))
            .await
    }

    async fn ping(&self) -> Result<()> {
        self.readers
            .run(|connection| schema::version(connection).map(drop))
            .await
    }
}
