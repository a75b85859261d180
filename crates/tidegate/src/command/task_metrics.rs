//! What a worker of tasks has done, for Prometheus.
//!
//! The counts are the process's own and begin with it. There are no labels: what each queue holds its
//! store knows, and `task list` shows.

use std::fmt;

use tidegate_console::prometheus_client::collector::Collector;
use tidegate_console::prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use tidegate_console::prometheus_client::metrics::MetricType;
use tidegate_console::prometheus_client::metrics::counter::ConstCounter;
use tidegate_console::prometheus_client::metrics::gauge::ConstGauge;
use tidegate_tasks::Metrics;

/// The worker's counts, taken when they are asked for.
#[derive(Debug)]
pub(super) struct TaskCounts(pub(super) Metrics);

impl Collector for TaskCounts {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let now = self.0.snapshot();
        let counters = [
            ("taken", "Tasks taken from their queues", now.taken),
            ("done", "Attempts after which the task was done", now.done),
            (
                "retried",
                "Attempts after which it is tried again",
                now.retried,
            ),
            ("dead", "Attempts after which it is dead", now.dead),
            (
                "cancelled",
                "Attempts after which it is cancelled",
                now.cancelled,
            ),
            ("unknown", "Attempts after which it is parked", now.unknown),
            (
                "returned",
                "Attempts given back at a shutdown",
                now.returned,
            ),
            (
                "fences_lost",
                "Attempts whose end came too late: another one had the task",
                now.fences_lost,
            ),
        ];
        for (name, help, value) in counters {
            let name = format!("tidegate_tasks_{name}");
            let metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        let name = "tidegate_tasks_running";
        let metric =
            encoder.encode_descriptor(name, "Attempts under way", None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(now.running).unwrap_or(i64::MAX)).encode(metric)
    }
}
