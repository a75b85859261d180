//! Enqueues what is scheduled, once however many workers do it.
//!
//! ```text
//! declare ─► the store's schedules ─► which ticks are due? ─► tick ─► sleep until the next
//! ```
//!
//! There is no leader to be elected and none to be lost: every worker tries every tick, and the store
//! takes the first, in one step with the enqueueing of its task. So ten processes that start at once,
//! or a process that dies between any two steps, make no run twice; a tick that all of them were
//! too late for is for the policy on missed ones.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tidegate_store::task::{Label, NewSchedule, QueueName, ScheduleView, Ticked};
use tidegate_streams::Overlap;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::client::TaskClient;
use crate::enqueue::Enqueue;
use crate::options::TaskOptions;
use crate::task::Registered;
use crate::ticks::Schedule;
use crate::{Error, Result};

/// So often the schedules are looked at, for those that someone has paused or moved.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// The scheduled tasks of a worker.
pub(crate) struct Ticker {
    client: TaskClient,
    scheduled: Vec<Scheduled>,
    queues: Vec<QueueName>,
}

struct Scheduled {
    options: TaskOptions,
    schedule: Schedule,
    queue: QueueName,
    label: Label,
}

impl Ticker {
    /// The scheduled ones of some tasks, as far as they belong to these queues.
    ///
    /// # Errors
    /// [`Error::Invalid`] for times that can't be read.
    pub(crate) fn new(
        client: &TaskClient,
        tasks: &[Registered],
        queues: &[QueueName],
        is_wanted: bool,
    ) -> Result<Self> {
        let mut scheduled = Vec::new();
        for task in tasks.iter().filter(|_| is_wanted) {
            let queue = client.queue(task.options.queue)?;
            if let Some(schedule) = Schedule::of(&task.options)?
                && queues.contains(&queue)
            {
                scheduled.push(Scheduled {
                    options: task.options,
                    schedule,
                    queue,
                    label: Label::new(task.options.name)?,
                });
            }
        }
        let mut queues: Vec<QueueName> = scheduled.iter().map(|it| it.queue.clone()).collect();
        queues.sort_unstable();
        queues.dedup();
        Ok(Self {
            client: client.clone(),
            scheduled,
            queues,
        })
    }

    /// Ticks until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        if self.scheduled.is_empty() {
            return;
        }
        let ticking = async {
            while let Err(error) = self.declare().await {
                warn!(%error, "the schedules could not be declared");
                sleep(PAUSE).await;
            }
            loop {
                let next = match self.tick().await {
                    Ok(next) => next,
                    Err(error) => {
                        warn!(%error, "the schedules could not be looked at");
                        PAUSE
                    }
                };
                sleep(next).await;
            }
        };
        // Each call of the store is whole: one that is dropped was made or it wasn't.
        tokio::select! {
            () = ticking => {}
            () = stop.cancelled() => {}
        }
    }

    async fn declare(&self) -> Result<()> {
        for queue in &self.queues {
            let of_queue = self.scheduled.iter().filter(|it| it.queue == *queue);
            let declare = |it: &Scheduled| NewSchedule {
                name: it.label.clone(),
                definition: definition(&it.options).into(),
            };
            let schedules = of_queue.map(declare).collect();
            self.client
                .store()
                .declare_schedules(queue, schedules)
                .await?;
        }
        Ok(())
    }

    /// Runs what is due, and says after what time to look again.
    async fn tick(&self) -> Result<Duration> {
        let mut next: Option<Timestamp> = None;
        for queue in &self.queues {
            let views = self.client.store().schedules(queue).await?;
            for one in self.scheduled.iter().filter(|it| it.queue == *queue) {
                let Some(view) = views.iter().find(|view| view.name == one.label) else {
                    // Someone has removed it while it is in the code: it is declared again.
                    self.declare().await?;
                    continue;
                };
                let after = self.tick_one(one, view).await?;
                next = match (next, after) {
                    (Some(next), Some(after)) => Some(next.min(after)),
                    (next, after) => next.or(after),
                };
            }
        }
        let until = next.map(|next| next.duration_since(Timestamp::now()));
        let until = until.map(|it| Duration::try_from(it).unwrap_or_default());
        Ok(until.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN))
    }

    async fn tick_one(&self, one: &Scheduled, view: &ScheduleView) -> Result<Option<Timestamp>> {
        let mut last = moment(view.last_tick_ms);
        for tick in one.schedule.due(last, Timestamp::now()) {
            let tick_ms = u64::try_from(tick.as_millisecond()).unwrap_or(0);
            let (queue, task) = self.client.prepare(one.run_at(tick_ms).checked()?)?;
            let skips = one.schedule.overlap == Overlap::Skip;
            let store = self.client.store();
            let ticked = store.tick(&queue, &one.label, tick_ms, task, skips).await?;
            let name = one.options.name;
            match ticked {
                Ticked::Skipped(of) => {
                    debug!(schedule = name, %tick, running = %of, "left out: the former run goes on");
                }
                Ticked::Unknown => {
                    error!(schedule = name, "the store has forgotten the schedule");
                    return Err(Error::Broken(format!("no schedule {name}")));
                }
                Ticked::Enqueued | Ticked::Late | Ticked::Paused => {
                    debug!(schedule = name, %tick, ?ticked, "ticked");
                }
            }
            last = tick;
        }
        Ok(one
            .schedule
            .next_after(last.max(moment_before_now(one, last))))
    }
}

/// Where missed ticks are left out, the next one is after now.
fn moment_before_now(one: &Scheduled, last: Timestamp) -> Timestamp {
    let now = Timestamp::now();
    match one.schedule.next_after(last) {
        Some(next) if next <= now => now,
        _ => last,
    }
}

impl Scheduled {
    /// The run of a tick.
    fn run_at(&self, tick_ms: u64) -> Enqueue {
        let options = &self.options;
        let mut run = Enqueue::declared(options, &());
        run.draft.header.tick_ms = Some(tick_ms);
        if self.schedule.overlap == Overlap::Queue {
            // One runs, one waits, further ones are left out.
            let key = format!("schedule {}", options.name);
            run = run.key(&key).unique_while_queued(&key);
        }
        run
    }
}

fn definition(options: &TaskOptions) -> String {
    use crate::options::Times;
    let Some(schedule) = options.schedule else {
        return String::new();
    };
    let times = match schedule.times {
        Times::Cron {
            expression,
            time_zone,
        } => json!({"cron": expression, "time_zone": time_zone}),
        Times::Every(interval) => json!({"every_ms": u64::try_from(interval.as_millis()).ok()}),
    };
    let overlap = format!("{:?}", schedule.overlap).to_lowercase();
    json!({"task": options.name, "times": times, "overlap": overlap}).to_string()
}

fn moment(ms: u64) -> Timestamp {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}
