//! The runner of a lane: calls the user's function again and again, and does what its policy says
//! when it fails.
//!
//! ```text
//! wait for an entry ─► call ─► Ok: what is in hand is done
//!        ▲                └──► failed ─► several in hand: hand out again, one by one
//!        │                          └──► one: policy ─► settle, or put back after a pause
//!        └───────────────────────────────────┘     └──► halt, quarantine, park: end
//! ```
//!
//! It guarantees that a policy meets the one event that fails, under a lease that has just been
//! seen to be valid, that a panic is a failure and nothing more, and that a dead letter is stored
//! before its entry is done. If the process dies here, the entries in hand are still pending.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tidegate_store::{AppendOptions, EntryId, Fetch, NewEntry, ReadLimit, Store};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::dead_letter;
use crate::lane::{Failed, Held, Lane};
use crate::persist::{Pauses, persist};
use crate::policy::Verdict;
use crate::processor::Processor;
use crate::{BoxError, Error, Result};

/// Why a lane ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was asked to.
    Stopped,
    /// The entry's partition has to stand still.
    Quarantine { id: EntryId, reason: String },
    /// The entry's key has to stand still.
    Park { held: Held, reason: String },
}

/// Calls a processor's function for one lane.
pub(crate) struct Runner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) processor: Arc<Processor>,
    pub(crate) lane: Arc<Lane>,
    /// Cancelled when the partition is to be handed back: no pause outlasts it.
    pub(crate) stop: CancellationToken,
}

impl Runner {
    /// Runs until the lane is stopped, or can't go on.
    ///
    /// # Errors
    /// [`Error::Halted`] and [`Error::Failed`] where the policy is to halt; what the store refuses.
    pub(crate) async fn run(self) -> Result<Ended> {
        let mut idle_calls = Pauses::default();
        while poll_fn(|cx| self.lane.poll_work(cx)).await {
            let result = self.call().await?;
            let error = match result {
                Ok(got_events) => {
                    self.lane.complete();
                    if got_events {
                        idle_calls.reset();
                    } else {
                        // A function that returns without asking for events would be called again
                        // at once, for ever.
                        self.unless_stopped(idle_calls.pause()).await;
                    }
                    continue;
                }
                Err(error) => error,
            };
            match self.lane.fail(&error) {
                Failed::Several(count) => {
                    debug!(partition = %self.lane.lease.partition, count, %error,
                        "failed with several events in hand; they are handed out one by one");
                }
                Failed::One(held) => {
                    if let Some(ended) = self.apply_policy(held, error).await? {
                        return Ok(ended);
                    }
                }
                Failed::Nothing => {
                    let verdict = self.processor.settings.on_error.decide(1, 1.0);
                    if verdict == Verdict::Halt {
                        self.check_lease(EntryId::ZERO).await?;
                        return Err(self.failed(error));
                    }
                    warn!(partition = %self.lane.lease.partition, %error,
                        "the processor failed with no event in hand; it is called again");
                    self.unless_stopped(idle_calls.pause()).await;
                }
            }
        }
        Ok(Ended::Stopped)
    }

