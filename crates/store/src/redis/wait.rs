//! Waits for entries on a connection of its own.
//!
//! A blocking read holds up everything else on its connection, so waiting has one to itself,
//! opened by the first who waits. The read asks for entries after a position, without a group, so
//! it changes nothing on the server, and its answer is only a hint that there is something to read.
//!
//! ```text
//! caller ── positions ──► XREAD BLOCK (waiting connection) ──► indexes
//!    └──── interrupt ───► CLIENT UNBLOCK (shared connection) ──┘ ends the read early
//! ```
//!
//! On a Cluster a blocking read can't span partitions, since each is in a slot of its own, and one
//! read per partition would take a connection for each. There the wait asks for all of them at
//! once on the shared connection, again and again, with pauses that grow to some 20 ms, and with
//! many partitions further, so that it asks no more than a thousand times per second.
//!
//! It guarantees that no blocked read is left behind on a connection that is used again: the
//! connection is taken out for the time of a read and put back when the read has ended. A caller
//! who gives up, an error, or a reply that doesn't come closes it, and the next one who waits
//! opens another. If the process dies here, nothing is lost.

use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use rustis::client::{Client, Config};
use rustis::resp::{CommandBuilder, cmd};
use tokio::sync::futures::Notified;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::Result;
use super::failure::Failure;
use super::keys::Keys;
use super::reply::Reply;
use super::server::{Server, connect, send};
use super::settings::{self, COMMAND_TIMEOUT};
use crate::entry::EntryId;
use crate::stream::Partition;

/// The longest that one read blocks. A longer wait is several reads, so that a link that died
/// without a word is noticed.
const BLOCK_MAX: Duration = Duration::from_secs(5);
/// The longest that one read blocks where the user may not run `CLIENT UNBLOCK`: an interrupt is
/// then heard only when the read ends.
const BLOCK_WITHOUT_UNBLOCK_MAX: Duration = Duration::from_millis(500);
/// How much later than its end a blocked read's reply may come.
const REPLY_MARGIN: Duration = COMMAND_TIMEOUT;
/// The pause before a read is unblocked once more: the first time may have come before the
/// server had begun to block.
const UNBLOCK_AGAIN: Duration = Duration::from_millis(20);
/// The first pause between two looks at the partitions of a Cluster; each is twice the one before.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest pause between two looks at a few partitions of a Cluster.
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(20);
/// How much longer the longest pause is for each partition, which bounds the load.
const LOOK_PAUSE_PER_PARTITION: Duration = Duration::from_millis(1);
/// How many partitions of a Cluster are asked for at once.
const LOOKS_AT_ONCE: usize = 64;
/// Stands for a timeout that is too long to add to the clock.
const FAR_AWAY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The connection that waits, one caller at a time.
pub(super) struct Waiter {
    config: Config,
    keys: Keys,
    reader: Mutex<Option<Reader>>,
}

struct Reader {
    client: Client,
    block_max: Duration,
}

impl Waiter {
    /// A waiter that connects when it is first used.
    pub(super) fn new(commands: &Config, keys: Keys) -> Self {
        Self {
            keys,
            config: settings::for_waiting(commands),
            reader: Mutex::new(None),
        }
    }

    /// See [`Store::wait_for_entries`](crate::Store::wait_for_entries).
    pub(super) async fn wait_for_entries(
        &self,
        server: &Server,
        positions: &[(Partition, EntryId)],
        timeout: Duration,
        interrupt: &Notify,
    ) -> Result<Vec<usize>> {
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + FAR_AWAY);
        let mut interrupted = pin!(interrupt.notified());
        // From here on no notification is missed, even while another caller is waiting.
        interrupted.as_mut().enable();

        let lock = async {
            if positions.is_empty() {
                std::future::pending().await
            } else {
                self.reader.lock().await
            }
        };
        let mut slot = tokio::select! {
            biased;
            slot = lock => slot,
            () = &mut interrupted => return Ok(Vec::new()),
            () = sleep_until(deadline) => return Ok(Vec::new()),
        };

