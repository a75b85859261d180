//! One attempt at a task, from its taking to its end.
//!
//! ```text
//! a place to run ─► may it begin? ─► arguments ─► the function ─► decide ─► what follows ─► the finisher
//!                       │                │            │ error, panic, time limit, cut
//!                       └────────────────┴────────────┴─► decide
//! ```
//!
//! Whatever the function does, the attempt ends in exactly one transition, which the store is told
//! once, under the attempt's fence; or in none, when another attempt holds the task. If the process
//! dies anywhere here, the attempt is lost and the store gives the task to others or parks it.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use tidegate_store::task::{self, Due, Finished, KeptResult, Outcome, QueueName, Taken};
use tidegate_streams::{BoxError, StateMap};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::Result;
use crate::aftermath;
use crate::client::TaskClient;
use crate::context::TaskContext;
use crate::counts::Counts;
use crate::draft::{FailedTask, Header};
use crate::failure::{Advice, advice_of, cut, text_of};
use crate::in_hand::{Cut, Held, InHand};
use crate::middleware::Begin;
use crate::options::TaskOptions;
use crate::state::{Death, Ending, Rules, Transition, decide};
use crate::task::{Registered, Running};

/// Runs attempts.
pub(crate) struct Executor {
    pub(crate) client: TaskClient,
    pub(crate) tasks: HashMap<String, Runnable>,
    pub(crate) state: Arc<StateMap>,
    pub(crate) in_hand: Arc<InHand>,
    pub(crate) counts: Arc<Counts>,
    /// As many permits as tasks run at once.
    pub(crate) places: Semaphore,
    /// What has not begun by then is given back.
    pub(crate) stop: CancellationToken,
    pub(crate) queues: Vec<(QueueName, mpsc::Sender<Finished>)>,
}

/// A task that the worker knows.
pub(crate) struct Runnable {
    pub(crate) task: Registered,
    /// The places of this task alone, where it has its own bound.
    pub(crate) places: Option<Semaphore>,
}

/// How an attempt ended, with what it left.
struct End {
    ending: Ending,
    error: Option<String>,
    result: Bytes,
}

impl End {
    fn of(ending: Ending) -> Self {
        Self {
            ending,
            error: None,
            result: Bytes::new(),
        }
    }

    fn with(ending: Ending, error: String) -> Self {
        Self {
            error: Some(cut(error)),
            ..Self::of(ending)
        }
    }
}

impl Executor {
    /// Runs an attempt, and has it told.
    pub(crate) async fn attempt(self: Arc<Self>, queue: usize, taken: Taken, held: Arc<Held>) {
        let Some((name, ends)) = self.queues.get(queue) else {
            return;
        };
        let (id, fence) = (taken.id, taken.fence);
        let runnable = self.tasks.get(taken.name.as_str());
        let finished = match Header::decode(&taken.options) {
            Ok(header) => {
                let context = TaskContext::new(
                    name.clone(),
                    &taken,
                    header,
                    held.token.clone(),
                    self.client.clone(),
                );
                let end = self.run(runnable, &context, &taken.payload, &held).await;
                self.conclude(runnable.map(|it| &it.task.options), &context, end)
                    .await
            }
            Err(why) => Some(Finished {
                id,
                fence,
                outcome: Outcome::Dead(task::Failure {
                    reason: Death::Unreadable.to_string(),
                    error: why,
                }),
                result: None,
            }),
        };
        self.in_hand.leave(id, fence);
        if let Some(finished) = finished {
            // The finisher ends when all attempts have; it is never gone before.
            let _ = ends.send(finished).await;
        }
    }

