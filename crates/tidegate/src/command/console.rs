//! What a worker tells over HTTP: its health, whether its store answers, and its metrics.
//!
//! ```text
//! GET /metrics ─► a snapshot of the worker's counts ─► Prometheus' text
//! ```
//!
//! The counts of a partition begin with its owner, so they fall back to zero where it moves; to
//! Prometheus that is a counter's reset. Beyond [`PARTITION_LABELS_MAX`] partitions a processor is
//! shown as a whole, so that the number of series stays bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_console::prometheus_client::collector::Collector;
use tidegate_console::prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use tidegate_console::prometheus_client::metrics::MetricType;
use tidegate_console::prometheus_client::registry::{Registry, Unit};
use tidegate_console::server::Bound;
use tidegate_console::{Console, Listen, Probe, Readiness};
use tidegate_store::Store;
use tidegate_streams::metrics::{Metrics, PartitionMetrics};

use super::task_metrics::TaskCounts;
use crate::Error;

/// The variable that holds the token, as the configuration of `tidegate` itself has it.
const TOKEN_VARIABLE: &str = "TIDEGATE__CONSOLE__TOKEN";
/// The most partitions of a worker that are told apart.
const PARTITION_LABELS_MAX: usize = 1_024;

/// Opens a console over a worker.
///
/// # Errors
/// An address that needs a token, or can't be listened on.
pub(super) async fn bind(
    address: SocketAddr,
    store: Arc<dyn Store>,
    metrics: Metrics,
    tasks: Option<tidegate_tasks::Metrics>,
) -> Result<Bound, Error> {
    let token = std::env::var(TOKEN_VARIABLE).ok().map(Into::into);
    let failed = |error: tidegate_console::Error| {
        Error::Invalid(format!("the console can't start: {error}"))
    };
    let listen = Listen::new(address, token).map_err(failed)?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(metrics)));
    if let Some(tasks) = tasks {
        registry.register_collector(Box::new(TaskCounts(tasks)));
    }
    let console = Console::new(listen, registry).with_probe(Arc::new(StoreProbe(store)));
    console.bind().await.map_err(failed)
}

#[derive(Debug)]
struct StoreProbe(Arc<dyn Store>);

#[async_trait]
impl Probe for StoreProbe {
    fn parts(&self) -> &[&'static str] {
        &["store"]
    }

    async fn probe(&self) -> Readiness {
        Readiness::default().with("store", self.0.ping().await.is_ok())
    }
}

/// The worker's counts, taken when they are asked for.
#[derive(Debug)]
struct Snapshot(Metrics);

/// The labels of a series: the processor, and the partition where it is told apart.
type Labels = Vec<(&'static str, String)>;

/// A counter: its name, its help, and how it is read.
type Counted = (&'static str, &'static str, fn(&PartitionMetrics) -> u64);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let series = series(self.0.snapshot());
        let counters: [Counted; 3] = [
            (
                "events_processed",
                "Events that a processor is done with",
                |of| of.processed,
            ),
            (
                "events_failed",
                "Failures of a processor's function",
                |of| of.failed,
            ),
            ("entries_acknowledged", "Entries acknowledged", |of| {
                of.acknowledged
            }),
        ];
        for (name, help, value) in counters {
            let name = format!("tidegate_streams_{name}");
            let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
            for (labels, counts) in &series {
                let mut one = metric.encode_family(labels)?;
                one.encode_counter::<NoLabelSet, u64, u64>(&value(counts), None)?;
            }
        }
        let (name, help) = (
            "tidegate_streams_events_in_hand",
            "Events handed out, not yet done",
        );
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, counts) in &series {
            let in_hand = i64::try_from(counts.in_hand).unwrap_or(i64::MAX);
            metric.encode_family(labels)?.encode_gauge(&in_hand)?;
        }
        let unit = Unit::Seconds;
        let (name, help) = (
            "tidegate_streams_last_processing",
            "How long the last event or batch was in hand",
        );
        let mut metric = encoder.encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?;
        for (labels, counts) in &series {
            let seconds = counts.last_processing.as_secs_f64();
            metric.encode_family(labels)?.encode_gauge(&seconds)?;
        }
        Ok(())
    }
}

/// What each series shows: a partition, or all of a processor where there are too many.
fn series(snapshot: Vec<PartitionMetrics>) -> Vec<(Labels, PartitionMetrics)> {
    if snapshot.len() <= PARTITION_LABELS_MAX {
        let labelled = snapshot.into_iter().map(|of| {
            let labels = vec![
                ("processor", of.processor.clone()),
                ("partition", of.partition.to_string()),
            ];
            (labels, of)
        });
        return labelled.collect();
    }
    let mut whole: BTreeMap<String, PartitionMetrics> = BTreeMap::new();
    for of in snapshot {
        match whole.get_mut(&of.processor) {
            Some(sum) => {
                sum.processed += of.processed;
                sum.failed += of.failed;
                sum.acknowledged += of.acknowledged;
                sum.in_hand += of.in_hand;
                sum.last_processing = sum.last_processing.max(of.last_processing);
            }
            None => {
                whole.insert(of.processor.clone(), of);
            }
        }
    }
    let labelled = whole.into_iter();
    labelled
        .map(|(processor, sum)| (vec![("processor", processor)], sum))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_store::Epoch;

    use super::*;

    fn of(processor: &str, partition: u32) -> PartitionMetrics {
        PartitionMetrics {
            processor: processor.to_owned(),
            partition,
            epoch: Epoch(1),
            processed: 2,
            failed: 1,
            acknowledged: 2,
            in_hand: 0,
            last_processing: Duration::from_millis(u64::from(partition)),
        }
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let few = series((0..3).map(|partition| of("settle", partition)).collect());
        assert_eq!(few.len(), 3);
        let partitions = 0..u32::try_from(PARTITION_LABELS_MAX).unwrap();
        let many =
            partitions.flat_map(|partition| [of("settle", partition), of("notify", partition)]);
        let many = series(many.collect());
        assert_eq!(many.len(), 2);
        assert_eq!(many[0].1.processed, 2 * PARTITION_LABELS_MAX as u64);
        assert_eq!(many[0].1.last_processing, Duration::from_millis(1023));
    }
}
