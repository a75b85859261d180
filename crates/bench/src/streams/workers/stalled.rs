//! The memory of a worker whose processor doesn't go on, beside what it is allowed.
//!
//! ```text
//! no records ─► a worker that owns all partitions ─► its peak: what a worker costs by itself
//! twice the budget in records ─► the same, stalled ─► its peak ─► the difference is for entries
//! ```
//!
//! The bound is the worker's budget for entries, and one entry more for each partition. Everything
//! that reading ahead makes the process larger by counts: entries, their bookkeeping, replies that
//! are being read, and what the allocator doesn't give back.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tidegate_store::StoreUrl;
use tidegate_streams::{Raw, Sender};
use tidegate_testkit::poll_until;
use tokio::time::{Instant, sleep};

use super::hand::{Hand, Lookout, SOON};
use super::worker::{Behaviour, Job};
use crate::error::{Error, Result};
use crate::usage::peak_memory_bytes;

/// So many that the bound matters.
const PARTITIONS: u32 = 1_000;
/// The budget that a worker has where nobody says otherwise.
const BUDGET_BYTES: u64 = 64 << 20;
/// A payment with its details.
const ENTRY_BYTES: usize = 1_000;
/// The name of an entry's only field.
const FIELD: &[u8] = b"data";
/// How many records are sent in one call.
const BATCH: u64 = 10_000;
/// Nothing is read any more when nothing was for so long.
const QUIET: Duration = Duration::from_secs(2);
/// Between two looks at what was read.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// What a stalled worker takes.
#[derive(Debug, Serialize)]
pub(in super::super) struct Stalled {
    pub(in super::super) partitions: u32,
    pub(in super::super) entry_bytes: usize,
    /// How many entries were sent, and how many of them the worker has read ahead.
    pub(in super::super) sent: u64,
    pub(in super::super) read_ahead: u64,
    /// Of a worker with partitions that hold nothing.
    pub(in super::super) idle_peak_bytes: u64,
    pub(in super::super) peak_bytes: u64,
    /// What the second may exceed the first by.
    pub(in super::super) bound_bytes: u64,
    pub(in super::super) is_within: bool,
}

/// Fills the partitions, and measures.
///
/// # Errors
/// Whatever kept a worker from working.
pub(in super::super) async fn measure(redis_url: &str) -> Result<Stalled> {
    let job = |stream: &str, behaviour| Job {
        redis_url: redis_url.to_owned(),
        stream: stream.to_owned(),
        partitions: PARTITIONS,
        lease_ms: 10_000,
        prefetch_bytes: usize::try_from(BUDGET_BYTES).unwrap_or(usize::MAX),
        behaviour,
    };
    let (empty, full) = (job("empty", Behaviour::Flow), job("full", Behaviour::Stall));
    let sent = 2 * BUDGET_BYTES / (ENTRY_BYTES + FIELD.len()) as u64;
    fill(&full, sent).await?;
    let (idle_peak_bytes, _) = peak_of(&empty).await?;
    let (peak_bytes, read_ahead) = peak_of(&full).await?;
    eprintln!("stalled with {read_ahead} of {sent} entries read ahead");
    if read_ahead < u64::from(PARTITIONS) {
        return Err(Error::Unexpected(
            "the worker did not read ahead, so its memory means nothing".into(),
        ));
    }
    let one_each = u64::from(PARTITIONS) * (ENTRY_BYTES + FIELD.len()) as u64;
    let bound_bytes = BUDGET_BYTES + one_each;
    Ok(Stalled {
        partitions: PARTITIONS,
        entry_bytes: ENTRY_BYTES,
        sent,
        read_ahead,
        idle_peak_bytes,
        peak_bytes,
        bound_bytes,
        is_within: peak_bytes.saturating_sub(idle_peak_bytes) <= bound_bytes,
    })
}

/// Sends so many entries to the partitions in turn.
async fn fill(job: &Job, entries: u64) -> Result<()> {
    let store = tidegate_store::connect(&StoreUrl::parse(&job.redis_url)?).await?;
    let sender = Sender::new(store, job.spec())?;
    let field = (
        Bytes::from_static(FIELD),
        Bytes::from(vec![b'x'; ENTRY_BYTES]),
    );
    let record = Raw {
        fields: vec![field],
    };
    let mut left = entries;
    while left > 0 {
        let batch = left.min(BATCH);
        let records = vec![record.clone(); usize::try_from(batch).unwrap_or_default()];
        for sent in sender.send_many(records).await {
            sent?;
        }
        left -= batch;
    }
    Ok(())
}

/// The peak of a worker that owns everything and has read what it will, and how many entries that
/// was.
async fn peak_of(job: &Job) -> Result<(u64, u64)> {
    let store = tidegate_store::connect(&StoreUrl::parse(&job.redis_url)?).await?;
    let lookout = Lookout::new(store, job)?;
    let hand = Hand::hire(job).await?;
    let owns_all = poll_until(SOON, async || {
        let holders = lookout.holders().await;
        holders.is_ok_and(|all| all.iter().flatten().count() == PARTITIONS as usize)
    });
    owns_all.await?;
    if job.behaviour == Behaviour::Stall {
        for _ in 0..PARTITIONS {
            hand.first_event().await?;
        }
    }
    let (mut read, mut since) = (0, Instant::now());
    while since.elapsed() < QUIET {
        sleep(LOOK_PAUSE).await;
        let now = lookout.pending().await?;
        if now != read {
            (read, since) = (now, Instant::now());
        }
    }
    Ok((peak_memory_bytes(hand.pid())?, read))
}
