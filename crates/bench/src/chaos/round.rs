//! One round: empty tables, a load under faults, and the comparison once everything is drained.

use std::time::Duration;

use serde::Serialize;
use tidegate_testkit::poll_until;
use tokio::time::{Instant, sleep, sleep_until};

use super::act::{Stage, perform_all};
use super::compare::{Verdict, compare};
use super::load::{Load, Operation, SHARDS, free_number, marker};
use super::model::Model;
use super::plan::{Fault, Place, Scheduled, plan};
use super::producer::Producer;
use super::site::Site;
use super::witness;
use crate::error::{Error, Result};

/// For how long the load of a round is sent, if nothing holds it up.
const LOAD_TIME: Duration = Duration::from_secs(3);
/// In how many pieces.
const CHUNKS: u32 = 30;
/// How long it may take until everything that was sent is drained, on a busy machine.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);
/// How long what waits for a parent row may take longer than the markers.
const EQUAL_WITHIN: Duration = Duration::from_secs(15);
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// What is sent and done in a round: a function of the seed and the round's number.
pub(super) struct Script {
    pub(super) faults: Vec<Scheduled>,
    pub(super) operations: Vec<Operation>,
    pub(super) unsure: Vec<Operation>,
    pub(super) model: Model,
}

/// What came of a round.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) round: u64,
    pub(super) operations: usize,
    pub(super) seconds: f64,
    /// Each with the milliseconds after the beginning.
    pub(super) faults: Vec<(u64, String)>,
    #[serde(skip)]
    pub(super) kinds: Vec<&'static str>,
    pub(super) verdict: Verdict,
    /// Whether `tidegate drain verify` agrees; not asked once a failover has lost entries.
    pub(super) is_proved: Option<bool>,
}

impl Script {
    /// Writes the round's script.
    pub(super) fn write(seed: u64, round: u64, operations: usize) -> Self {
        let faults = plan(seed, round, LOAD_TIME);
        let mut load = Load::new(seed, round);
        let operations = load.next(operations);
        let lost = faults.iter().find_map(|scheduled| match scheduled.fault {
            Fault::LosingFailover { entries, .. } => Some(entries),
            _ => None,
        });
        let unsure = lost.map_or_else(Vec::new, |entries| load.unsure(entries));
        Self {
            faults,
            operations,
            unsure,
            model: load.model,
        }
    }

    /// Whether a failover loses entries, after which the stream's own counts are short.
    pub(super) fn loses(&self) -> bool {
        !self.unsure.is_empty()
    }

    /// The faults by place, each list in its order.
    fn lanes(&self) -> Vec<Vec<&Scheduled>> {
        let mut lanes: Vec<(Place, Vec<&Scheduled>)> = Vec::new();
        for scheduled in &self.faults {
            let place = scheduled.fault.place();
            match lanes.iter_mut().find(|(known, _)| *known == place) {
                Some((_, lane)) => lane.push(scheduled),
                None => lanes.push((place, vec![scheduled])),
            }
        }
        lanes.into_iter().map(|(_, lane)| lane).collect()
    }
}

/// Plays a round.
///
/// # Errors
/// Whatever kept it from its end. Tables that are wrong are no error: the verdict says so.
pub(super) async fn play(
    site: &Site,
    producer: &Producer,
    round: u64,
    script: &Script,
    asks_for_proof: bool,
) -> Result<Outcome> {
    let begin = Instant::now();
    site.empty_tables().await?;
    let work = async {
        perform(site, producer, round, script).await?;
        settle(site, producer, round, &script.model).await
    };
    let verdict = tokio::select! {
        verdict = work => verdict?,
        error = site.watch() => return Err(error),
    };
    let is_proved = match asks_for_proof {
        true => Some(site.ask(&["drain", "verify"]).await?.status.success()),
        false => None,
    };
    let faults = script.faults.iter();
    Ok(Outcome {
        round,
        operations: script.operations.len() + script.unsure.len(),
        seconds: begin.elapsed().as_secs_f64(),
        faults: faults
            .map(|it| (millis(it.at), it.fault.to_string()))
            .collect(),
        kinds: script.faults.iter().map(|it| it.fault.kind()).collect(),
        verdict,
        is_proved,
    })
}

/// Sends the load while the faults are done.
async fn perform(site: &Site, producer: &Producer, round: u64, script: &Script) -> Result<()> {
    let begin = Instant::now();
    let stage = Stage {
        site,
        producer,
        unsure: &script.unsure,
        free_number: free_number(round, SHARDS),
    };
    let lanes = script.lanes();
    let lanes = lanes
        .into_iter()
        .map(|lane| perform_all(&stage, begin, lane));
    let faults = futures::future::try_join_all(lanes);
    let load = async {
        let chunk = script.operations.len().div_ceil(CHUNKS as usize).max(1);
        for (at, operations) in (0..).zip(script.operations.chunks(chunk)) {
            sleep_until(begin + LOAD_TIME / CHUNKS * at).await;
            producer.send(operations).await?;
        }
        Ok(())
    };
    tokio::try_join!(faults, load)?;
    Ok(())
}

/// Waits until everything is drained, and compares.
async fn settle(site: &Site, producer: &Producer, round: u64, model: &Model) -> Result<Verdict> {
    let markers = (0..SHARDS).map(|shard| marker(free_number(round, shard), shard, round));
    producer.send(&markers.collect::<Vec<_>>()).await?;
    let mut through = Ok(0);
    let all_through = async || {
        through = witness::shards_through(site, round).await;
        through
            .as_ref()
            .is_ok_and(|shards| *shards == i64::from(SHARDS))
    };
    if poll_until(DRAINED_WITHIN, all_through).await.is_err() {
        return Err(Error::Unexpected(format!(
            "{} of {SHARDS} shards were drained within {DRAINED_WITHIN:?}",
            through?
        )));
    }
    let deadline = Instant::now() + EQUAL_WITHIN;
    loop {
        let found = witness::look(site, producer, round).await?;
        let verdict = found.map(|found| compare(model, &found));
        let is_late = Instant::now() >= deadline;
        match verdict {
            Some(verdict) if verdict.is_right() || is_late => return Ok(verdict),
            None if is_late => {
                return Err(Error::Unexpected(format!(
                    "operations still wait for their parent rows after {EQUAL_WITHIN:?}"
                )));
            }
            _ => sleep(LOOK_PAUSE).await,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
