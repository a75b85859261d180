//! How long partitions stand still when their owner ends.
//!
//! ```text
//! events flow ─► two workers share ─► one gets a signal ─► the other's first events ─► hire another
//!                     ▲                                                                     │
//!                     └─────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Counted from before the signal is sent until this process has heard of the first event that the
//! other worker has processed: of any of the partitions that were the first one's, and of the last
//! of them. It includes the time until the next event is sent, which is up to [`TICK`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::signal::Signal;
use serde::Serialize;
use tidegate_store::{Epoch, Store, StoreUrl};
use tidegate_streams::{Raw, Sender};
use tidegate_testkit::poll_until;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::hand::{Hand, Lookout, SOON};
use super::worker::{Behaviour, Job};
use crate::error::{Error, Result};
use crate::median::median;

/// The lease: short, so that many rounds can be measured.
const LEASE_TTL: Duration = Duration::from_secs(2);
/// As in ordinary life.
const PARTITIONS: u32 = 16;
/// How often an event is sent to each partition.
const TICK: Duration = Duration::from_millis(5);
/// So many events of a partition may wait for its owner where it keeps up with the sender.
const FLOWING: u64 = 10;
/// What SIGTERM's median is to stay below.
const LIMIT_TERMINATED: Duration = Duration::from_millis(100);
/// What no SIGKILL is to exceed.
const LIMIT_KILLED: Duration = LEASE_TTL.saturating_add(Duration::from_secs(1));

/// How long partitions stood still.
#[derive(Debug, Serialize)]
pub(in super::super) struct Takeovers {
    pub(in super::super) lease_ms: f64,
    pub(in super::super) partitions: u32,
    pub(in super::super) sigterm: Ended,
    pub(in super::super) sigkill: Ended,
}

/// The rounds with one signal. All times are in milliseconds.
#[derive(Debug, Serialize)]
pub(in super::super) struct Ended {
    /// The most that `all_partitions` may be: its median for SIGTERM, its longest for SIGKILL.
    pub(in super::super) limit_ms: f64,
    pub(in super::super) is_within: bool,
    pub(in super::super) first_partition: Times,
    pub(in super::super) all_partitions: Times,
}

/// One figure over all rounds.
#[derive(Debug, Serialize)]
pub(in super::super) struct Times {
    pub(in super::super) median_ms: f64,
    pub(in super::super) longest_ms: f64,
    pub(in super::super) rounds_ms: Vec<f64>,
}

impl Times {
    fn of(rounds: Vec<f64>) -> Self {
        Self {
            median_ms: median(rounds.clone()),
            longest_ms: rounds.iter().copied().fold(0.0, f64::max),
            rounds_ms: rounds,
        }
    }
}

/// Measures so many rounds with each signal.
///
/// # Errors
/// Whatever kept a worker from working, or a partition from being taken over.
pub(in super::super) async fn measure(redis_url: &str, rounds: u32) -> Result<Takeovers> {
    let job = Job {
        redis_url: redis_url.to_owned(),
        stream: "takeover".into(),
        partitions: PARTITIONS,
        lease_ms: u64::try_from(LEASE_TTL.as_millis()).unwrap_or(u64::MAX),
        prefetch_bytes: 64 << 20,
        behaviour: Behaviour::Flow,
    };
    let store = tidegate_store::connect(&StoreUrl::parse(redis_url)?).await?;
    let enough = CancellationToken::new();
    let sender = Sender::new(store.clone(), job.spec())?;
    let feed = tokio::spawn(feed(sender, enough.clone()));
    let measured = Rounds::begin(store, job).await?.measure(rounds).await;
    enough.cancel();
    feed.await??;
    measured
}

/// Sends an event to each partition, again and again.
async fn feed(sender: Sender<Raw>, enough: CancellationToken) -> Result<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !enough.is_cancelled() {
        ticks.tick().await;
        let field = (Bytes::from_static(b"n"), Bytes::from_static(b"1"));
        let record = Raw {
            fields: vec![field],
        };
        // Those without a key go to the partitions in turn.
        for sent in sender.send_many(vec![record; PARTITIONS as usize]).await {
            sent?;
        }
    }
    Ok(())
}

