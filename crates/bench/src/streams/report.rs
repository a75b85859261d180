//! The report: medians over the rounds, and the ratios that count.

use std::collections::BTreeMap;

use serde::Serialize;

use super::run::Contestant;
use super::workers::{Ended, Stalled, Takeovers};
use crate::median::median;
use crate::table::{render, thousands};
use crate::usage::Usage;

/// Above this, what others did meanwhile is noted.
const OTHERS_CORES_NOTED_ABOVE: f64 = 0.15;

/// Under which circumstances was measured.
#[derive(Debug, Serialize)]
pub(super) struct Setting {
    pub(super) redis_version: String,
    pub(super) events: u64,
    pub(super) rounds: u32,
    pub(super) partitions: u32,
    pub(super) count: u32,
    /// The mean JSON of a record.
    pub(super) record_bytes: u64,
}

/// Everything that is printed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    setting: Setting,
    /// By the name of what was measured: `send`, `batched_raw`, `batched`, `single`, and the two
    /// limits.
    #[serde(flatten)]
    figures: BTreeMap<&'static str, Figures>,
    /// How long partitions stand still when their owner ends.
    takeover: Takeovers,
    /// The memory of a worker whose processor doesn't go on.
    stalled: Stalled,
}

/// Medians of one contestant.
#[derive(Debug, Serialize)]
struct Figures {
    ops_per_second: f64,
    ratio_to_limit: f64,
    client_cpu_us: f64,
    redis_cpu_us: f64,
    peak_memory_bytes: f64,
    others_cores: f64,
    rounds_ops_per_second: Vec<f64>,
}

/// Each contestant with the limit that it is held against.
const RATIOS: [(Contestant, &str, Contestant); 6] = [
    (Contestant::RawLoop, "read_limit", Contestant::RawLoop),
    (Contestant::RawBatches, "batched_raw", Contestant::RawLoop),
    (Contestant::TypedBatches, "batched", Contestant::RawLoop),
    (Contestant::TypedSingle, "single", Contestant::RawLoop),
    (Contestant::RawSend, "send_limit", Contestant::RawSend),
    (Contestant::Send, "send", Contestant::RawSend),
];

impl Report {
    /// Sums up.
    pub(super) fn new(
        setting: Setting,
        usages: &[(Contestant, Usage)],
        takeover: Takeovers,
        stalled: Stalled,
    ) -> Self {
        let events = setting.events as f64;
        let of = |contestant: Contestant, figure: &dyn Fn(&Usage) -> f64| -> Vec<f64> {
            let own = usages.iter().filter(|(of, _)| *of == contestant);
            own.map(|(_, usage)| figure(usage)).collect()
        };
        let rate = |usage: &Usage| events / usage.elapsed_seconds;
        let figures = RATIOS.map(|(contestant, name, limit)| {
            let ops_per_second = median(of(contestant, &rate));
            let figures = Figures {
                ops_per_second,
                ratio_to_limit: ops_per_second / median(of(limit, &rate)),
                client_cpu_us: median(of(contestant, &|usage| usage.cpu.client * 1e6 / events)),
                redis_cpu_us: median(of(contestant, &|usage| usage.cpu.redis * 1e6 / events)),
                peak_memory_bytes: median(of(contestant, &|usage| usage.peak_memory_bytes as f64)),
                others_cores: median(of(contestant, &Usage::others_cores)),
                rounds_ops_per_second: of(contestant, &rate),
            };
            (name, figures)
        });
        Self {
            setting,
            figures: figures.into(),
            takeover,
            stalled,
        }
    }

    /// The report for people.
    pub(super) fn to_text(&self) -> String {
        let Setting {
            redis_version,
            events,
            rounds,
            partitions,
            count,
            record_bytes,
        } = &self.setting;
        let events = thousands(*events as f64);
        let mut lines = vec![
            format!("Redis {redis_version}: persistence none"),
            format!(
                "{events} events of {record_bytes} bytes of JSON over {partitions} partitions, at \
                 most {count} of a partition at once"
            ),
            "one connection, and for ours one that waits; leases, fenced acknowledgements and \
             policies as always"
                .to_owned(),
            format!("medians of {rounds} per figure, contestants in turn; CPU is per event\n"),
        ];
        let header = [
            "what",
            "events/s",
            "of the limit",
            "CPU µs: client",
            "Redis",
            "peak memory",
        ];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for (contestant, name, _) in RATIOS {
            let Some(figures) = self.figures.get(name) else {
                continue;
            };
            rows.push(vec![
                contestant.to_string(),
                thousands(figures.ops_per_second),
                format!("{:.2}", figures.ratio_to_limit),
                format!("{:.1}", figures.client_cpu_us),
                format!("{:.1}", figures.redis_cpu_us),
                format!("{:.0} MiB", figures.peak_memory_bytes / f64::from(1 << 20)),
            ]);
        }
        lines.push(render(&rows));
        let others = self.figures.values().map(|figures| figures.others_cores);
        let others = others.fold(0.0, f64::max);
        if others > OTHERS_CORES_NOTED_ABOVE {
            lines.push(format!(
                "\nOther programs kept up to {others:.1} cores busy meanwhile, so the ratios mean \
                 little: measure again on a quiet machine."
            ));
        }
        lines.push(self.takeover.to_text());
        lines.push(self.stalled.to_text());
        lines.join("\n")
    }
}

impl Takeovers {
    fn to_text(&self) -> String {
        let header = [
            "takeover",
            "first partition: median",
            "longest",
            "all: median",
            "longest",
            "limit",
        ];
        let row = |what: &str, ended: &Ended, limit: &str| {
            let Ended {
                limit_ms,
                is_within,
                first_partition: first,
                all_partitions: all,
            } = ended;
            let verdict = if *is_within { "" } else { ": MISSED" };
            vec![
                what.to_owned(),
                in_ms(first.median_ms),
                in_ms(first.longest_ms),
                in_ms(all.median_ms),
                in_ms(all.longest_ms),
                format!("{limit} {}{verdict}", in_ms(*limit_ms)),
            ]
        };
        let rows = [
            header.map(str::to_owned).to_vec(),
            row("after SIGTERM", &self.sigterm, "median of all <"),
            row("after SIGKILL", &self.sigkill, "longest of all ≤"),
        ];
        format!(
            "\nTwo workers, {} partitions, a lease of {}; one worker is ended while events flow, \
             {} times each: until the other has processed a first event\n\n{}",
            self.partitions,
            in_ms(self.lease_ms),
            self.sigterm.all_partitions.rounds_ms.len(),
            render(&rows)
        )
    }
}

impl Stalled {
    fn to_text(&self) -> String {
        let Self {
            partitions,
            entry_bytes,
            sent,
            read_ahead,
            idle_peak_bytes,
            peak_bytes,
            bound_bytes,
            is_within,
        } = self;
        let more = peak_bytes.saturating_sub(*idle_peak_bytes);
        let verdict = if *is_within { "within" } else { "MISSED:" };
        format!(
            "\nA worker with {} partitions that hold {} entries of {entry_bytes} bytes, whose \
             processor never asks for a second event:\n{} read ahead; peak memory {}, of which {} \
             without entries, so {} for them: {verdict} the bound of {}",
            thousands(f64::from(*partitions)),
            thousands(*sent as f64),
            thousands(*read_ahead as f64),
            in_mib(*peak_bytes),
            in_mib(*idle_peak_bytes),
            in_mib(more),
            in_mib(*bound_bytes),
        )
    }
}

fn in_ms(ms: f64) -> String {
    format!("{} ms", thousands(ms))
}

fn in_mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
