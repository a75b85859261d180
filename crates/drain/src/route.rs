//! Sending: from an operation's JSON to an entry of the right shard.
//!
//! The shard is the CRC-32 of the partition key, modulo the number of shards, as Hyperswitch's
//! drainer has it. Operations with one key go to one shard and keep their order.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tidegate_store::{EntryId, NewEntry, Store, StreamName};

use crate::catalog::Catalog;
use crate::change::default_partition_key;
use crate::envelope;
use crate::error::Result;
use crate::operation::Operation;
use crate::rejection::Rejection;

/// The shard of a partition key.
///
/// # Examples
/// ```
/// assert_eq!(tidegate_drain::route::shard_of("mid_merchant_1_pid_pay_1", 64), 41);
/// ```
#[must_use]
pub fn shard_of(partition_key: &str, partitions: u32) -> u32 {
    crc32fast::hash(partition_key.as_bytes())
        .checked_rem(partitions)
        .unwrap_or(0)
}

/// Sends operations to the shards of one stream.
#[derive(Clone, Debug)]
pub struct Sender {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    stream: StreamName,
    partitions: u32,
}

/// An operation on its way.
#[derive(Debug)]
pub struct Outgoing {
    /// The entry.
    pub entry: NewEntry,
    /// Why the drain will make it a dead letter, where that can be seen already. It can be sent
    /// all the same: then nothing is lost, and the dead letter says what is wrong.
    pub rejection: Option<Rejection>,
}

impl Sender {
    /// A sender to `partitions` shards; the catalog tells which columns are a row's key.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        catalog: Arc<Catalog>,
        stream: StreamName,
        partitions: u32,
    ) -> Self {
        Self {
            store,
            catalog,
            stream,
            partitions,
        }
    }

    /// Addresses an operation's JSON.
    #[must_use]
    pub fn address(
        &self,
        typed_sql: Bytes,
        request_id: &str,
        global_id: &str,
        now: SystemTime,
    ) -> Outgoing {
        let found = Operation::parse(&typed_sql).and_then(|operation| {
            let key = default_partition_key(&self.catalog, &operation)?;
            Ok(shard_of(&key, self.partitions))
        });
        // Without a key there is no order to keep, so any shard will do; the same text takes the
        // same one.
        let (shard, rejection) = match found {
            Ok(shard) => (shard, None),
            Err(rejection) => (
                crc32fast::hash(&typed_sql)
                    .checked_rem(self.partitions)
                    .unwrap_or(0),
                Some(rejection),
            ),
        };
        let fields = envelope::fields(request_id, global_id, typed_sql, now);
        let entry = NewEntry::new(self.stream.partition(shard), fields);
        Outgoing { entry, rejection }
    }

    /// Appends entries, in their order within each shard.
    ///
    /// # Errors
    /// The store's; some of the entries may have been appended then.
    pub async fn send(&self, entries: Vec<NewEntry>) -> Result<Vec<EntryId>> {
        Ok(self.store.append(entries).await?)
    }
}
