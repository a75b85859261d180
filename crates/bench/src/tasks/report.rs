//! The report: medians over the rounds, and the ratios that count.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::contestant::{Contestant, Stage};
use super::run::Measured;
use crate::median::median;
use crate::table::{render, thousands};

/// What ours is to be, compared with a peer: the factor in tasks a second.
const TARGETS: [(&str, f64); 2] = [("dramatiq", 8.0), ("bullmq", 3.0)];

/// Under which circumstances was measured.
#[derive(Debug, Serialize)]
pub(super) struct Setting {
    pub(super) redis_version: String,
    pub(super) cores: usize,
    pub(super) tasks: u64,
    pub(super) singles: u64,
    pub(super) rounds: u32,
    pub(super) enqueued_at_once: usize,
}

/// The contestant that is ours, and the one that it is held against first of all.
const OURS: &str = "tidegate";
const BASELINE: &str = "dramatiq";

/// Everything that is printed.
#[derive(Debug)]
pub(super) struct Report {
    setting: Setting,
    /// Who took part, with its settings.
    contestants: Vec<String>,
    /// By stage, then by contestant.
    rates: BTreeMap<&'static str, BTreeMap<&'static str, Rate>>,
    latency_ms: BTreeMap<&'static str, Latency>,
    /// Whether each promise is kept.
    targets: BTreeMap<String, bool>,
}

/// Medians of one contestant.
#[derive(Debug, Serialize)]
struct Rate {
    ops_per_second: f64,
    /// Ours by Dramatiq's, or of a peer ours by its.
    ratio_to_baseline: Option<f64>,
    rounds_ops_per_second: Vec<f64>,
    client_cpu_us: Option<f64>,
    redis_cpu_us: Option<f64>,
    peak_memory_bytes: Option<f64>,
}

/// Medians over the rounds of each percentile.
#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p99: f64,
}

type Figures = [(Contestant, Stage, Measured)];

impl Report {
    /// Sums up.
    pub(super) fn new(setting: Setting, contestants: &[Contestant], figures: &Figures) -> Self {
        let of = |contestant: Contestant, stage: Stage| -> Vec<&Measured> {
            let own = figures.iter();
            let own = own.filter(|(who, what, _)| *who == contestant && *what == stage);
            own.map(|(_, _, measured)| measured).collect()
        };
        let mut rates: BTreeMap<&'static str, BTreeMap<&'static str, Rate>> = BTreeMap::new();
        let mut latency_ms = BTreeMap::new();
        for contestant in contestants {
            for stage in Stage::ALL {
                let measured = of(*contestant, stage);
                if measured.is_empty() {
                    continue;
                }
                if stage == Stage::Latency {
                    latency_ms.insert(contestant.key(), Latency::of(&measured));
                } else {
                    let rates = rates.entry(stage.key()).or_default();
                    rates.insert(contestant.key(), Rate::of(&measured));
                }
            }
        }
        for rates in rates.values_mut() {
            let of = |name| rates.get(name).map(|rate: &Rate| rate.ops_per_second);
            let (ours, baseline) = (of(OURS), of(BASELINE));
            for (name, rate) in rates {
                let other = match *name {
                    OURS => baseline,
                    _ => Some(rate.ops_per_second),
                };
                rate.ratio_to_baseline = ours.zip(other).map(|(ours, other)| ours / other);
            }
        }
        let mut report = Self {
            setting,
            contestants: contestants.iter().map(ToString::to_string).collect(),
            rates,
            latency_ms,
            targets: BTreeMap::new(),
        };
        report.targets = report.judge();
        report
    }

    /// Whether each promise is kept, as far as was measured.
    fn judge(&self) -> BTreeMap<String, bool> {
        let mut targets = BTreeMap::new();
        let process = self.rates.get(Stage::Process.key());
        for (peer, factor) in TARGETS {
            let ratio = process.and_then(|it| it.get(peer)?.ratio_to_baseline);
            if let Some(ratio) = ratio {
                targets.insert(format!("process ≥ {factor} × {peer}"), ratio >= factor);
            }
        }
        if let Some(bulk) = self.rates.get(Stage::Bulk.key())
            && bulk.len() > 1
        {
            let mut peers = bulk.iter().filter(|(name, _)| **name != OURS);
            let is_above = peers.all(|(_, it)| it.ratio_to_baseline.is_some_and(|it| it > 1.0));
            targets.insert("bulk enqueue above every peer".into(), is_above);
        }
        if let Some(ours) = self.latency_ms.get(OURS) {
            let peers = || self.latency_ms.iter().filter(|(name, _)| **name != OURS);
            if peers().next().is_some() {
                let is_below = peers().all(|(_, it)| ours.p50 < it.p50);
                targets.insert("p50 latency below every peer's".into(), is_below);
                let is_below = peers().all(|(_, it)| ours.p99 < it.p99);
                targets.insert("p99 latency below every peer's".into(), is_below);
            }
        }
        targets
    }

