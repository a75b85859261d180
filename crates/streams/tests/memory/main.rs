//! The memory of a worker whose processor doesn't go on, with a thousand partitions on Redis.
//!
//! The worker is a process of its own, so that nothing else is in its memory, and it is held
//! against one that has nothing to read: the difference is what reading ahead takes.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests end a test that can't go on"
)]

mod worker;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_store::{GroupName, Lag, Store, StoreUrl, connect};
use tidegate_streams::{Raw, Sender, StreamSpec};
use tidegate_testkit::{Process, RedisServer, poll_until};

/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(120);
const PARTITIONS: u32 = 1_000;
/// The worker's budget for entries in memory.
const BUDGET_BYTES: u64 = 16 << 20;
/// The records are this many times the budget, so a worker that did not keep to it would show.
const TIMES_BUDGET: u64 = 3;
/// Looks in a row, [`LOOK_PAUSE`] apart, at which nothing more was read.
const QUIET_LOOKS: u32 = 10;
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Started by the tests below, as a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is the worker that the tests start"]
async fn a_worker() {
    worker::run().await;
}

struct Site {
    url: String,
    store: Arc<dyn Store>,
    _redis: RedisServer,
}

/// What a worker process took, and how many entries it had read.
#[derive(Debug)]
struct Taken {
    peak_bytes: u64,
    read: u64,
}

impl Site {
    async fn open() -> Self {
        let redis = RedisServer::start().await.expect("Redis");
        let url = StoreUrl::parse(&redis.url()).expect("a URL");
        Self {
            store: connect(&url).await.expect("a store"),
            url: redis.url(),
            _redis: redis,
        }
    }

    /// Sends [`TIMES_BUDGET`] times the budget in records of this size.
    async fn fill(&self, spec: &StreamSpec, entry_bytes: usize) {
        let field = (Bytes::from_static(b"data"), vec![b'x'; entry_bytes].into());
        let record = Raw {
            fields: vec![field],
        };
        let sender = Sender::new(self.store.clone(), spec.clone()).expect("a sender");
        let records = TIMES_BUDGET * BUDGET_BYTES / entry_bytes as u64;
        let records = usize::try_from(records).expect("a number");
        for answer in sender.send_many(vec![record; records]).await {
            answer.expect("sent");
        }
    }

    /// What a worker takes that owns all partitions and has read what it will.
    async fn taken_by_a_worker(&self, spec: &StreamSpec, is_full: bool) -> Taken {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["a_worker", "--exact", "--ignored", "--nocapture"])
            .env(worker::STORE, &self.url)
            .env(worker::STREAM, &spec.stream)
            .env(worker::BUDGET, BUDGET_BYTES.to_string());
        let process = Process::spawn(&command).expect("a worker");
        let (name, group) = (spec.name().expect("a name"), GroupName::new(worker::GROUP));
        let (partitions, group): (Vec<_>, _) = (
            (0..PARTITIONS).map(|index| name.partition(index)).collect(),
            group.expect("a group"),
        );
        let owns_all = poll_until(SOON, async || {
            let holders = self.store.lease_holders(&group, &partitions).await;
            holders.is_ok_and(|all| all.iter().all(Option::is_some))
        });
        owns_all.await.expect("it owns all partitions");
        if is_full {
            for _ in 0..PARTITIONS {
                let stalled = process.wait_for_line(|line| line.contains(worker::STALLED), SOON);
                stalled.await.expect("each partition has an event in hand");
            }
        }
        let (mut read, mut quiet_looks) = (0, 0);
        let mut looks = tokio::time::interval(LOOK_PAUSE);
        let is_quiet = poll_until(SOON, async || {
            looks.tick().await;
            let lags = self.store.lag(&group, &partitions).await;
            let now = lags.map_or(0, |all| all.iter().map(|it: &Lag| it.pending).sum());
            quiet_looks = if now == read { quiet_looks + 1 } else { 0 };
            read = now;
            quiet_looks >= QUIET_LOOKS
        });
        is_quiet.await.expect("it reads no more");
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()));
        let status = status.expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        let kib: u64 = kib.expect("a peak").parse().expect("a number");
        Taken {
            peak_bytes: kib << 10,
            read,
        }
    }
}

/// A worker that has `entry_bytes` large records before it takes no more than it is allowed.
async fn a_stalled_worker_stays_within_its_bound(entry_bytes: usize) {
    let site = Site::open().await;
    let (empty, full) = (worker::spec("empty"), worker::spec("full"));
    site.fill(&full, entry_bytes).await;
    let idle = site.taken_by_a_worker(&empty, false).await;
    let stalled = site.taken_by_a_worker(&full, true).await;
    let one_each = u64::from(PARTITIONS) * entry_bytes as u64;
    let bound = BUDGET_BYTES + one_each;
    let more = stalled.peak_bytes.saturating_sub(idle.peak_bytes);
    let figures = format!("{more} bytes more of {bound} allowed: {idle:?}, {stalled:?}");
    eprintln!("{figures}");
    assert_eq!(idle.read, 0);
    // It does read ahead, so its memory means something.
    assert!(stalled.read > u64::from(PARTITIONS), "{figures}");
    assert!(more <= bound, "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_worker_with_a_thousand_partitions_of_records_stays_within_its_bound() {
    a_stalled_worker_stays_within_its_bound(1_000).await;
}
