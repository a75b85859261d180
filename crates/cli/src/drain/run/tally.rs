//! The tally: what this worker has committed so far, counted as it happens.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tidegate_drain::Observer;
use tidegate_drain::apply::Settled;
use tidegate_drain::observer::Batch;
use tracing::warn;

use crate::output::{count, things};

/// The significant digits of a delay.
const DELAY_DIGITS: u8 = 3;

/// Counts batches, and prints a JSON line for each where that was asked for.
#[derive(Debug)]
pub(crate) struct Tally {
    started: Instant,
    counts: Mutex<Counts>,
    /// Whether batches are printed; turned off when nobody reads them any more.
    prints: AtomicBool,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// What became of the entries.
    pub(crate) settled: Settled,
    /// Transactions committed.
    pub(crate) batches: u64,
    /// Transactions rolled back because the ledger had moved.
    pub(crate) fenced: u64,
    /// How long the shutdown took; the longest of all tenants'.
    shutdown: Option<Duration>,
    /// The time from append to commit, for each entry. None before the first one.
    delays_ms: Option<Histogram<u64>>,
}

impl Tally {
    /// A tally that begins now.
    pub(crate) fn new(prints: bool) -> Self {
        Self {
            started: Instant::now(),
            counts: Mutex::default(),
            prints: AtomicBool::new(prints),
        }
    }

    /// What was counted, as of now.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether the tally prints lines of its own.
    pub(crate) fn is_printing(&self) -> bool {
        self.prints.load(Ordering::Relaxed)
    }

    /// Since when it counts.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The sums for machines.
    pub(crate) fn summary(&self) -> Value {
        let counts = self.counts();
        let seconds = (self.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        json!({
            "applied": counts.settled.applied,
            "dead": counts.settled.dead,
            "waiting": counts.settled.waiting,
            "parked": counts.settled.parked,
            "skipped": counts.settled.skipped,
            "stale": counts.settled.stale,
            "batches": counts.batches,
            "fenced": counts.fenced,
            "seconds": seconds,
            "shutdown_ms": counts.shutdown.map(|took| took.as_millis()),
            "delay_ms_p50": counts.delay_ms(0.5),
            "delay_ms_p99": counts.delay_ms(0.99),
        })
    }

    /// The sums for people.
    pub(crate) fn sentence(&self) -> String {
        let counts = self.counts();
        let seconds = self.elapsed().as_secs_f64();
        let applied = things(counts.settled.applied, "operation");
        let batches = things(counts.batches, "transaction");
        let delay = match (counts.delay_ms(0.5), counts.delay_ms(0.99)) {
            (Some(p50), Some(p99)) => {
                format!(
                    "; half of them within {} ms, 99 % within {} ms",
                    count(p50),
                    count(p99)
                )
            }
            _ => String::new(),
        };
        let held = match held_in_words(&counts.settled) {
            held if held.is_empty() => String::new(),
            held => format!("; {held}"),
        };
        format!("Applied {applied} in {batches}, in {seconds:.1} s{delay}{held}.")
    }

    /// Who counts for a tenant, or for the only one.
    pub(crate) fn of(self: &Arc<Self>, tenant: Option<&str>) -> Arc<dyn Observer> {
        Arc::new(OfTenant {
            tally: Arc::clone(self),
            tenant: tenant.map(str::to_owned),
        })
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn print(&self, tenant: Option<&str>, batch: &Batch) {
        let mut delays_ms: BTreeMap<u64, u64> = BTreeMap::new();
        for delay_ms in &batch.delays_ms {
            *delays_ms.entry(*delay_ms).or_default() += 1;
        }
        let mut line = json!({
            "shard": batch.shard,
            "applied": batch.settled.applied,
            "dead": batch.settled.dead,
            "waiting": batch.settled.waiting,
            "parked": batch.settled.parked,
            "delays_ms": delays_ms,
        });
        if let (Some(tenant), Some(line)) = (tenant, line.as_object_mut()) {
            line.insert("tenant".to_owned(), tenant.into());
        }
        // Written at once: whoever reads must know of it even if the process is killed now.
        let mut out = io::stdout().lock();
        let written = out
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| out.flush());
        if let Err(error) = written
            && self.prints.swap(false, Ordering::Relaxed)
        {
            warn!(%error, "nobody reads the batches any more; draining goes on without telling");
        }
    }
}

/// Counts for one tenant.
#[derive(Debug)]
struct OfTenant {
    tally: Arc<Tally>,
    tenant: Option<String>,
}

impl Observer for OfTenant {
    fn committed(&self, batch: &Batch) {
        self.tally.change(|counts| counts.add(batch));
        if self.tally.is_printing() {
            self.tally.print(self.tenant.as_deref(), batch);
        }
    }

    fn fenced(&self, _shard: u32) {
        self.tally.change(|counts| counts.fenced += 1);
    }

    fn stopped(&self, took: Duration) {
        self.tally
            .change(|counts| counts.shutdown = counts.shutdown.max(Some(took)));
    }
}

impl Counts {
    fn add(&mut self, batch: &Batch) {
        let settled = &batch.settled;
        self.batches += 1;
        self.settled.applied += settled.applied;
        self.settled.dead += settled.dead;
        self.settled.waiting += settled.waiting;
        self.settled.parked += settled.parked;
        self.settled.skipped += settled.skipped;
        self.settled.stale += settled.stale;
        if self.delays_ms.is_none() {
            self.delays_ms = Histogram::new(DELAY_DIGITS).ok();
        }
        if let Some(histogram) = &mut self.delays_ms {
            for delay_ms in &batch.delays_ms {
                // It grows by itself, so there is no delay that it can't hold.
                let _ = histogram.record(*delay_ms);
            }
        }
    }

    fn delay_ms(&self, quantile: f64) -> Option<u64> {
        let histogram = self
            .delays_ms
            .as_ref()
            .filter(|histogram| !histogram.is_empty())?;
        Some(histogram.value_at_quantile(quantile))
    }
}

/// What was held, in words; empty where nothing was.
pub(crate) fn held_in_words(settled: &Settled) -> String {
    let parts = [
        (settled.dead, "dead"),
        (settled.waiting, "waiting"),
        (settled.parked, "parked"),
    ];
    let shown = parts.into_iter().filter(|(number, _)| *number > 0);
    let shown: Vec<String> = shown
        .map(|(number, name)| format!("{} {name}", count(number)))
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use tidegate_store::EntryId;

    use super::*;

    #[test]
    fn a_tally_adds_up() {
        let tally = Arc::new(Tally::new(false));
        let observer = tally.of(None);
        assert_eq!(tally.summary()["delay_ms_p50"], Value::Null);
        let settled = Settled {
            applied: 2,
            dead: 1,
            ..Settled::default()
        };
        observer.committed(&Batch {
            shard: 0,
            settled,
            delays_ms: vec![5, 7, 900],
            through: EntryId::ZERO,
            pace: None,
        });
        observer.committed(&Batch {
            shard: 1,
            settled,
            delays_ms: vec![5, 5, 5],
            through: EntryId::ZERO,
            pace: None,
        });
        let summary = tally.summary();
        assert_eq!(
            (&summary["applied"], &summary["dead"]),
            (&json!(4), &json!(2))
        );
        assert_eq!(
            (&summary["delay_ms_p50"], &summary["batches"]),
            (&json!(5), &json!(2))
        );
        assert!(
            tally
                .sentence()
                .contains("Applied 4 operations in 2 transactions")
        );
        assert!(
            tally.sentence().ends_with("; 2 dead."),
            "{}",
            tally.sentence()
        );
    }
}
