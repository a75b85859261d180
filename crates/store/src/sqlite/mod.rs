//! The embedded backend: the whole store in one SQLite file.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::entry::{Entry, EntryId, NewEntry};
use crate::lease::{Epoch, Lease, LeaseHolder, WorkerId};
use crate::port::{Fetch, Lag, ReadLimit, Store};
use crate::stream::{GroupName, Partition, StreamName};
use crate::{Error, Result};

/// A store in one file.
#[derive(Debug)]
pub struct SqliteStore {}

fn unfinished<T>() -> Result<T> {
    Err(Error::Refused("the embedded store is being written".into()))
}

impl SqliteStore {
    /// Opens the store in this file, and creates it where it is missing.
    ///
    /// # Errors
    /// Always, until it is written.
    pub async fn open(_path: &Path) -> Result<Self> {
        unfinished()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, _entries: Vec<NewEntry>) -> Result<Vec<EntryId>> {
        unfinished()
    }
    async fn read_after(
        &self,
        _partition: &Partition,
        _after: EntryId,
        _limit: ReadLimit,
    ) -> Result<Vec<Entry>> {
        unfinished()
    }
    async fn wait_for_entries(
        &self,
        _positions: &[(Partition, EntryId)],
        _timeout: Duration,
        _interrupt: &Notify,
    ) -> Result<Vec<usize>> {
        unfinished()
    }
    async fn fetch(&self, _lease: &Lease, _fetch: Fetch, _limit: ReadLimit) -> Result<Vec<Entry>> {
        unfinished()
    }
    async fn acknowledge(&self, _lease: &Lease, _ids: &[EntryId]) -> Result<u64> {
        unfinished()
    }
    async fn acknowledge_through(&self, _lease: &Lease, _through: EntryId) -> Result<()> {
        unfinished()
    }
    async fn trim(&self, _lease: &Lease) -> Result<u64> {
        unfinished()
    }
    async fn lag(&self, _group: &GroupName, _partitions: &[Partition]) -> Result<Vec<Lag>> {
        unfinished()
    }
    async fn try_acquire_lease(
        &self,
        _group: &GroupName,
        _partition: &Partition,
        _worker: WorkerId,
        _ttl: Duration,
        _floor: Epoch,
    ) -> Result<Option<Lease>> {
        unfinished()
    }
    async fn renew_leases(&self, _leases: &[Lease], _ttl: Duration) -> Result<Vec<bool>> {
        unfinished()
    }
    async fn release_lease(&self, _lease: &Lease) -> Result<()> {
        unfinished()
    }
    async fn lease_holders(
        &self,
        _group: &GroupName,
        _partitions: &[Partition],
    ) -> Result<Vec<Option<LeaseHolder>>> {
        unfinished()
    }
    async fn beat(
        &self,
        _stream: &StreamName,
        _group: &GroupName,
        _worker: WorkerId,
        _ttl: Duration,
    ) -> Result<Vec<WorkerId>> {
        unfinished()
    }
    async fn leave(
        &self,
        _stream: &StreamName,
        _group: &GroupName,
        _worker: WorkerId,
    ) -> Result<()> {
        unfinished()
    }
    async fn workers(&self, _stream: &StreamName, _group: &GroupName) -> Result<Vec<WorkerId>> {
        unfinished()
    }
    async fn ping(&self) -> Result<()> {
        unfinished()
    }
}
