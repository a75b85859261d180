//! The report: the demo in twelve numbers, for machines.

use std::time::Duration;

use serde::Serialize;

use super::verify::Findings;
use super::witness::Testimony;

/// What `tidegate demo --json` prints.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// Operations sent.
    pub(super) operations_sent: u64,
    /// Operations applied, by the ledger.
    pub(super) operations_applied: u64,
    /// Operations kept as dead letters.
    pub(super) dead_letters: u64,
    /// Rows that all tables together must hold.
    pub(super) rows_expected: u64,
    /// Rows that they hold.
    pub(super) rows_found: u64,
    /// Rows that are missing or differ, and operations that are not where they should be.
    pub(super) lost: u64,
    /// Rows and dead letters that are there once more than they should.
    pub(super) duplicated: u64,
    /// How often the worker was killed.
    pub(super) worker_kills: u64,
    /// From the first operation sent to the last one settled.
    pub(super) elapsed_seconds: f64,
    /// Operations sent, divided by that time; the time without a worker counts.
    pub(super) operations_per_second: f64,
    /// Half of the operations were committed within this time after they were sent.
    pub(super) delay_ms_p50: u64,
    /// All but one of a hundred were.
    pub(super) delay_ms_p99: u64,
}

impl Report {
    /// Puts the numbers together.
    pub(super) fn new(
        sent: u64,
        kills: u64,
        elapsed: Duration,
        findings: &Findings,
        testimony: Testimony,
    ) -> Self {
        let seconds = elapsed.as_secs_f64().max(f64::EPSILON);
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
        let per_second = sent as f64 / seconds;
        Self {
            operations_sent: sent,
            operations_applied: findings.applied,
            dead_letters: findings.letters.found,
            rows_expected: findings.tables.iter().map(|table| table.expected).sum(),
            rows_found: findings.tables.iter().map(|table| table.found).sum(),
            lost: findings.lost(),
            duplicated: findings.duplicated(),
            worker_kills: kills,
            elapsed_seconds: rounded(seconds, 1_000.0),
            operations_per_second: rounded(per_second, 10.0),
            delay_ms_p50: testimony.delay_ms_p50,
            delay_ms_p99: testimony.delay_ms_p99,
        }
    }
}

fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}