    async fn unless_stopped(&self, pause: impl Future<Output = ()>) {
        tokio::select! {
            () = pause => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// One call of the function, and whether it took events.
    async fn call(&self) -> Result<Result<bool, BoxError>> {
        self.store_undecodable().await?;
        let (code, lane) = (self.processor.code.clone(), self.lane.clone());
        let call = self.lane.begin_call();
        let running = async move {
            let running = AssertUnwindSafe(async { code.call(lane, call).await });
            let result = running.catch_unwind().await;
            result.unwrap_or_else(|panic| Err(panic_text(&*panic).into()))
        };
        let mut running = running.boxed();
        for middleware in self.lane.middleware.iter().rev() {
            running = middleware.wrap(&self.lane.lease, running);
        }
        loop {
            tokio::select! {
                biased;
                result = &mut running => {
                    self.store_undecodable().await?;
                    let got_events = self.lane.took_events();
                    return Ok(result.map(|()| got_events));
                }
                () = self.lane.undecodable() => self.store_undecodable().await?,
            }
        }
    }

    /// Does what the policy says; some when the lane can't go on.
    async fn apply_policy(&self, mut held: Held, error: BoxError) -> Result<Option<Ended>> {
        held.failures += 1;
        let verdict = self
            .processor
            .settings
            .on_error
            .decide(held.failures, chance());
        let (id, partition) = (held.entry.id, &self.lane.lease.partition);
        if !matches!(verdict, Verdict::RetryAfter(_)) {
            self.check_lease(id).await?;
        }
        match verdict {
            Verdict::Halt => return Err(self.halted(id, error)),
            Verdict::Quarantine => {
                let reason = error.to_string();
                return Ok(Some(Ended::Quarantine { id, reason }));
            }
            Verdict::ParkKey => {
                let reason = error.to_string();
                return Ok(Some(Ended::Park { held, reason }));
            }
            Verdict::Ignore => {
                warn!(%partition, %id, "an event failed and is ignored");
                self.lane.settle(&held);
            }
            Verdict::DeadLetter => {
                warn!(%partition, %id, "an event failed and becomes a dead letter");
                self.store_dead_letter(&held, &error.to_string()).await?;
                self.lane.settle(&held);
            }
            Verdict::RetryAfter(pause) => {
                debug!(%partition, %id, ?pause, "an event failed and is tried again");
                self.unless_stopped(tokio::time::sleep(pause)).await;
                self.lane.put_back(held);
            }
        }
        Ok(None)
    }

    /// Stores what can't be decoded: trying again would not help, whatever the policy is.
    async fn store_undecodable(&self) -> Result<()> {
        for (held, reason) in self.lane.take_undecodable() {
            let (id, partition) = (held.entry.id, &self.lane.lease.partition);
            self.check_lease(id).await?;
            warn!(%partition, %id, "an entry can't be decoded and becomes a dead letter");
            let reason = format!("the entry can't be decoded: {reason}");
            self.store_dead_letter(&held, &reason).await?;
            self.lane.settle_undecodable(&held);
        }
        Ok(())
    }

    /// Sees that this is still the owner. What fails in the hands of a stale owner, maybe because
    /// a database has refused its epoch, is not the event's fault: the new owner has it as well.
    async fn check_lease(&self, id: EntryId) -> Result<()> {
        let limit = ReadLimit {
            entries: 1,
            bytes: 1,
        };
        let lease = &self.lane.lease;
        persist(|| self.store.fetch(lease, Fetch::Pending(id), limit)).await?;
        Ok(())
    }

    async fn store_dead_letter(&self, held: &Held, reason: &str) -> Result<()> {
        let fields = dead_letter::encode(
            &held.entry,
            self.lane.lease.partition.index,
            self.processor.name.as_str(),
            reason,
            &jiff::Timestamp::now().to_string(),
        );
        let (partition, name) = (&self.lane.lease.partition, &self.processor.name);
        let request_id = format!("dead:{name}:{}:{}", partition.index, held.entry.id);
        let letter = NewEntry::new(self.processor.dead_letters.partition(0), fields)
            .with_request_id(request_id);
        let options = AppendOptions {
            idempotence: Some(dead_letter::REPEAT_WINDOW),
            ..AppendOptions::default()
        };
        let store = || async {
            let stored = self.store.append_with(vec![letter.clone()], &options).await;
            stored.into_iter().collect::<Result<Vec<_>, _>>()
        };
        persist(store).await?;
        Ok(())
    }

    fn halted(&self, id: EntryId, source: BoxError) -> Error {
        Error::Halted {
            processor: self.processor.name.to_string(),
            partition: self.lane.lease.partition.clone(),
            id,
            source,
        }
    }

    fn failed(&self, source: BoxError) -> Error {
        Error::Failed {
            processor: self.processor.name.to_string(),
            partition: self.lane.lease.partition.clone(),
            source,
        }
    }
}

/// A random number from 0 to 1.
fn chance() -> f64 {
    let [a, b, c, d, ..] = Uuid::new_v4().into_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!(
        "panicked: {}",
        text.unwrap_or_else(|| "without a text".into())
    )
}