    /// One object: our figures under the name of what was measured, those of peers under `peers`.
    ///
    /// # Errors
    /// None that is expected.
    pub(super) fn to_json(&self) -> serde_json::Result<String> {
        let mut object = Map::new();
        if let Value::Object(setting) = serde_json::to_value(&self.setting)? {
            object.extend(setting);
        }
        object.insert(
            "contestants".into(),
            serde_json::to_value(&self.contestants)?,
        );
        object.insert("targets".into(), serde_json::to_value(&self.targets)?);
        for (stage, rates) in &self.rates {
            object.insert((*stage).into(), by_contestant(rates)?);
        }
        let latency_ms = by_contestant(&self.latency_ms)?;
        object.insert(Stage::Latency.key().into(), latency_ms);
        serde_json::to_string(&object)
    }

    /// A table for people.
    pub(super) fn to_text(&self) -> String {
        let Setting {
            redis_version,
            cores,
            tasks,
            singles,
            rounds,
            enqueued_at_once,
        } = &self.setting;
        let mut lines = vec![
            format!(
                "{} no-op tasks; Redis {redis_version} that keeps nothing on disk; {cores} cores; \
                 medians of {rounds} rounds, contestants in turn",
                thousands(*tasks as f64)
            ),
            format!("contestants: {}", self.contestants.join("; ")),
            format!(
                "one by one: {singles} tasks, one caller; in bulk: ours {enqueued_at_once} at once\n"
            ),
        ];
        let header = [
            "what",
            "tasks/s",
            "ours by it (by Dramatiq's)",
            "CPU µs: client",
            "Redis",
            "peak memory",
        ];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for (stage, rates) in &self.rates {
            for (contestant, rate) in rates {
                rows.push(rate.row(&format!("{stage}: {contestant}")));
            }
        }
        lines.push(render(&rows));
        let header = ["latency enqueue → start, 100 tasks/s", "p50 ms", "p99 ms"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for (contestant, latency) in &self.latency_ms {
            let figures = [latency.p50, latency.p99].map(|it| format!("{it:.2}"));
            rows.push([vec![(*contestant).to_owned()], figures.to_vec()].concat());
        }
        lines.push(format!("\n{}\n", render(&rows)));
        for (target, is_kept) in &self.targets {
            let verdict = if *is_kept { "reached" } else { "MISSED" };
            lines.push(format!("{verdict}: {target}"));
        }
        lines.join("\n")
    }
}

fn by_contestant<T: Serialize>(figures: &BTreeMap<&'static str, T>) -> serde_json::Result<Value> {
    let (mut ours, mut peers) = (Map::new(), Map::new());
    for (name, figure) in figures {
        match (*name, serde_json::to_value(figure)?) {
            (OURS, Value::Object(own)) => ours.extend(own),
            (peer, figure) => {
                peers.insert(peer.to_owned(), figure);
            }
        }
    }
    ours.insert("peers".into(), Value::Object(peers));
    Ok(Value::Object(ours))
}

impl Rate {
    fn of(measured: &[&Measured]) -> Self {
        let rounds: Vec<f64> = measured.iter().map(|it| it.rate(it.count)).collect();
        let cost = |figure: &dyn Fn(&Measured) -> Option<f64>| {
            let figures: Vec<f64> = measured.iter().filter_map(|it| figure(it)).collect();
            (!figures.is_empty()).then(|| median(figures))
        };
        let each_us = |seconds: f64, count: u64| seconds * 1e6 / count as f64;
        Self {
            ops_per_second: median(rounds.clone()),
            ratio_to_baseline: None,
            rounds_ops_per_second: rounds,
            client_cpu_us: cost(&|it| Some(each_us(it.usage?.cpu.client, it.count))),
            redis_cpu_us: cost(&|it| Some(each_us(it.usage?.cpu.redis, it.count))),
            peak_memory_bytes: cost(&|it| Some(it.usage?.peak_memory_bytes as f64)),
        }
    }

    fn row(&self, what: &str) -> Vec<String> {
        let or_none = |figure: Option<f64>, text: &dyn Fn(f64) -> String| {
            figure.map_or_else(|| "-".to_owned(), text)
        };
        let us = |it: f64| format!("{it:.1}");
        vec![
            what.to_owned(),
            thousands(self.ops_per_second),
            or_none(self.ratio_to_baseline, &|it| format!("{it:.2}")),
            or_none(self.client_cpu_us, &us),
            or_none(self.redis_cpu_us, &us),
            or_none(self.peak_memory_bytes, &|it| {
                format!("{:.0} MiB", it / f64::from(1 << 20))
            }),
        ]
    }
}

impl Latency {
    fn of(measured: &[&Measured]) -> Self {
        let at = |part: f64| median(measured.iter().map(|it| it.percentile_ms(part)).collect());
        Self {
            p50: at(0.5),
            p99: at(0.99),
        }
    }
}
