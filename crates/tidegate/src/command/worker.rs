//! `worker`: runs the processors, the tasks and the schedules.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tidegate_store::task::TaskStore;
use tidegate_store::{Store, StreamName};
use tidegate_streams::schedule::{self, Scheduler};
use tidegate_streams::{Processor, StateMap, Worker};
use tidegate_tasks::TaskClient;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::console;
use crate::tasks_of_app::Outbox;
use crate::{App, Error};

/// How long the runs of schedules have to end at a shutdown.
const SCHEDULE_GRACE: Duration = Duration::from_secs(10);

/// Which part of the application is run.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "\
Examples:
  shop worker
  shop worker --processors settle,notify
  shop worker --queues webhooks,mail --concurrency 50
  shop worker --static-name $HOSTNAME
  shop worker --store redis://127.0.0.1:6379
  shop worker --listen 127.0.0.1:9000      GET /health, /health/ready, /metrics

An address that other machines can reach needs a token, in TIDEGATE__CONSOLE__TOKEN.")]
pub(super) struct WorkerArgs {
    /// Only these processors; schedules are run by every worker.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    processors: Vec<String>,

    /// Only tasks of these queues; all queues of the application's tasks unless given.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    queues: Vec<String>,

    /// How many tasks run at once.
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,

    /// Tell over HTTP how it goes: health, readiness and metrics.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Be the worker of this name, which no other has at the same time: after a restart within the
    /// time of a lease its partitions are its own again, and nobody else takes them meanwhile.
    #[arg(long, value_name = "NAME")]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    static_name: Option<String>,
}

/// Runs until `shutdown`, or until a processor halts.
pub(super) async fn run(
    mut app: App,
    store: Arc<dyn Store>,
    task_store: Option<Arc<dyn TaskStore>>,
    args: &WorkerArgs,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    check_names(&app, &args.processors)?;
    let state = Arc::new(std::mem::take(&mut app.state));
    let processors = prepare(&mut app, &args.processors, &state)?;
    let tasks = TaskWork::prepare(&mut app, task_store, args, &state)?;
    let App {
        name,
        schedules,
        worker: options,
        ..
    } = app;
    let names: Vec<&str> = processors.iter().map(|one| one.name().as_str()).collect();
    info!(
        app = name,
        processors = names.join(","),
        schedules = schedules.len(),
        "working"
    );

    let lease_ttl = options.lease_ttl;
    let worker = Worker::new(Arc::clone(&store), processors, options)?;
    let console = match args.listen {
        Some(address) => {
            let bound = {
                let counts = tasks.worker.as_ref().map(tidegate_tasks::Worker::metrics);
                let store = Arc::clone(&store);
                console::bind(address, store, worker.metrics(), counts).await?
            };
            info!(address = %bound.address(), "the console answers");
            Some(bound)
        }
        None => None,
    };
    let worker = match &args.static_name {
        Some(name) => worker.as_static_member(name),
        None => worker,
    };
    let scheduler = Scheduler::new(
        store,
        worker.id(),
        schedules,
        state,
        schedule::Options {
            leadership: StreamName::leadership(&name)?,
            lease_ttl,
            grace: SCHEDULE_GRACE,
        },
    )?;
    let scheduler = scheduler.with_arrivals(worker.arrivals());
    // Whichever fails stops the other. Where there is nothing to do, it waits for its shutdown.
    let stop = shutdown.child_token();
    let ended = CancellationToken::new();
    let work = async {
        let ends = tokio::join!(
            until_failure(worker.run(stop.clone()), &stop),
            until_failure(scheduler.run(stop.clone()), &stop),
            until_failure(tasks.run(stop.clone()), &stop),
            stop.cancelled(),
        );
        ended.cancel();
        ends
    };
    // The console answers until the last event is done.
    let telling = async {
        if let Some(console) = console {
            console.run(ended.clone()).await;
        }
    };
    let ((worked, scheduled, tasks_done, ()), ()) = tokio::join!(work, telling);
    worked?;
    scheduled?;
    tasks_done
}

/// The part of a worker that runs tasks.
struct TaskWork {
    worker: Option<tidegate_tasks::Worker>,
    outboxes: Vec<(Outbox, TaskClient)>,
}

impl TaskWork {
    fn prepare(
        app: &mut App,
        store: Option<Arc<dyn TaskStore>>,
        args: &WorkerArgs,
        state: &Arc<StateMap>,
    ) -> Result<Self, Error> {
        let tasks = std::mem::take(&mut app.tasks);
        let Some(store) = store else {
            return Ok(Self {
                worker: None,
                outboxes: Vec::new(),
            });
        };
        let client = tasks.client(store, &app.name)?;
        let mut options = tasks.options;
        if !args.queues.is_empty() {
            options.queues.clone_from(&args.queues);
        }
        if let Some(concurrency) = args.concurrency {
            options.concurrency = concurrency;
        }
        let known: Vec<&str> = tasks
            .registered
            .iter()
            .map(|it| it.options().queue)
            .collect();
        if let Some(unknown) = args.queues.iter().find(|it| !known.contains(&it.as_str())) {
            // Tasks may be enqueued on another queue than the declared one.
            warn!(
                queue = unknown,
                "no task of the application declares this queue"
            );
        }
        let outboxes = tasks.outboxes.into_iter();
        let outboxes = outboxes.map(|outbox| (outbox, client.clone())).collect();
        let state = Arc::clone(state);
        let worker = match tasks.registered.is_empty() {
            true => None,
            false => Some(tidegate_tasks::Worker::new(
                client,
                tasks.registered,
                state,
                options,
            )?),
        };
        Ok(Self { worker, outboxes })
    }

    async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let relays = self.outboxes.into_iter();
        let relays = relays.map(|(outbox, client)| outbox.relay(client, stop.clone()));
        let relays = futures::future::join_all(relays);
        let work = async {
            match self.worker {
                Some(worker) => Ok(worker.run(stop.clone()).await?),
                None => Ok(()),
            }
        };
        let (worked, relayed) = tokio::join!(Box::pin(work), relays);
        relayed.into_iter().fold(worked, Result::and)
    }
}

async fn until_failure<E>(
    work: impl Future<Output = Result<(), E>>,
    stop: &CancellationToken,
) -> Result<(), E> {
    let ended = work.await;
    if ended.is_err() {
        stop.cancel();
    }
    ended
}

/// Makes the wanted processors, all where nothing is wanted in particular.
fn prepare(
    app: &mut App,
    wanted: &[String],
    state: &Arc<StateMap>,
) -> Result<Vec<Processor>, Error> {
    let mut prepared = Vec::new();
    for planned in std::mem::take(&mut app.processors) {
        let (name, stream) = (planned.options.name, planned.options.stream);
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        let mut named = app.streams.iter();
        let Some(registered) = named.find(|other| other.spec.stream == stream) else {
            return Err(Error::Invalid(format!(
                "processor {name} reads the stream {stream:?}, which the application does not \
                 name; add .stream::<…>({stream:?})"
            )));
        };
        let mut processor = planned.prepare(&registered.spec, Arc::clone(state))?;
        for layer in &app.middleware {
            processor = processor.with_middleware(Arc::clone(layer));
        }
        prepared.push(processor);
    }
    Ok(prepared)
}

fn check_names(app: &App, wanted: &[String]) -> Result<(), Error> {
    let known: Vec<&str> = app.processors.iter().map(|one| one.options.name).collect();
    match wanted.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(Error::Invalid(format!(
            "the application has no processor {unknown:?}; it has: {}",
            known.join(", ")
        ))),
    }
}
