//! The limits: the fewest commands that read and acknowledge, or append, every event, with the
//! store's own client over one connection. No leases, no order of keys, no policy, no typing.

use std::collections::HashMap;

use bytes::Bytes;
use futures::future::try_join_all;
use rustis::client::Client;
use rustis::resp::{BulkString, CommandBuilder, cmd};
use serde::{Serialize, Serializer};

use super::order::Order;
use super::run::Run;
use super::{APP, STREAM};
use crate::error::{Error, Result};
use crate::usage::{Stopwatch, Usage};

/// How many XADDs go in one write.
const PIPELINE: usize = 500;

/// A reply: by key the stream's entries, each an id and the flat list of its fields.
type Streams = HashMap<String, Vec<(String, Vec<BulkString>)>>;

/// Reads and acknowledges everything: the acknowledgements of one read and the next read go in
/// one write.
pub(super) async fn read(run: &Run) -> Result<Usage> {
    let client = Client::connect(run.redis_url.as_str()).await?;
    let (group, keys) = (run.group(), keys(run.partitions));
    for key in &keys {
        let create = cmd("XGROUP").arg("CREATE").key(key.as_str());
        client
            .send::<()>(create.arg(group.as_str()).arg("0"), None)
            .await?;
    }

    let watch = Stopwatch::start(run.processes)?;
    let mut done: Vec<CommandBuilder> = Vec::new();
    let mut seen = 0;
    loop {
        let acknowledged = std::mem::take(&mut done).into_iter();
        let acknowledged = try_join_all(acknowledged.map(|ack| client.send::<u64>(ack, None)));
        let read = client.send::<Option<Streams>>(read_command(run, &group, &keys), None);
        let (streams, _) = tokio::try_join!(read, acknowledged)?;
        let Some(streams) = streams else {
            break;
        };
        for (key, entries) in streams {
            seen += entries.len() as u64;
            let ack = cmd("XACK").key(key).arg(group.as_str());
            let ack = entries
                .iter()
                .fold(ack, |ack, (id, _)| ack.arg(id.as_str()));
            done.push(ack);
        }
    }
    let usage = watch.stop()?;
    if seen == run.events {
        return Ok(usage);
    }
    Err(Error::Unexpected(format!(
        "the bare loop saw {seen} events"
    )))
}

/// Appends everything, [`PIPELINE`] at a time over all partitions in turn.
pub(super) async fn send(run: &Run) -> Result<Usage> {
    let client = Client::connect(run.redis_url.as_str()).await?;
    let keys = keys(run.partitions);
    let orders: Vec<Bytes> = (0..run.events)
        .map(|place| Order::new(place).to_json())
        .collect::<Result<_>>()?;

    let watch = Stopwatch::start(run.processes)?;
    let mut turns = keys.iter().cycle();
    for some in orders.chunks(PIPELINE) {
        let mut pipeline = client.create_pipeline();
        for (order, key) in some.iter().zip(&mut turns) {
            let add = cmd("XADD").key(key.as_str()).arg("*");
            pipeline.queue_command(add.arg("data").arg(Raw(order)));
        }
        pipeline.execute::<Vec<String>>().await?;
    }
    watch.stop()
}

/// The keys of the partitions, as runnel names them.
fn keys(partitions: u32) -> Vec<String> {
    (0..partitions)
        .map(|index| format!("__strm:{APP}.{STREAM}.{index}"))
        .collect()
}

fn read_command(run: &Run, group: &str, keys: &[String]) -> CommandBuilder {
    let head = cmd("XREADGROUP").arg("GROUP").arg(group).arg("1");
    let head = head.arg("COUNT").arg(run.count).arg("STREAMS");
    let head = keys.iter().fold(head, |head, key| head.key(key.as_str()));
    keys.iter().fold(head, |head, _| head.arg(">"))
}

struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}
