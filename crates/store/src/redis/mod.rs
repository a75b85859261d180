//! The Redis backend (skeleton; being written).

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use url::Url;

use crate::entry::{Entry, EntryId, NewEntry};
use crate::lease::{Epoch, Lease, LeaseHolder, WorkerId};
use crate::port::{Fetch, Lag, ReadLimit, Store};
use crate::stream::{GroupName, Partition, StreamName};
use crate::{Error, Result};

/// The store on a Redis or Valkey server.
#[derive(Debug)]
pub struct RedisStore {}

fn later<T>() -> Result<T> {
    Err(Error::Invalid("the Redis backend is being written".into()))
}

impl RedisStore {
    /// Connects to the server.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the server does not answer.
    #[expect(clippy::unused_async, reason = "a skeleton")]
    pub async fn connect(_url: &Url) -> Result<Self> {
        later()
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn append(&self, _: Vec<NewEntry>) -> Result<Vec<EntryId>> {
        later()
    }
    async fn read_after(&self, _: &Partition, _: EntryId, _: ReadLimit) -> Result<Vec<Entry>> {
        later()
    }
    async fn wait_for_entries(
        &self,
        _: &[(Partition, EntryId)],
        _: Duration,
        _: &Notify,
    ) -> Result<Vec<usize>> {
        later()
    }
    async fn fetch(&self, _: &Lease, _: Fetch, _: ReadLimit) -> Result<Vec<Entry>> {
        later()
    }
    async fn acknowledge(&self, _: &Lease, _: &[EntryId]) -> Result<u64> {
        later()
    }
    async fn acknowledge_through(&self, _: &Lease, _: EntryId) -> Result<()> {
        later()
    }
    async fn trim(&self, _: &Lease) -> Result<u64> {
        later()
    }
    async fn lag(&self, _: &GroupName, _: &[Partition]) -> Result<Vec<Lag>> {
        later()
    }
    async fn try_acquire_lease(
        &self,
        _: &GroupName,
        _: &Partition,
        _: WorkerId,
        _: Duration,
        _: Epoch,
    ) -> Result<Option<Lease>> {
        later()
    }
    async fn renew_leases(&self, _: &[Lease], _: Duration) -> Result<Vec<bool>> {
        later()
    }
    async fn release_lease(&self, _: &Lease) -> Result<()> {
        later()
    }
    async fn lease_holders(
        &self,
        _: &GroupName,
        _: &[Partition],
    ) -> Result<Vec<Option<LeaseHolder>>> {
        later()
    }
    async fn beat(
        &self,
        _: &StreamName,
        _: &GroupName,
        _: WorkerId,
        _: Duration,
    ) -> Result<Vec<WorkerId>> {
        later()
    }
    async fn leave(&self, _: &StreamName, _: &GroupName, _: WorkerId) -> Result<()> {
        later()
    }
    async fn workers(&self, _: &StreamName, _: &GroupName) -> Result<Vec<WorkerId>> {
        later()
    }
    async fn ping(&self) -> Result<()> {
        later()
    }
}