    async fn run(
        &self,
        runnable: Option<&Runnable>,
        context: &TaskContext,
        payload: &Bytes,
        held: &Held,
    ) -> End {
        let Some(runnable) = runnable else {
            let why = format!("this worker has no task {:?}", context.name());
            return End::with(Ending::Unregistered, why);
        };
        let _places = match self.places_for(runnable, held).await {
            Ok(places) => places,
            Err(ending) => return End::of(ending),
        };
        let Settings {
            rules, time_limit, ..
        } = Settings::of(&runnable.task.options, context.header());
        if rules.max_age.is_some_and(|max| context.age() > max) {
            let why = format!("it is {:?} old", context.age());
            return End::with(Ending::TooOld, why);
        }
        for layer in self.client.middleware() {
            if let Begin::Skip(reason) = layer.before_process(context) {
                debug!(task = %context.id(), name = context.name(), reason, "skipped");
                for layer in self.client.middleware() {
                    layer.after_skip(context, &reason);
                }
                return End::of(Ending::Done);
            }
        }
        self.counts.running.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let end = self
            .call(runnable, context, payload, held, time_limit)
            .await;
        let took = began.elapsed();
        self.counts.running.fetch_sub(1, Ordering::Relaxed);
        self.counts.took(took);
        for layer in self.client.middleware() {
            layer.after_process(context, end.ending, took);
        }
        end
    }

    /// Waits for a place of the task's own, where it has such, and one of the worker's.
    async fn places_for<'a>(
        &'a self,
        runnable: &'a Runnable,
        held: &Held,
    ) -> Result<(Option<SemaphorePermit<'a>>, Option<SemaphorePermit<'a>>), Ending> {
        let wait = async {
            let own = match &runnable.places {
                Some(places) => places.acquire().await.ok(),
                None => None,
            };
            (own, self.places.acquire().await.ok())
        };
        // Mostly there is a place at once, and nothing else need be looked at.
        let mut wait = std::pin::pin!(wait);
        if let (false, Some(places)) = (held.token.is_cancelled(), wait.as_mut().now_or_never()) {
            return Ok(places);
        }
        tokio::select! {
            biased;
            () = held.token.cancelled() => Err(ending_of(held.why(), false)),
            () = self.stop.cancelled() => Err(Ending::Returned),
            places = wait => Ok(places),
        }
    }

    async fn call(
        &self,
        runnable: &Runnable,
        context: &TaskContext,
        payload: &Bytes,
        held: &Held,
        time_limit: Duration,
    ) -> End {
        let options = &runnable.task.options;
        let begin = AssertUnwindSafe(|| self.begin(runnable, context, payload));
        let running = match std::panic::catch_unwind(begin) {
            Ok(Ok(running)) => running,
            Ok(Err(error)) => return End::with(Ending::Unreadable, error.to_string()),
            Err(panic) => return End::with(Ending::Panicked, text_of_panic(&*panic)),
        };
        let running = AssertUnwindSafe(running).catch_unwind();
        let ended = tokio::select! {
            biased;
            ended = tokio::time::timeout(time_limit, running) => ended,
            () = held.token.cancelled() => return End::of(ending_of(held.why(), true)),
        };
        match ended {
            Ok(Ok(Ok(result))) => End {
                result,
                ..End::of(Ending::Done)
            },
            Ok(Ok(Err(error))) => End::with(ending_of_error(options, &error), text_of(&*error)),
            Ok(Err(panic)) => End::with(Ending::Panicked, text_of_panic(&*panic)),
            Err(_elapsed) => {
                held.token.cancel();
                let why = format!("the time limit of {time_limit:?} is over");
                End::with(Ending::TimedOut, why)
            }
        }
    }

    fn begin(
        &self,
        runnable: &Runnable,
        context: &TaskContext,
        payload: &Bytes,
    ) -> Result<Running> {
        let opened = match &context.header().sealed {
            Some(key) => self.client.keyring().open(context.name(), key, payload)?,
            None => payload.clone(),
        };
        let handler = &runnable.task.handler;
        let mut running = handler.call(context.clone(), &opened, &self.state)?;
        for layer in self.client.middleware() {
            running = layer.wrap(context, running);
        }
        Ok(running)
    }

    /// Decides, does what follows, and says what the store is to be told: nothing where another
    /// attempt holds the task.
    async fn conclude(
        &self,
        options: Option<&TaskOptions>,
        context: &TaskContext,
        end: End,
    ) -> Option<Finished> {
        let settings = Settings::of_any(options, context.header());
        let End {
            ending,
            error,
            result,
        } = end;
        if ending == Ending::Lost {
            self.counts.fences_lost.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let chance = rand::random::<f64>();
        let attempt = context.attempt();
        let next = decide(ending, &settings.rules, attempt, context.age(), chance);
        let error = error.unwrap_or_default();
        let failure = |reason: String| task::Failure {
            reason,
            error: error.clone(),
        };
        if !error.is_empty() {
            let (id, name) = (context.id(), context.name());
            warn!(task = %id, name, attempt, ?ending, next = ?next, error, "an attempt has failed");
        }
        self.tell_middleware(context, next);
        let outcome = match next {
            Transition::Done => {
                aftermath::of_done(&self.client, context.id(), context.header(), &result).await;
                Outcome::Done
            }
            Transition::Retry(pause) => Outcome::Retry {
                due: Due::In(pause),
                failure: failure(reason_of(ending).to_owned()),
            },
            Transition::Dead(death) => {
                let failed = FailedTask {
                    id: context.id().to_string(),
                    name: context.name().to_owned(),
                    reason: death.to_string(),
                    error: error.clone(),
                };
                let is_exhausted = death == Death::Exhausted;
                let header = context.header();
                aftermath::of_dead(&self.client, context.id(), header, &failed, is_exhausted).await;
                Outcome::Dead(failure(failed.reason))
            }
            Transition::Cancelled => Outcome::Cancelled,
            Transition::Unknown => Outcome::Unknown(failure(reason_of(ending).to_owned())),
            Transition::Returned => Outcome::Returned,
        };
        let kept = settings.result_ttl.filter(|_| next == Transition::Done);
        Some(Finished {
            id: context.id(),
            fence: context.fence(),
            outcome,
            result: kept.map(|lifetime| KeptResult {
                bytes: result,
                lifetime,
            }),
        })
    }

    fn tell_middleware(&self, context: &TaskContext, next: Transition) {
        for layer in self.client.middleware() {
            match next {
                Transition::Retry(pause) => layer.after_retry(context, pause),
                Transition::Dead(death) => layer.after_dead(context, death),
                Transition::Cancelled => layer.after_cancelled(context),
                Transition::Unknown => layer.after_unknown(context),
                Transition::Done | Transition::Returned => {}
            }
        }
    }
}