        if self.keys.is_cluster() {
            return look_until(server, self.keys, positions, deadline, interrupted).await;
        }
        loop {
            let reader = match slot.take() {
                Some(reader) => reader,
                None => self.connect(server).await?,
            };
            let block = deadline
                .saturating_duration_since(Instant::now())
                .min(reader.block_max);
            let read = BlockingRead {
                server,
                keys: self.keys,
                reader: &reader,
                positions,
                block,
            };
            let (found, stop) = read.run(interrupted.as_mut()).await?;
            *slot = Some(reader);
            if stop || !found.is_empty() || Instant::now() >= deadline {
                return Ok(found);
            }
        }
    }

    async fn connect(&self, server: &Server) -> Result<Reader> {
        let client = connect(self.config.clone()).await?;
        let id = connection_id(&client).await?;
        // Nothing is blocked yet; this only asks whether the user may.
        let block_max = match unblock(server, id).await {
            Ok(_) => BLOCK_MAX,
            Err(Failure::Server(refusal)) => {
                tracing::warn!(refusal, "interrupts of a wait will be heard late");
                BLOCK_WITHOUT_UNBLOCK_MAX
            }
            Err(failure) => return Err(failure.into()),
        };
        Ok(Reader { client, block_max })
    }
}

/// Looks at the partitions of a Cluster until there is news, the deadline, or an interrupt.
async fn look_until(
    server: &Server,
    keys: Keys,
    positions: &[(Partition, EntryId)],
    deadline: Instant,
    mut interrupted: Pin<&mut Notified<'_>>,
) -> Result<Vec<usize>> {
    let partitions = u32::try_from(positions.len()).unwrap_or(u32::MAX);
    let pause_max = LOOK_PAUSE_MAX.max(LOOK_PAUSE_PER_PARTITION.saturating_mul(partitions));
    let mut pause = LOOK_PAUSE_MIN;
    loop {
        let found = look(server, keys, positions).await?;
        let now = Instant::now();
        if !found.is_empty() || now >= deadline {
            return Ok(found);
        }
        tokio::select! {
            biased;
            () = interrupted.as_mut() => return Ok(Vec::new()),
            () = sleep_until(deadline.min(now + pause)) => {}
        }
        pause = pause.saturating_mul(2).min(pause_max);
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

/// One `XREAD` from its sending to its end.
struct BlockingRead<'a> {
    server: &'a Server,
    keys: Keys,
    reader: &'a Reader,
    positions: &'a [(Partition, EntryId)],
    block: Duration,
}

impl BlockingRead<'_> {
    /// Returns the indexes of the positions with news, and whether it was interrupted.
    async fn run(&self, mut interrupted: Pin<&mut Notified<'_>>) -> Result<(Vec<usize>, bool)> {
        // The client may have reconnected since the last read, under another id.
        let id = connection_id(&self.reader.client).await?;
        let may_unblock = self.reader.block_max == BLOCK_MAX;
        let mut reply = pin!(send(
            &self.reader.client,
            command(self.keys, self.positions, self.block)
        ));
        let overdue = Instant::now() + self.block + REPLY_MARGIN;
        let mut again = interval_at(Instant::now() + UNBLOCK_AGAIN, UNBLOCK_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = false;

        loop {
            tokio::select! {
                biased;
                reply = &mut reply => return Ok((with_news(self.keys, self.positions, reply?)?, stop)),
                () = sleep_until(overdue) => return Err(Failure::TimedOut.into()),
                () = interrupted.as_mut(), if !stop => stop = true,
                _ = again.tick(), if stop => {}
            }
            if may_unblock && let Err(failure) = unblock(self.server, id).await {
                // The read ends by itself, only later.
                tracing::debug!(%failure, "a waiting read could not be interrupted");
            }
        }
    }
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

async fn connection_id(client: &Client) -> Result<u64> {
    let id = send(client, cmd("CLIENT").arg("ID"));
    let reply = timeout(COMMAND_TIMEOUT, id)
        .await
        .unwrap_or(Err(Failure::TimedOut));
    reply?.number()
}

async fn unblock(server: &Server, connection_id: u64) -> Result<Reply, Failure> {
    server
        .call(cmd("CLIENT").arg("UNBLOCK").arg(connection_id))
        .await
}
