//! Delayed messages, which Dramatiq keeps unsorted, with the due time inside of the message.
//!
//! ```text
//! delayed list ── fetch ─► in hand ── file ─► index (by due time) ── promote ─► queue
//! ```
//!
//! Dramatiq's workers hold them in memory until they are due. Here they stay in the broker's hands
//! *on the server*, with an index beside: a million of them cost a worker nothing. The index is only
//! a help. Who has a message is what Dramatiq says it is, so its workers take over from a dead
//! Tidegate; an entry of the index whose message has gone elsewhere is dropped when it is due.

use std::time::Duration;

use bytes::Bytes;

use super::Broker;
use crate::dramatiq::{BrokerId, Due, DueMessages, Lane, MESSAGES_MAX, Outgoing, QueueName};
use crate::redis::reply::Reply;
use crate::redis::server::Raw;
use crate::{Error, Result};

/// See [`Broker::file`].
pub(super) async fn file(
    broker: &Broker,
    queue: &QueueName,
    due_ms: &[(Bytes, f64)],
) -> Result<u64> {
    let keys = &broker.keys;
    let mut filed = 0;
    for some in due_ms.chunks(MESSAGES_MAX) {
        let mut reply = broker
            .server
            .run(&broker.scripts.file, |command| {
                let command = command
                    .arg(2)
                    .key(keys.hands(&broker.id, queue, Lane::Delayed))
                    .key(keys.due(queue))
                    .arg(broker.id.as_str());
                some.iter().fold(command, |it, (id, due_ms)| {
                    // No score of the server's is "not a number".
                    let due_ms = if due_ms.is_nan() { 0.0 } else { *due_ms };
                    it.arg(score(due_ms)).arg(Raw(id))
                })
            })
            .await?;
        filed += reply.number()?;
    }
    Ok(filed)
}

fn score(due_ms: f64) -> String {
    if due_ms.is_infinite() {
        return if due_ms > 0.0 { "+inf" } else { "-inf" }.to_owned();
    }
    format!("{due_ms}")
}

/// See [`Broker::due`].
pub(super) async fn due(broker: &Broker, queue: &QueueName, max: usize) -> Result<DueMessages> {
    let keys = &broker.keys;
    let mut reply = broker
        .server
        .run(&broker.scripts.due, |command| {
            command
                .arg(2)
                .key(keys.due(queue))
                .key(keys.messages(queue, Lane::Delayed))
                .arg(max.min(MESSAGES_MAX))
        })
        .await?;
    let items = reply.list()?;
    let next_ms = u64::try_from(reply.integer()?).ok();
    let messages = (0..items.saturating_sub(1) / 2).map(|_| read_due(&mut reply));
    Ok(DueMessages {
        messages: messages.collect::<Result<_>>()?,
        next_in: next_ms.map(Duration::from_millis),
    })
}

fn read_due(reply: &mut Reply) -> Result<Due> {
    let (entry, body) = (reply.text()?, reply.text()?);
    let space = entry.iter().position(|byte| *byte == b' ');
    let parts = space.and_then(|space| {
        let broker = std::str::from_utf8(entry.get(..space)?).ok()?;
        Some((BrokerId::of(broker), entry.slice(space + 1..)))
    });
    let (broker, id) =
        parts.ok_or_else(|| Error::Corrupt("an entry of the delayed messages' index".into()))?;
    Ok(Due {
        entry,
        broker,
        id,
        body: (!body.is_empty()).then_some(body),
    })
}

/// See [`Broker::promote`].
pub(super) async fn promote(
    broker: &Broker,
    due: &Due,
    queue: &QueueName,
    to: Option<&Outgoing>,
) -> Result<bool> {
    let keys = &broker.keys;
    let to_queue = to.map_or(queue, |to| &to.queue);
    let mut reply = broker
        .server
        .run(&broker.scripts.promote, |command| {
            let command = command
                .arg(5)
                .key(keys.due(queue))
                .key(keys.messages(queue, Lane::Delayed))
                .key(keys.hands(&due.broker, queue, Lane::Delayed))
                .key(keys.list(to_queue, Lane::Ready))
                .key(keys.messages(to_queue, Lane::Ready))
                .arg(Raw(&due.entry))
                .arg(Raw(&due.id))
                .arg(to.map_or("", |to| to.id.as_str()));
            command.arg(Raw(to.map_or(&[], |to| &to.body)))
        })
        .await?;
    Ok(reply.number()? == 1)
}
