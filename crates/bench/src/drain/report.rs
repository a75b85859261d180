//! The report: medians over the rounds, and the ratios that count.

use serde::Serialize;

use super::contest::Round;
use super::delay::Delay;
use super::workload::Workload;
use crate::median::median;
use crate::servers::ServerFacts;
use crate::table::{render, thousands};
use crate::usage::Usage;

/// Above this, what others did meanwhile is noted.
const OTHERS_CORES_NOTED_ABOVE: f64 = 0.15;

/// Under which circumstances was measured.
#[derive(Debug, Serialize)]
pub(super) struct Setting {
    pub(super) servers: ServerFacts,
    /// The median time to have a page on disk, in microseconds.
    pub(super) disk_sync_us: u128,
    pub(super) cores: usize,
    pub(super) shards: u32,
    pub(super) batch: u32,
    pub(super) connections: u32,
    pub(super) baseline_connections: u32,
    pub(super) limit_connections: u32,
    pub(super) operations: u64,
    pub(super) baseline_operations: u64,
    pub(super) rounds: u32,
    /// The mean JSON of an operation, when all are inserts.
    pub(super) row_bytes: u64,
    /// The mean JSON of an operation, when half are updates.
    pub(super) mixed_bytes: u64,
}

/// Everything that is printed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    setting: Setting,
    inserts: Comparison,
    mixed: Comparison,
    delay: Vec<Delay>,
}

/// The contestants on one workload. The figures without a name are Tidegate's.
#[derive(Debug, Serialize)]
struct Comparison {
    #[serde(flatten)]
    tidegate: Figures,
    ratio_to_limit: f64,
    ratio_to_baseline: f64,
    limit_ops_per_second: f64,
    baseline_ops_per_second: f64,
    limit: Figures,
    baseline: Figures,
}

/// Medians of one contestant.
#[derive(Debug, Serialize)]
struct Figures {
    ops_per_second: f64,
    cpu_us_per_operation: CpuMicros,
    peak_memory_bytes: f64,
    /// How many cores everybody else kept busy meanwhile.
    others_cores: f64,
    /// What the median is of, in the order of the rounds.
    rounds_ops_per_second: Vec<f64>,
}

/// Processor time per operation, in microseconds.
#[derive(Debug, Serialize)]
struct CpuMicros {
    client: f64,
    postgresql: f64,
    redis: f64,
}

impl Report {
    /// Sums up.
    pub(super) fn new(setting: Setting, rounds: &[(Workload, Round)], delay: Vec<Delay>) -> Self {
        let of = |workload| {
            let rounds = rounds.iter().filter(|(of, _)| *of == workload);
            let rounds: Vec<Round> = rounds.map(|(_, round)| *round).collect();
            Comparison::new(&setting, &rounds)
        };
        let (inserts, mixed) = (of(Workload::Inserts), of(Workload::Mixed));
        Self {
            setting,
            inserts,
            mixed,
            delay,
        }
    }

    /// The report for people.
    pub(super) fn to_text(&self) -> String {
        let mut lines = self.setting.lines();
        for (workload, comparison, bytes) in [
            (Workload::Inserts, &self.inserts, self.setting.row_bytes),
            (Workload::Mixed, &self.mixed, self.setting.mixed_bytes),
        ] {
            let size = thousands(self.setting.operations as f64);
            lines.push(format!(
                "\n{workload}: {size} operations of {bytes} bytes\n"
            ));
            lines.push(render(&comparison.rows(&self.setting)));
        }
        if !self.delay.is_empty() {
            lines.push(
                "\nfrom the push of an operation to its commit, all of them inserts\n".to_owned(),
            );
            lines.push(render(&self.delay_rows()));
        }
        let others = [&self.inserts, &self.mixed].map(Comparison::others_cores_max);
        let others = others.into_iter().fold(0.0, f64::max);
        if others > OTHERS_CORES_NOTED_ABOVE {
            lines.push(format!(
                "\nOther programs kept up to {others:.1} cores busy meanwhile, so the ratios mean \
                 little: measure again on a quiet machine."
            ));
        }
        lines.join("\n")
    }
}

impl Report {
    fn delay_rows(&self) -> Vec<Vec<String>> {
        let header = [
            "pushed",
            "operations",
            "p50",
            "p99",
            "longest",
            "operations per commit",
        ];
        let row = |delay: &Delay| {
            vec![
                format!("{}/s", thousands(delay.pushed_per_second)),
                thousands(delay.operations as f64),
                format!("{:.1} ms", delay.p50_ms),
                format!("{:.1} ms", delay.p99_ms),
                format!("{:.1} ms", delay.max_ms),
                format!("{:.1}", delay.batch_mean),
            ]
        };
        let header = header.map(str::to_owned).to_vec();
        std::iter::once(header)
            .chain(self.delay.iter().map(row))
            .collect()
    }
}

