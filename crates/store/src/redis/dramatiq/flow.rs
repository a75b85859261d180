//! The way of a message: into its queue, into a broker's hands, and to its end.

use std::time::Duration;

use bytes::Bytes;
use rustis::resp::cmd;

use super::{Broker, ms};
use crate::Result;
use crate::dramatiq::{
    End, Fetched, GroupStep, Lane, MESSAGES_MAX, Outgoing, QueueName, Settlement,
};
use crate::redis::server::Raw;

/// See [`Broker::enqueue`].
pub(super) async fn enqueue(broker: &Broker, messages: &[Outgoing]) -> Result<()> {
    for some in messages.chunks(MESSAGES_MAX) {
        let mut keys = KeyList::default();
        let places: Vec<usize> = some.iter().map(|it| keys.place(broker, it, 0)).collect();
        let mut reply = broker
            .server
            .run(&broker.scripts.enqueue, |command| {
                let command = command.arg(keys.0.len());
                let command = keys.0.iter().fold(command, |it, key| it.key(key.as_str()));
                places
                    .iter()
                    .zip(some)
                    .fold(command, |it, (place, message)| {
                        let it = it.arg(*place).arg(message.id.as_str());
                        it.arg(Raw(&message.body))
                    })
            })
            .await?;
        reply.number()?;
    }
    Ok(())
}

/// See [`Broker::fetch`].
pub(super) async fn fetch(
    broker: &Broker,
    queue: &QueueName,
    lane: Lane,
    max: usize,
) -> Result<Vec<Fetched>> {
    if max == 0 {
        return Ok(Vec::new());
    }
    let keys = &broker.keys;
    let mut reply = broker
        .server
        .run(&broker.scripts.fetch, |command| {
            command
                .arg(4)
                .key(keys.list(queue, lane))
                .key(keys.messages(queue, lane))
                .key(keys.hands(&broker.id, queue, lane))
                .key(keys.heartbeats())
                .arg(max.min(MESSAGES_MAX))
                .arg(broker.id.as_str())
        })
        .await?;
    let pairs = reply.pairs()?;
    Ok(pairs
        .into_iter()
        .map(|(id, body)| Fetched { id, body })
        .collect())
}

/// See [`Broker::settle`].
pub(super) async fn settle(broker: &Broker, settlement: &Settlement) -> Result<bool> {
    let Settlement {
        queue,
        lane,
        id,
        end,
        follow,
        result,
        group,
    } = settlement;
    let keys = &broker.keys;
    let list = keys.list(queue, *lane);
    let callbacks = group.iter().flat_map(|it| &it.callbacks);
    let following: Vec<&Outgoing> = follow.iter().chain(callbacks).collect();
    let mut places = KeyList::default();
    let indexes: Vec<usize> = following
        .iter()
        .map(|it| places.place(broker, it, SETTLE_KEYS))
        .collect();
    let (verb, reason, body) = match end {
        End::Done => ("done", "", None),
        End::Dead { reason, body } => ("dead", reason.as_str(), body.as_ref()),
        End::Back => ("back", "", None),
    };
    let nothing = Bytes::new();
    let mut reply = broker
        .server
        .run(&broker.scripts.settle, |command| {
            let command = command
                .arg(SETTLE_KEYS + places.0.len())
                .key(list.as_str())
                .key(keys.messages(queue, *lane))
                .key(keys.hands(&broker.id, queue, *lane))
                .key(keys.dead(queue))
                .key(keys.dead_messages(queue))
                .key(keys.dead_reasons(queue))
                .key(result.as_ref().map_or(list.as_str(), |it| &it.key))
                .key(group.as_ref().map_or(list.as_str(), |it| &it.barrier));
            let command = places
                .0
                .iter()
                .fold(command, |it, key| it.key(key.as_str()));
            let command = command
                .arg(Raw(id))
                .arg(verb)
                .arg(reason)
                .arg(Raw(body.unwrap_or(&nothing)))
                .arg(Raw(result.as_ref().map_or(&nothing, |it| &it.body)))
                .arg(result.as_ref().map_or(0, |it| ms(it.lifetime)))
                .arg(group.as_ref().map_or(String::new(), barrier_ms))
                .arg(follow.len());
            indexes
                .iter()
                .zip(&following)
                .fold(command, |it, (index, message)| {
                    let it = it.arg(*index).arg(message.id.as_str());
                    it.arg(Raw(&message.body))
                })
        })
        .await?;
    Ok(reply.number()? == 1)
}

/// How many keys the script has before those of the messages that follow.
const SETTLE_KEYS: usize = 8;

fn barrier_ms(group: &GroupStep) -> String {
    ms(group.lifetime).max(1).to_string()
}

/// See [`Broker::result`].
pub(super) async fn result(broker: &Broker, key: &str) -> Result<Option<Bytes>> {
    let command = cmd("LINDEX").key(key).arg(0);
    broker.server.call(command).await?.optional_text()
}

/// See [`Broker::create_barrier`].
pub(super) async fn create_barrier(
    broker: &Broker,
    key: &str,
    members: u64,
    lifetime: Duration,
) -> Result<bool> {
    let command = cmd("SET").key(key).arg(members).arg("NX");
    let command = command.arg("PX").arg(ms(lifetime).max(1));
    Ok(broker
        .server
        .call(command)
        .await?
        .optional_text()?
        .is_some())
}

/// The lists and hashes of several queues, each once, in turn.
#[derive(Default)]
struct KeyList(Vec<String>);

impl KeyList {
    /// The index of a message's list among the script's keys, which begin with `before` others.
    fn place(&mut self, broker: &Broker, message: &Outgoing, before: usize) -> usize {
        let list = broker.keys.list(&message.queue, message.lane);
        let found = self.0.iter().position(|key| *key == list);
        let index = found.unwrap_or_else(|| {
            self.0.push(list);
            let messages = broker.keys.messages(&message.queue, message.lane);
            self.0.push(messages);
            self.0.len() - 2
        });
        // The scripts count from one.
        before + index + 1
    }
}
