//! Who is alive, what the dead had in hand, and dead letters.
//!
//! Dramatiq's workers do the same with one command in a thousand; whoever comes first does it, and
//! the other finds nothing left to do.

use std::collections::HashSet;

use bytes::Bytes;
use rustis::resp::{CommandBuilder, cmd};

use super::{Broker, ms};
use crate::Result;
use crate::dramatiq::{BrokerId, Counts, DeadLetter, Lane, MESSAGES_MAX, Outgoing, QueueName};
use crate::redis::reply::Reply;
use crate::redis::server::Raw;

/// How many dead brokers one beat brings.
const DEAD_MAX: usize = 100;
/// How many keys one step of a search looks at.
const SCAN_COUNT: usize = 1_000;

/// See [`Broker::beat`].
pub(super) async fn beat(broker: &Broker) -> Result<Vec<BrokerId>> {
    let mut reply = broker
        .server
        .run(&broker.scripts.beat, |command| {
            command
                .arg(1)
                .key(broker.keys.heartbeats())
                .arg(broker.id.as_str())
                .arg(ms(broker.options.heartbeat_timeout))
                .arg(DEAD_MAX)
        })
        .await?;
    let dead = reply.texts()?;
    let texts = dead.iter().filter_map(|it| std::str::from_utf8(it).ok());
    Ok(texts.map(BrokerId::of).collect())
}

/// See [`Broker::recover`].
pub(super) async fn recover(
    broker: &Broker,
    queue: &QueueName,
    lane: Lane,
    dead: &BrokerId,
) -> Result<u64> {
    let keys = &broker.keys;
    let mut recovered = 0;
    loop {
        let mut reply = broker
            .server
            .run(&broker.scripts.recover, |command| {
                command
                    .arg(4)
                    .key(keys.heartbeats())
                    .key(keys.list(queue, lane))
                    .key(keys.messages(queue, lane))
                    .key(keys.hands(dead, queue, lane))
                    .arg(dead.as_str())
                    .arg(ms(broker.options.heartbeat_timeout))
                    .arg(MESSAGES_MAX)
            })
            .await?;
        match reply.number()? {
            0 => return Ok(recovered),
            some => recovered += some,
        }
    }
}

/// See [`Broker::forget`].
pub(super) async fn forget(broker: &Broker, dead: &[BrokerId]) -> Result<()> {
    if dead.is_empty() {
        return Ok(());
    }
    let mut with_empty_hands: HashSet<&str> = dead.iter().map(BrokerId::as_str).collect();
    let prefix = broker.keys.hands_of_all();
    let mut cursor = Bytes::from_static(b"0");
    loop {
        let command = cmd("SCAN").arg(Raw(&cursor));
        let command = command.arg("MATCH").arg(glob(&prefix));
        let mut reply = broker
            .server
            .call(command.arg("COUNT").arg(SCAN_COUNT))
            .await?;
        reply.list()?;
        cursor = reply.text()?;
        for key in reply.texts()? {
            let id = std::str::from_utf8(&key).ok();
            let id = id.and_then(|key| key.strip_prefix(&prefix)?.split('.').next());
            id.map(|id| with_empty_hands.remove(id));
        }
        if cursor == "0" {
            break;
        }
    }
    for id in with_empty_hands {
        let forgotten = broker.server.run(&broker.scripts.forget, |command| {
            command
                .arg(1)
                .key(broker.keys.heartbeats())
                .arg(id)
                .arg(ms(broker.options.heartbeat_timeout))
        });
        forgotten.await?.number()?;
    }
    Ok(())
}

/// A pattern for all keys that begin with `prefix`, whatever is in it.
fn glob(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for character in prefix.chars() {
        if r"*?[]\".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern + "*"
}

/// See [`Broker::expire_dead_letters`].
pub(super) async fn expire(broker: &Broker, queue: &QueueName) -> Result<u64> {
    let mut reply = broker
        .server
        .run(&broker.scripts.expire, |command| {
            let command = dead_keys(broker, queue, command.arg(3));
            command
                .arg(ms(broker.options.dead_letter_lifetime))
                .arg(MESSAGES_MAX)
        })
        .await?;
    reply.number()
}

fn dead_keys(broker: &Broker, queue: &QueueName, command: CommandBuilder) -> CommandBuilder {
    command
        .key(broker.keys.dead(queue))
        .key(broker.keys.dead_messages(queue))
        .key(broker.keys.dead_reasons(queue))
}

/// See [`Broker::dead_letters`].
pub(super) async fn dead_letters(
    broker: &Broker,
    queue: &QueueName,
    max: usize,
) -> Result<Vec<DeadLetter>> {
    let (keys, server) = (&broker.keys, &broker.server);
    let Some(last) = max.min(MESSAGES_MAX).checked_sub(1) else {
        return Ok(Vec::new());
    };
    let ids = cmd("ZRANGE").key(keys.dead(queue)).arg(0).arg(last);
    let ids = server.call(ids).await?.texts()?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let of = |name, key: String| {
        ids.iter()
            .fold(cmd(name).key(key), |it, id| it.arg(Raw(id)))
    };
    let scores: Vec<Option<f64>> = server.ask(of("ZMSCORE", keys.dead(queue))).await?;
    let bodies = server.call(of("HMGET", keys.dead_messages(queue))).await?;
    let reasons = server.call(of("HMGET", keys.dead_reasons(queue))).await?;
    let (bodies, reasons) = (optional_texts(bodies)?, optional_texts(reasons)?);
    let letters = ids.into_iter().zip(scores).zip(bodies).zip(reasons);
    Ok(letters
        .map(|(((id, score), body), reason)| DeadLetter {
            id,
            died_at_ms: score_ms(score.unwrap_or_default()),
            reason: reason.map(|it| String::from_utf8_lossy(&it).into_owned()),
            body,
        })
        .collect())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a score that is no time is shown as the nearest time there is"
)]
fn score_ms(score: f64) -> u64 {
    score as u64
}

fn optional_texts(mut reply: Reply) -> Result<Vec<Option<Bytes>>> {
    (0..reply.list()?).map(|_| reply.optional_text()).collect()
}

/// See [`Broker::revive`].
pub(super) async fn revive(
    broker: &Broker,
    queue: &QueueName,
    id: &[u8],
    to: Option<&Outgoing>,
) -> Result<bool> {
    let (queue_to, lane) = to.map_or((queue, Lane::Ready), |to| (&to.queue, to.lane));
    let mut reply = broker
        .server
        .run(&broker.scripts.revive, |command| {
            let command = dead_keys(broker, queue, command.arg(5))
                .key(broker.keys.list(queue_to, lane))
                .key(broker.keys.messages(queue_to, lane))
                .arg(Raw(id))
                .arg(to.map_or("", |to| to.id.as_str()));
            command.arg(Raw(to.map_or(&[], |to| &to.body)))
        })
        .await?;
    Ok(reply.number()? == 1)
}

/// See [`Broker::counts`].
pub(super) async fn counts(broker: &Broker, queue: &QueueName) -> Result<Counts> {
    let (keys, server) = (&broker.keys, &broker.server);
    let held = |lane| cmd("HLEN").key(keys.messages(queue, lane));
    Ok(Counts {
        ready: server.call(held(Lane::Ready)).await?.number()?,
        delayed: server.call(held(Lane::Delayed)).await?.number()?,
        dead: server
            .call(cmd("ZCARD").key(keys.dead(queue)))
            .await?
            .number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_no_pattern() {
        assert_eq!(glob("a*[b]?"), r"a\*\[b\]\?*");
    }
}
