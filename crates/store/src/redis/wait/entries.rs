//! News of entries: an `XREAD` after a position in each partition.
//!
//! The read asks for entries without a group, so it changes nothing on the server, and its answer
//! is only a hint that there is something to read.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use rustis::resp::{CommandBuilder, cmd};

use super::News;
use crate::entry::EntryId;
use crate::redis::Result;
use crate::redis::keys::Keys;
use crate::redis::reply::Reply;
use crate::redis::server::Server;
use crate::stream::Partition;

/// How many partitions of a Cluster are asked for at once.
const LOOKS_AT_ONCE: usize = 64;

/// Entries after a position in each of some partitions.
pub(in crate::redis) struct EntriesAfter<'a> {
    pub(in crate::redis) keys: Keys,
    pub(in crate::redis) positions: &'a [(Partition, EntryId)],
}

impl News for EntriesAfter<'_> {
    fn len(&self) -> usize {
        self.positions.len()
    }

    fn can_block(&self) -> bool {
        !self.keys.is_cluster()
    }

    fn blocking_read(&self, block: Duration) -> CommandBuilder {
        command(self.keys, self.positions, block)
    }

    fn read(&self, reply: Reply) -> Result<Vec<usize>> {
        with_news(self.keys, self.positions, reply)
    }

    async fn look(&self, server: &Server) -> Result<Vec<usize>> {
        look(server, self.keys, self.positions).await
    }
}

/// The indexes of those positions after which there is an entry now.
async fn look(
    server: &Server,
    keys: Keys,
    positions: &[(Partition, EntryId)],
) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    let mut indexes = 0..positions.len();
    for some in positions.chunks(LOOKS_AT_ONCE) {
        let looks = some.iter().map(|position| has_news(server, keys, position));
        for (has_news, i) in join_all(looks).await.into_iter().zip(indexes.by_ref()) {
            if has_news? {
                found.push(i);
            }
        }
    }
    Ok(found)
}

async fn has_news(server: &Server, keys: Keys, position: &(Partition, EntryId)) -> Result<bool> {
    let position = std::slice::from_ref(position);
    let reply = server.call(command(keys, position, Duration::ZERO)).await?;
    Ok(!with_news(keys, position, reply)?.is_empty())
}

/// Reads one entry after each position. All keys are in one command, as a standalone server allows.
fn command(keys: Keys, positions: &[(Partition, EntryId)], block: Duration) -> CommandBuilder {
    let mut command = cmd("XREAD").arg("COUNT").arg(1);
    // Rounded up, so that the last millisecond is waited for and not spun away; `BLOCK 0` would
    // be for ever.
    if let Ok(block_ms @ 1..) = u64::try_from(block.as_micros().div_ceil(1_000)) {
        command = command.arg("BLOCK").arg(block_ms);
    }
    command = command.arg("STREAMS");
    for (partition, _) in positions {
        command = command.key(keys.entries(partition));
    }
    positions.iter().fold(command, |command, (_, after)| {
        command.arg(after.to_string())
    })
}

/// The indexes of those positions after which the reply has an entry.
fn with_news(
    keys: Keys,
    positions: &[(Partition, EntryId)],
    mut reply: Reply,
) -> Result<Vec<usize>> {
    let newest: HashMap<Bytes, EntryId> = reply
        .streams()?
        .into_iter()
        .filter_map(|(key, entries)| Some((key, entries.last()?.id)))
        .collect();
    if newest.is_empty() {
        return Ok(Vec::new());
    }
    let has_news = |(partition, after): &(Partition, EntryId)| {
        newest
            .get(keys.entries(partition).as_bytes())
            .is_some_and(|id| id > after)
    };
    Ok((0..)
        .zip(positions)
        .filter(|(_, position)| has_news(position))
        .map(|(i, _)| i)
        .collect())
}