impl Setting {
    fn lines(&self) -> Vec<String> {
        let [postgres, redis] = self.servers.lines();
        vec![
            postgres,
            redis,
            format!(
                "machine: {} cores for servers and clients together, {} µs to have a page on disk",
                self.cores, self.disk_sync_us
            ),
            format!(
                "limit: as many rows as there are operations, encoded in memory, over {} connections",
                self.limit_connections
            ),
            format!(
                "per operation: one statement and commit each, over {} connections, without pauses; \
                 it is slow and gets {} operations",
                self.baseline_connections,
                thousands(self.baseline_operations as f64)
            ),
            format!(
                "Tidegate: batches of up to {}, over up to {} connections",
                thousands(f64::from(self.batch)),
                self.connections
            ),
            format!(
                "medians of {} per figure, contestants in turn; {} shards; CPU is per operation",
                self.rounds, self.shards
            ),
        ]
    }
}

impl Comparison {
    fn new(setting: &Setting, rounds: &[Round]) -> Self {
        let limit = Figures::new(setting.operations, rounds.iter().map(|round| round.limit));
        let baseline = Figures::new(
            setting.baseline_operations,
            rounds.iter().map(|round| round.baseline),
        );
        let tidegate = Figures::new(
            setting.operations,
            rounds.iter().map(|round| round.tidegate),
        );
        Self {
            ratio_to_limit: tidegate.ops_per_second / limit.ops_per_second,
            ratio_to_baseline: tidegate.ops_per_second / baseline.ops_per_second,
            limit_ops_per_second: limit.ops_per_second,
            baseline_ops_per_second: baseline.ops_per_second,
            tidegate,
            limit,
            baseline,
        }
    }

    fn others_cores_max(&self) -> f64 {
        let figures = [&self.limit, &self.baseline, &self.tidegate];
        figures
            .map(|figures| figures.others_cores)
            .into_iter()
            .fold(0.0, f64::max)
    }

    fn rows(&self, setting: &Setting) -> Vec<Vec<String>> {
        let header = [
            "what",
            "operations/s",
            "× per-operation",
            "of the limit",
            "CPU µs: client",
            "PostgreSQL",
            "Redis",
            "peak memory",
        ];
        let limit = format!(
            "limit: COPY BINARY, {} connections",
            setting.limit_connections
        );
        let baseline = format!(
            "per operation, {} connections",
            setting.baseline_connections
        );
        vec![
            header.map(str::to_owned).to_vec(),
            // The limit holds the whole load in memory, so its memory says nothing.
            self.row(&limit, &self.limit, None),
            self.row(
                &baseline,
                &self.baseline,
                Some(self.baseline.peak_memory_bytes),
            ),
            self.row(
                "Tidegate",
                &self.tidegate,
                Some(self.tidegate.peak_memory_bytes),
            ),
        ]
    }

    fn row(&self, name: &str, figures: &Figures, memory_bytes: Option<f64>) -> Vec<String> {
        let cpu = &figures.cpu_us_per_operation;
        let rate = figures.ops_per_second;
        vec![
            name.to_owned(),
            thousands(rate),
            format!("{:.1}", rate / self.baseline_ops_per_second),
            format!("{:.0} %", 100.0 * rate / self.limit_ops_per_second),
            format!("{:.1}", cpu.client),
            format!("{:.1}", cpu.postgresql),
            format!("{:.1}", cpu.redis),
            memory_bytes.map_or("–".to_owned(), |bytes| {
                format!("{:.0} MiB", bytes / f64::from(1 << 20))
            }),
        ]
    }
}

impl Figures {
    fn new(operations: u64, runs: impl Iterator<Item = Usage>) -> Self {
        let runs: Vec<Usage> = runs.collect();
        let operations = operations as f64;
        let of = |figure: &dyn Fn(&Usage) -> f64| median(runs.iter().map(figure).collect());
        let rate = |usage: &Usage| operations / usage.elapsed_seconds;
        Self {
            ops_per_second: of(&rate),
            cpu_us_per_operation: CpuMicros {
                client: of(&|usage| usage.cpu.client * 1e6 / operations),
                postgresql: of(&|usage| usage.cpu.postgres * 1e6 / operations),
                redis: of(&|usage| usage.cpu.redis * 1e6 / operations),
            },
            peak_memory_bytes: of(&|usage| usage.peak_memory_bytes as f64),
            others_cores: of(&Usage::others_cores),
            rounds_ops_per_second: runs.iter().map(rate).collect(),
        }
    }
}
