//! Waits for news on a connection of its own.
//!
//! A blocking read holds up everything else on its connection, so waiting has one to itself,
//! opened by the first who waits. What is read, and what its answer means, is the [`News`]'s: of
//! entries in [`entries`], of tasks in [`super::task`].
//!
//! ```text
//! caller ── news ──► a blocking read (waiting connection) ──► indexes
//!    └── interrupt ──► CLIENT UNBLOCK (shared connection) ──┘ ends the read early
//! ```
//!
//! On a Cluster a blocking read can't span slots, and one read for each would take a connection
//! for each. There the wait asks for all of them at once on the shared connection, again and again,
//! with pauses that grow to some 20 ms, and with many places further, so that it asks no more than
//! a thousand times per second.
//!
//! It guarantees that no blocked read is left behind on a connection that is used again: the
//! connection is taken out for the time of a read and put back when the read has ended. A caller
//! who gives up, an error, or a reply that doesn't come closes it, and the next one who waits
//! opens another. If the process dies here, nothing is lost.

pub(super) mod entries;

use std::pin::{Pin, pin};
use std::time::Duration;

use rustis::client::{Client, Config};
use rustis::resp::{CommandBuilder, cmd};
use tokio::sync::futures::Notified;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::Result;
use super::failure::Failure;
use super::reply::Reply;
use super::server::{Server, connect, send};
use super::settings::{self, COMMAND_TIMEOUT};

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
/// The first pause between two looks at a Cluster; each is twice the one before.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest pause between two looks at a few places of a Cluster.
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(20);
/// How much longer the longest pause is for each place, which bounds the load.
const LOOK_PAUSE_PER_PLACE: Duration = Duration::from_millis(1);
/// Stands for a timeout that is too long to add to the clock.
const FAR_AWAY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What somebody waits for, in several places at once.
pub(super) trait News: Sync {
    /// How many places there are.
    fn len(&self) -> usize;

    /// Whether one blocking read can ask for all of them.
    fn can_block(&self) -> bool;

    /// A read that blocks for so long, or that only looks where the time is zero.
    fn blocking_read(&self, block: Duration) -> CommandBuilder;

    /// The indexes of those places that the reply to a blocking read has news of.
    fn read(&self, reply: Reply) -> Result<Vec<usize>>;

    /// The indexes of those places that have news now.
    fn look(&self, server: &Server) -> impl Future<Output = Result<Vec<usize>>> + Send;
}

/// The connection that waits, one caller at a time.
pub(super) struct Waiter {
    config: Config,
    reader: Mutex<Option<Reader>>,
}

struct Reader {
    client: Client,
    block_max: Duration,
}

impl Waiter {
    /// A waiter that connects when it is first used.
    pub(super) fn new(commands: &Config) -> Self {
        Self {
            config: settings::for_waiting(commands),
            reader: Mutex::new(None),
        }
    }

    /// Waits until there is news, the time is over, or an interrupt. Returns the indexes of the
    /// places that have news.
    pub(super) async fn wait(
        &self,
        server: &Server,
        news: &impl News,
        timeout: Duration,
        interrupt: &Notify,
    ) -> Result<Vec<usize>> {
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + FAR_AWAY);
        let mut interrupted = pin!(interrupt.notified());
        // From here on no notification is missed, even while another caller is waiting.
        interrupted.as_mut().enable();

        let lock = async {
            if news.len() == 0 {
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

        if !news.can_block() {
            return look_until(server, news, deadline, interrupted).await;
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
                reader: &reader,
                news,
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

/// Looks again and again until there is news, the deadline, or an interrupt.
async fn look_until(
    server: &Server,
    news: &impl News,
    deadline: Instant,
    mut interrupted: Pin<&mut Notified<'_>>,
) -> Result<Vec<usize>> {
    let places = u32::try_from(news.len()).unwrap_or(u32::MAX);
    let pause_max = LOOK_PAUSE_MAX.max(LOOK_PAUSE_PER_PLACE.saturating_mul(places));
    let mut pause = LOOK_PAUSE_MIN;
    loop {
        let found = news.look(server).await?;
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

/// One blocking read from its sending to its end.
struct BlockingRead<'a, N> {
    server: &'a Server,
    reader: &'a Reader,
    news: &'a N,
    block: Duration,
}

impl<N: News> BlockingRead<'_, N> {
    /// Returns the indexes of the places with news, and whether it was interrupted.
    async fn run(&self, mut interrupted: Pin<&mut Notified<'_>>) -> Result<(Vec<usize>, bool)> {
        // The client may have reconnected since the last read, under another id.
        let id = connection_id(&self.reader.client).await?;
        let may_unblock = self.reader.block_max == BLOCK_MAX;
        let mut reply = pin!(send(
            &self.reader.client,
            self.news.blocking_read(self.block)
        ));
        let overdue = Instant::now() + self.block + REPLY_MARGIN;
        let mut again = interval_at(Instant::now() + UNBLOCK_AGAIN, UNBLOCK_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = false;

        loop {
            tokio::select! {
                biased;
                reply = &mut reply => return Ok((self.news.read(reply?)?, stop)),
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
