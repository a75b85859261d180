//! Metrics: what the drain counts for Prometheus.
//!
//! ```text
//! shards ─ Observer ─► TenantMetrics ─► families ─► a registry, whoever serves it
//! ```
//!
//! The label sets are bounded: tenants are configured, kinds of errors and states are few, and a
//! stream with more than [`SHARD_LABELS_MAX`] shards is counted as a whole. Histograms have no
//! shard at all. Counts begin with the process and are gone with it; the ledger keeps what must
//! not be forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tidegate_store::Entry;

use crate::apply::Step;
use crate::error::Error;
use crate::observer::{Batch, Observer, StepBack};
use crate::options::Options;

/// The most shards of a stream that are told apart.
pub const SHARD_LABELS_MAX: u32 = 256;

/// Upper bounds of the delay from push to commit, in seconds.
const DELAY_BOUNDS: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 1800.0,
];
/// Upper bounds of the time of a transaction, in seconds.
const TRANSACTION_BOUNDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];
/// Upper bounds of the number of entries in a transaction.
const BATCH_BOUNDS: [f64; 11] = [
    1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTenant {
    tenant: Option<String>,
    stream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfShard {
    tenant: Option<String>,
    stream: String,
    shard: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    tenant: Option<String>,
    stream: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    tenant: Option<String>,
    stream: String,
    kind: &'static str,
}

type Histograms = Family<OfTenant, Histogram, fn() -> Histogram>;

/// The metrics of all drains of a process.
#[derive(Clone, Debug)]
pub struct Metrics {
    families: Arc<Families>,
}

#[derive(Debug)]
struct Families {
    taken: Family<OfShard, Counter>,
    applied: Family<OfShard, Counter>,
    transactions: Family<OfShard, Counter>,
    held: Family<OfState, Counter>,
    left_out: Family<OfState, Counter>,
    trims: Family<OfTenant, Counter>,
    trimmed: Family<OfTenant, Counter>,
    fenced: Family<OfTenant, Counter>,
    steps_back: Family<OfTenant, Counter>,
    leases_lost: Family<OfTenant, Counter>,
    errors: Family<OfKind, Counter>,
    owned: Family<OfTenant, Gauge>,
    batch_entries: Histograms,
    transaction_time: Histograms,
    delay: Histograms,
    batch_max: Family<OfTenant, Gauge>,
    at_work: Family<OfTenant, Gauge>,
    at_work_max: Family<OfTenant, Gauge>,
    shutdown_time: Family<OfTenant, Gauge<f64, std::sync::atomic::AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics of which nothing is counted yet.
    #[must_use]
    pub fn new() -> Self {
        let histograms =
            |new: fn() -> Histogram| Family::<OfTenant, Histogram, _>::new_with_constructor(new);
        let families = Families {
            taken: Family::default(),
            applied: Family::default(),
            transactions: Family::default(),
            held: Family::default(),
            left_out: Family::default(),
            trims: Family::default(),
            trimmed: Family::default(),
            fenced: Family::default(),
            steps_back: Family::default(),
            leases_lost: Family::default(),
            errors: Family::default(),
            owned: Family::default(),
            batch_entries: histograms(|| Histogram::new(BATCH_BOUNDS)),
            transaction_time: histograms(|| Histogram::new(TRANSACTION_BOUNDS)),
            delay: histograms(|| Histogram::new(DELAY_BOUNDS)),
            batch_max: Family::default(),
            at_work: Family::default(),
            at_work_max: Family::default(),
            shutdown_time: Family::default(),
        };
        Self {
            families: Arc::new(families),
        }
    }

    /// Adds them to a registry, under names that begin with `tidegate_drain_`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("tidegate_drain");
        let of = &self.families;
        let counters = [
            ("entries_taken", "Entries taken up to be settled", &of.taken),
            ("entries_applied", "Entries applied", &of.applied),
            ("transactions", "Transactions committed", &of.transactions),
        ];
        for (name, help, family) in counters {
            registry.register(name, help, family.clone());
        }
        let help = "Entries held back, by state: dead letters, and those that wait or are parked";
        registry.register("entries_held", help, of.held.clone());
        let help =
            "Changes that a policy left out, by why: the row was there or was not, or is newer";
        registry.register("changes_left_out", help, of.left_out.clone());
        let counters = [
            ("trims", "Times the stream was trimmed", &of.trims),
            ("entries_trimmed", "Entries trimmed", &of.trimmed),
            (
                "transactions_fenced",
                "Transactions rolled back because the ledger had moved",
                &of.fenced,
            ),
            (
                "log_steps_back",
                "Times the log had lost entries that were settled already",
                &of.steps_back,
            ),
            ("leases_lost", "Leases on shards lost", &of.leases_lost),
        ];
        for (name, help, family) in counters {
            registry.register(name, help, family.clone());
        }
        let help = "Times a shard or the worker could not go on, by kind of error";
        registry.register("errors", help, of.errors.clone());
        let gauges = [
            (
                "shards_owned",
                "Shards that this process drains now",
                &of.owned,
            ),
            (
                "batch_entries_max",
                "The most entries that the shard of the last batch reads next",
                &of.batch_max,
            ),
            (
                "shards_at_work",
                "Shards at work at the last commit",
                &of.at_work,
            ),
            (
                "shards_at_work_max",
                "The most shards that are let work at once at present",
                &of.at_work_max,
            ),
        ];
        for (name, help, family) in gauges {
            registry.register(name, help, family.clone());
        }
        let help = "Entries of a transaction";
        registry.register("batch_entries", help, of.batch_entries.clone());
        let seconds = || Unit::Seconds;
        let help = "Time of a transaction in the database";
        registry.register_with_unit("transaction", help, seconds(), of.transaction_time.clone());
        let help = "Time from an entry's push to the commit that settled it";
        registry.register_with_unit("delay", help, seconds(), of.delay.clone());
        let help = "Time that the last shutdown in order took";
        registry.register_with_unit("shutdown", help, seconds(), of.shutdown_time.clone());
    }

    /// Who counts for one stream of a tenant, or of everybody.
    #[must_use]
    pub fn of(&self, tenant: Option<&str>, options: &Options) -> Arc<dyn Observer> {
        let labels = OfTenant {
            tenant: tenant.map(str::to_owned),
            stream: options.stream.to_string(),
        };
        let told_apart = match options.partitions {
            partitions if partitions <= SHARD_LABELS_MAX => partitions,
            _ => 0,
        };
        // With their first count already there, a rate over them is right from the beginning.
        let of = &self.families;
        let state = |state| of.held.get_or_create_owned(&labels.state(state));
        Arc::new(TenantMetrics {
            shards: (0..told_apart).map(|_| OnceLock::new()).collect(),
            whole: OnceLock::new(),
            dead: state("dead"),
            waiting: state("waiting"),
            parked: state("parked"),
            skipped: of.left_out.get_or_create_owned(&labels.state("skipped")),
            stale: of.left_out.get_or_create_owned(&labels.state("stale")),
            trims: of.trims.get_or_create_owned(&labels),
            trimmed: of.trimmed.get_or_create_owned(&labels),
            fenced: of.fenced.get_or_create_owned(&labels),
            steps_back: of.steps_back.get_or_create_owned(&labels),
            leases_lost: of.leases_lost.get_or_create_owned(&labels),
            owned: of.owned.get_or_create_owned(&labels),
            batch_entries: of.batch_entries.get_or_create_owned(&labels),
            transaction_time: of.transaction_time.get_or_create_owned(&labels),
            delay: of.delay.get_or_create_owned(&labels),
            batch_max: of.batch_max.get_or_create_owned(&labels),
            at_work: of.at_work.get_or_create_owned(&labels),
            at_work_max: of.at_work_max.get_or_create_owned(&labels),
            begun: Mutex::default(),
            families: Arc::clone(of),
            labels,
        })
    }
}

impl OfTenant {
    fn state(&self, state: &'static str) -> OfState {
        let Self { tenant, stream } = self.clone();
        OfState {
            tenant,
            stream,
            state,
        }
    }
}

/// Counts for one stream.
#[derive(Debug)]
struct TenantMetrics {
    families: Arc<Families>,
    labels: OfTenant,
    /// Those that are told apart, once they are seen.
    shards: Vec<OnceLock<ShardMetrics>>,
    /// All others together.
    whole: OnceLock<ShardMetrics>,
    dead: Counter,
    waiting: Counter,
    parked: Counter,
    skipped: Counter,
    stale: Counter,
    trims: Counter,
    trimmed: Counter,
    fenced: Counter,
    steps_back: Counter,
    leases_lost: Counter,
    owned: Gauge,
    batch_entries: Histogram,
    transaction_time: Histogram,
    delay: Histogram,
    batch_max: Gauge,
    at_work: Gauge,
    at_work_max: Gauge,
    /// When each shard's open transaction was begun.
    begun: Mutex<HashMap<u32, Instant>>,
}

#[derive(Debug)]
struct ShardMetrics {
    taken: Counter,
    applied: Counter,
    transactions: Counter,
}

impl TenantMetrics {
    fn shard(&self, index: u32) -> &ShardMetrics {
        let (place, shard) = match self.shards.get(index as usize) {
            Some(place) => (place, Some(index)),
            None => (&self.whole, None),
        };
        place.get_or_init(|| {
            let OfTenant { tenant, stream } = self.labels.clone();
            let labels = OfShard {
                tenant,
                stream,
                shard,
            };
            ShardMetrics {
                taken: self.families.taken.get_or_create_owned(&labels),
                applied: self.families.applied.get_or_create_owned(&labels),
                transactions: self.families.transactions.get_or_create_owned(&labels),
            }
        })
    }

    fn begun(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Instant>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for TenantMetrics {
    fn step(&self, shard: u32, step: Step) {
        match step {
            Step::Begun => {
                self.begun().insert(shard, Instant::now());
            }
            Step::Committed => {
                if let Some(begun) = self.begun().remove(&shard) {
                    self.transaction_time.observe(begun.elapsed().as_secs_f64());
                }
            }
            _ => {}
        }
    }

    fn taken(&self, shard: u32, entries: &[Entry]) {
        self.shard(shard).taken.inc_by(entries.len() as u64);
    }

    fn committed(&self, batch: &Batch) {
        let shard = self.shard(batch.shard);
        shard.transactions.inc();
        shard.applied.inc_by(batch.settled.applied);
        self.dead.inc_by(batch.settled.dead);
        self.waiting.inc_by(batch.settled.waiting);
        self.parked.inc_by(batch.settled.parked);
        self.skipped.inc_by(batch.settled.skipped);
        self.stale.inc_by(batch.settled.stale);
        if !batch.delays_ms.is_empty() {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a batch has fewer entries than 2^52"
            )]
            self.batch_entries.observe(batch.delays_ms.len() as f64);
        }
        if let Some(pace) = batch.pace {
            let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
            self.batch_max.set(number(pace.batch_entries_max));
            self.at_work.set(number(pace.shards_at_work));
            self.at_work_max.set(number(pace.shards_at_work_max));
        }
        for delay_ms in &batch.delays_ms {
            self.delay
                .observe(Duration::from_millis(*delay_ms).as_secs_f64());
        }
    }

    fn trimmed(&self, _shard: u32, entries: u64) {
        self.trims.inc();
        self.trimmed.inc_by(entries);
    }

    fn fenced(&self, _shard: u32) {
        self.fenced.inc();
    }

    fn stepped_back(&self, _step_back: &StepBack) {
        self.steps_back.inc();
    }

    fn failed(&self, _shard: Option<u32>, error: &Error) {
        let OfTenant { tenant, stream } = self.labels.clone();
        let labels = OfKind {
            tenant,
            stream,
            kind: error.kind(),
        };
        self.families.errors.get_or_create(&labels).inc();
    }

    fn began(&self, _shard: u32) {
        self.owned.inc();
    }

    fn ended(&self, shard: u32, is_lost: bool) {
        self.owned.dec();
        // What it had begun was rolled back.
        self.begun().remove(&shard);
        if is_lost {
            self.leases_lost.inc();
        }
    }

    fn stopped(&self, took: Duration) {
        let gauge = self
            .families
            .shutdown_time
            .get_or_create_owned(&self.labels);
        gauge.set(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use tidegate_store::{EntryId, StreamName};

    use super::*;
    use crate::apply::Settled;
    use crate::observer::Pace;

    fn batch(shard: u32, applied: u64, dead: u64) -> Batch {
        let settled = Settled {
            applied,
            dead,
            ..Settled::default()
        };
        Batch {
            shard,
            settled,
            delays_ms: vec![3; 4],
            through: EntryId::ZERO,
            pace: Some(Pace {
                batch_entries_max: 500,
                took: Duration::ZERO,
                answer: Duration::ZERO,
                shards_at_work: 2,
                shards_at_work_max: 3,
            }),
        }
    }

    fn shown(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn tenants_are_told_apart_and_each_name_is_described_once() {
        let metrics = Metrics::new();
        let options = Options::new(StreamName::new("S").unwrap(), 4);
        let (a, b) = (
            metrics.of(Some("a"), &options),
            metrics.of(Some("b"), &options),
        );
        a.committed(&batch(1, 3, 1));
        b.committed(&batch(1, 4, 0));
        b.step(1, Step::Begun);
        b.step(1, Step::Committed);
        b.stopped(Duration::from_millis(1500));
        let text = shown(&metrics);
        for line in [
            r#"tidegate_drain_entries_applied_total{tenant="a",stream="S",shard="1"} 3"#,
            r#"tidegate_drain_entries_applied_total{tenant="b",stream="S",shard="1"} 4"#,
            r#"tidegate_drain_entries_held_total{tenant="a",stream="S",state="dead"} 1"#,
            r#"tidegate_drain_delay_seconds_bucket{le="0.005",tenant="a",stream="S"} 4"#,
            r#"tidegate_drain_transaction_seconds_count{tenant="b",stream="S"} 1"#,
            r#"tidegate_drain_batch_entries_max{tenant="a",stream="S"} 500"#,
            r#"tidegate_drain_shards_at_work_max{tenant="b",stream="S"} 3"#,
            r#"tidegate_drain_shutdown_seconds{tenant="b",stream="S"} 1.5"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        let described = text.matches("# TYPE tidegate_drain_entries_applied counter");
        assert_eq!(described.count(), 1);
    }

    #[test]
    fn a_stream_of_many_shards_has_no_labels_for_them() {
        let metrics = Metrics::new();
        let options = Options::new(StreamName::new("S").unwrap(), SHARD_LABELS_MAX + 1);
        let observer = metrics.of(None, &options);
        for shard in 0..=SHARD_LABELS_MAX {
            observer.committed(&batch(shard, 1, 0));
        }
        let text = shown(&metrics);
        let line = r#"tidegate_drain_entries_applied_total{tenant="",stream="S",shard=""} 257"#;
        assert!(text.contains(line), "{text}");
        assert_eq!(text.matches("entries_applied_total{").count(), 1);
    }
}
