//! A log that steps back: what is done when the store has lost entries that the ledger has settled.
//!
//! ```text
//! claim ─► entries at or before the position? ─► judged by the ledger's memory
//!               none, and the log is not behind: go on
//!               new ones, or the log is behind ─► carried behind the position, alarm
//! ```
//!
//! A replica that is promoted lacks the last writes of the master that died. Entries that were
//! settled are gone, which harms nobody; or they are there again, because their trimming was lost;
//! and what is appended now gets ids by another clock, perhaps at or before the ledger's position,
//! where nobody would read it. So whoever claims a shard looks at what lies there, before it
//! tells the store anything.
//!
//! It guarantees that an entry which the ledger remembers is not applied again, and that a new one
//! is read, in the order of the log. The memory holds some 30,000 entries per shard at least; an
//! entry older than it is taken for settled, and said so. If the process dies here, the ids were
//! moved or were not, and the next owner looks again.

use tidegate_store::{Entry, EntryId, Forward, Lag, Lease, ReadLimit, Store};
use tracing::{error, warn};

use crate::error::Result;
use crate::observer::StepBack;
use crate::options::Options;
use crate::recent::{Origin, Recent};
use crate::sink::Sink;

/// What lies at or before the ledger's position.
#[derive(Debug, Default)]
struct Findings {
    /// Entries that were never seen, in order.
    new: Vec<EntryId>,
    /// How far everything is looked at.
    seen: EntryId,
    /// Entries older than the memory.
    forgotten: u64,
}

/// Looks whether the log has stepped back behind `position`, and mends it.
///
/// # Errors
/// Those of the store and the sink; then nothing was changed, or all of it was mended.
pub(crate) async fn mend(
    store: &dyn Store,
    sink: &dyn Sink,
    options: &Options,
    lease: &Lease,
    (position, lag): (EntryId, Lag),
) -> Result<Option<StepBack>> {
    let findings = look(store, sink, options, lease, (position, lag)).await?;
    if position == EntryId::ZERO || findings.new.is_empty() && lag.last_id >= position {
        return Ok(None);
    }
    let shard = &lease.partition;
    let ledger = sink.ledger(&shard.stream).await?;
    let row = ledger.iter().find(|row| row.shard == shard.index);
    let forward = Forward {
        through: position,
        seen: findings.seen,
        carried: findings.new,
        settled: row.map_or(0, |row| {
            row.preceding + row.applied + row.dead + row.waiting + row.parked + row.discarded
        }),
    };
    let carried = store.move_last_id_forward(lease, &forward).await?;
    error!(%shard, %position, last_id = %lag.last_id, carried,
        "the log has stepped back behind the ledger: it has lost entries that it had acknowledged \
         (a failover to a replica that lagged?); its ids go on behind what is settled now, nothing \
         is applied twice, and new entries that came in meanwhile follow");
    if findings.forgotten > 0 {
        warn!(%shard, entries = findings.forgotten,
            "entries older than the ledger's memory were taken for settled");
    }
    Ok(Some(StepBack {
        shard: shard.index,
        position,
        last_id: lag.last_id,
        carried,
        forgotten: findings.forgotten,
    }))
}

/// Judges what the log has at or before the position. Mostly nothing is there: what is settled is
/// trimmed.
async fn look(
    store: &dyn Store,
    sink: &dyn Sink,
    options: &Options,
    lease: &Lease,
    (position, lag): (EntryId, Lag),
) -> Result<Findings> {
    let shard = &lease.partition;
    let mut findings = Findings {
        seen: lag.last_id.min(position),
        ..Findings::default()
    };
    let one = ReadLimit {
        entries: 1,
        bytes: 1,
    };
    let first = store.read_after(shard, EntryId::ZERO, one).await?;
    if first.first().is_none_or(|entry| entry.id > position) {
        return Ok(findings);
    }
    let recent = Recent::read(&sink.recent(shard).await?, position);
    // What lies before the memory can't be judged; it is only counted where it is cheap.
    let mut after = recent.after().unwrap_or(position);
    if first.first().is_some_and(|entry| entry.id <= after) {
        findings.forgotten = 1;
    }
    while after < position {
        let entries = store.read_after(shard, after, options.read_limit()).await?;
        let Some(last) = entries.last() else { break };
        after = last.id;
        for entry in entries.iter().filter(|entry| entry.id <= position) {
            note(&mut findings, &recent, entry);
        }
    }
    Ok(findings)
}

fn note(findings: &mut Findings, recent: &Recent, entry: &Entry) {
    findings.seen = findings.seen.max(entry.id);
    match recent.judge(entry) {
        Origin::Settled => {}
        Origin::New => findings.new.push(entry.id),
        Origin::Forgotten => findings.forgotten += 1,
    }
}