/// What holds for a task: what it is declared with, changed by what it was enqueued with.
struct Settings {
    rules: Rules,
    time_limit: Duration,
    result_ttl: Option<Duration>,
}

impl Settings {
    fn of(options: &TaskOptions, header: &Header) -> Self {
        let mut rules = options.rules();
        rules.max_retries = header.max_retries.unwrap_or(rules.max_retries);
        rules.max_age = header
            .max_age_ms
            .map(Duration::from_millis)
            .or(rules.max_age);
        Self {
            rules,
            time_limit: header
                .time_limit_ms
                .map_or(options.time_limit, Duration::from_millis),
            result_ttl: header
                .result_ttl_ms
                .map(Duration::from_millis)
                .or(options.result_ttl),
        }
    }

    fn of_any(options: Option<&TaskOptions>, header: &Header) -> Self {
        Self::of(options.unwrap_or(&TaskOptions::UNDECLARED), header)
    }
}

/// How an attempt ends that was cut.
fn ending_of(cut: Option<Cut>, has_begun: bool) -> Ending {
    match cut {
        Some(Cut::Lost) => Ending::Lost,
        Some(Cut::Shutdown) if has_begun => Ending::CutShort,
        Some(Cut::Shutdown) => Ending::Returned,
        Some(Cut::Cancelled) | None => Ending::Cancelled,
    }
}

fn ending_of_error(options: &TaskOptions, error: &BoxError) -> Ending {
    let advice = advice_of(&**error);
    match options.retry_when {
        Some(is_worth_it) if advice == Advice::Default && !is_worth_it(error) => {
            Ending::NotRetryable
        }
        _ => Ending::Failed(advice),
    }
}

fn reason_of(ending: Ending) -> &'static str {
    match ending {
        Ending::TimedOut => "time limit",
        Ending::Panicked => "panic",
        Ending::CutShort => "shutdown",
        Ending::Unregistered => "task not registered",
        _ => "error",
    }
}

fn text_of_panic(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the function panicked: {}", text.unwrap_or("no message"))
}