/// Two workers that share the partitions.
struct Rounds {
    job: Job,
    lookout: Lookout,
    owner: Hand,
    other: Hand,
}

impl Rounds {
    async fn begin(store: Arc<dyn Store>, job: Job) -> Result<Self> {
        let (owner, other) = (Hand::hire(&job).await?, Hand::hire(&job).await?);
        Ok(Self {
            lookout: Lookout::new(store, &job)?,
            job,
            owner,
            other,
        })
    }

    async fn measure(mut self, rounds: u32) -> Result<Takeovers> {
        let (mut terminated, mut killed) = (Vec::new(), Vec::new());
        for round in 1..=rounds {
            for (signal, times) in [
                (Signal::SIGTERM, &mut terminated),
                (Signal::SIGKILL, &mut killed),
            ] {
                let (first, last) = self.round(signal).await?;
                eprintln!(
                    "takeover {round} of {rounds}, {signal}: first partition after {first:.0} ms, \
                     all after {last:.0} ms"
                );
                times.push((first, last));
            }
        }
        let ended = |rounds: Vec<(f64, f64)>, limit: Duration| {
            let (first, all): (Vec<f64>, Vec<f64>) = rounds.into_iter().unzip();
            (Times::of(first), Times::of(all), in_ms(limit))
        };
        let (first, all, limit_ms) = ended(terminated, LIMIT_TERMINATED);
        let sigterm = Ended {
            limit_ms,
            is_within: all.median_ms < limit_ms,
            first_partition: first,
            all_partitions: all,
        };
        let (first, all, limit_ms) = ended(killed, LIMIT_KILLED);
        let sigkill = Ended {
            limit_ms,
            is_within: all.longest_ms <= limit_ms,
            first_partition: first,
            all_partitions: all,
        };
        Ok(Takeovers {
            lease_ms: in_ms(LEASE_TTL),
            partitions: PARTITIONS,
            sigterm,
            sigkill,
        })
    }

    /// Ends the owner, and says after how many milliseconds the other worker had processed an
    /// event of the first of its partitions, and of all. Then another worker takes its place.
    async fn round(&mut self, signal: Signal) -> Result<(f64, f64)> {
        let mut waiting = self.shared().await?;
        let began = Instant::now();
        self.owner.signal(signal)?;
        let mut first = None;
        while !waiting.is_empty() {
            let (partition, epoch) = self.other.first_event().await?;
            // What it has begun before was no takeover.
            if waiting
                .get(&partition)
                .is_some_and(|before| *before < epoch)
            {
                waiting.remove(&partition);
                first = first.or(Some(began.elapsed()));
            }
        }
        let last = began.elapsed();
        let first = first.ok_or_else(|| Error::Unexpected("nothing was taken over".into()))?;
        // The signals meet old and new workers in turn.
        let newcomer = Hand::hire(&self.job).await?;
        let survivor = std::mem::replace(&mut self.other, newcomer);
        std::mem::replace(&mut self.owner, survivor).ended().await?;
        Ok((in_ms(first), in_ms(last)))
    }

    /// Waits until each of the two owns a half and all of it flows, and returns the owner's
    /// partitions with its epochs.
    async fn shared(&self) -> Result<BTreeMap<u32, Epoch>> {
        let mut of_owner = BTreeMap::new();
        let is_shared = poll_until(SOON, async || {
            let Ok(holders) = self.lookout.holders().await else {
                return false;
            };
            let mut of_other = 0_u32;
            of_owner.clear();
            for (index, holder) in (0..).zip(holders) {
                match holder.and_then(|it| Some((it.worker?, it.epoch))) {
                    Some((worker, epoch)) if worker == self.owner.id => {
                        of_owner.insert(index, epoch);
                    }
                    Some((worker, _)) if worker == self.other.id => of_other += 1,
                    _ => {}
                }
            }
            of_owner.len() == PARTITIONS as usize / 2 && of_other == PARTITIONS / 2
        });
        is_shared.await?;
        let is_flowing = poll_until(SOON, async || {
            let waiting = self.lookout.most_undelivered().await;
            waiting.is_ok_and(|most| most <= FLOWING)
        });
        is_flowing.await?;
        Ok(of_owner)
    }
}

fn in_ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
