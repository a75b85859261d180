//! The load: operations in the shards of the stream, before a run begins.

use std::time::SystemTime;

use tidegate_drain::{envelope, route};
use tidegate_store::{NewEntry, Store, StreamName};

use super::workload::Workload;
use crate::error::Result;

/// The stream that is drained; its shards are the Redis streams `{shard_N}_DRAINER_STREAM`.
pub(super) const STREAM: &str = "DRAINER_STREAM";

/// How many entries are sent at once.
const CHUNK: usize = 5_000;

/// Appends the first `operations` of a workload to the shards of their rows.
pub(super) async fn load(
    store: &dyn Store,
    workload: Workload,
    operations: u64,
    shards: u32,
) -> Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK);
    for place in 0..operations {
        chunk.push(entry(workload, place, shards)?);
        if chunk.len() == CHUNK {
            store
                .append(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK)))
                .await?;
        }
    }
    store.append(chunk).await?;
    Ok(())
}

/// The entry of an operation, for the shard of its row.
pub(super) fn entry(workload: Workload, place: u64, shards: u32) -> Result<NewEntry> {
    let operation = workload.operation(place);
    let key = operation.key().partition_key();
    let request_id = format!("req_{place:016x}");
    Ok(NewEntry::new(
        StreamName::new(STREAM)?.partition(route::shard_of(&key, shards)),
        envelope::fields(&request_id, &key, operation.to_json()?, SystemTime::now()),
    ))
}
