//! The witness: what the workers said while they lived.
//!
//! A worker prints a line for each batch; a killed one may have committed a batch it had no time
//! to print. So nothing is counted from here that must be exact: only the delays, and how many
//! operations had to wait. The last lines of the log are kept for the case that the demo fails.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use miette::{IntoDiagnostic, miette};
use serde::Deserialize;

/// The most lines of the workers' log that are kept.
const LOG_LINES_MAX: usize = 40;
/// The significant digits of a delay.
const DELAY_DIGITS: u8 = 3;

/// What was heard; a clone hears the same.
#[derive(Clone, Debug)]
pub(super) struct Witness(Arc<Mutex<Heard>>);

#[derive(Debug)]
struct Heard {
    delays_ms: Histogram<u64>,
    waited: u64,
    log: VecDeque<String>,
    /// The first line that could not be understood.
    riddle: Option<String>,
}

/// A line of `drain run --json`; the summary at the end has another shape, and nothing of this.
#[derive(Debug, Deserialize)]
struct BatchLine {
    #[serde(default)]
    waiting: u64,
    /// Milliseconds from append to commit, and how many operations took so long.
    #[serde(default)]
    delays_ms: HashMap<u64, u64>,
}

/// What the workers said of the whole day.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Testimony {
    /// Half of the operations were committed within this time after they were sent.
    pub(super) delay_ms_p50: u64,
    /// All but one of a hundred were.
    pub(super) delay_ms_p99: u64,
    /// At least so many operations had to wait for a parent row.
    pub(super) waited: u64,
}

impl Witness {
    /// A witness who has heard nothing yet.
    ///
    /// # Errors
    /// None in practice: the histogram's precision is a constant.
    pub(super) fn new() -> miette::Result<Self> {
        let delays_ms = Histogram::new(DELAY_DIGITS).into_diagnostic()?;
        let heard = Heard {
            delays_ms,
            waited: 0,
            log: VecDeque::new(),
            riddle: None,
        };
        Ok(Self(Arc::new(Mutex::new(heard))))
    }

    /// Takes a line of a worker's standard output.
    pub(super) fn hear(&self, line: &str) {
        let mut heard = self.lock();
        match serde_json::from_str::<BatchLine>(line) {
            Ok(batch) => {
                heard.waited += batch.waiting;
                for (delay_ms, count) in batch.delays_ms {
                    heard.delays_ms.saturating_record_n(delay_ms, count);
                }
            }
            Err(_) => _ = heard.riddle.get_or_insert_with(|| line.to_owned()),
        }
    }

    /// Takes a line of a worker's log.
    pub(super) fn hear_log(&self, line: String) {
        let mut heard = self.lock();
        if heard.log.len() == LOG_LINES_MAX {
            heard.log.pop_front();
        }
        heard.log.push_back(line);
    }

    /// The last lines of the workers' log.
    pub(super) fn log(&self) -> Vec<String> {
        self.lock().log.iter().cloned().collect()
    }

    /// Everything that was heard.
    ///
    /// # Errors
    /// A line that could not be understood.
    pub(super) fn testify(&self) -> miette::Result<Testimony> {
        let heard = self.lock();
        if let Some(riddle) = &heard.riddle {
            return Err(miette!(
                "the worker printed a line that is not a batch: {riddle}"
            ));
        }
        Ok(Testimony {
            delay_ms_p50: heard.delays_ms.value_at_quantile(0.5),
            delay_ms_p99: heard.delays_ms.value_at_quantile(0.99),
            waited: heard.waited,
        })
    }

    /// A panic of another reader leaves numbers that are still worth having.
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_and_the_summary_are_understood() {
        let witness = Witness::new().expect("a witness");
        witness.hear(
            r#"{"shard":3,"applied":99,"dead":1,"waiting":2,"parked":0,"delays_ms":{"5":98,"700":2}}"#,
        );
        witness.hear(r#"{"summary":{"applied":99}}"#);
        let testimony = witness.testify().expect("all is understood");
        assert_eq!((testimony.delay_ms_p50, testimony.delay_ms_p99), (5, 700));
        assert_eq!(testimony.waited, 2);
    }

    #[test]
    fn a_line_that_is_no_batch_is_not_passed_over() {
        let witness = Witness::new().expect("a witness");
        witness.hear("hello");
        assert!(
            witness
                .testify()
                .expect_err("a riddle")
                .to_string()
                .contains("hello")
        );
    }

    #[test]
    fn only_the_end_of_the_log_is_kept() {
        let witness = Witness::new().expect("a witness");
        for number in 0..1_000 {
            witness.hear_log(number.to_string());
        }
        let log = witness.log();
        assert_eq!((log.len(), log[0].as_str()), (LOG_LINES_MAX, "960"));
    }
}
