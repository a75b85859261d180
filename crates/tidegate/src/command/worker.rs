//! `worker`: runs the processors and the schedules.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tidegate_store::{Store, StreamName};
use tidegate_streams::Worker;
use tidegate_streams::schedule::{self, Scheduler};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{App, Error};

/// How long the runs of schedules have to end at a shutdown.
const SCHEDULE_GRACE: Duration = Duration::from_secs(10);

/// Which part of the application is run.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "\
Examples:
  shop worker
  shop worker --processors settle,notify
  shop worker --store redis://127.0.0.1:6379")]
pub(super) struct WorkerArgs {
    /// Only these processors; schedules are run by every worker.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    processors: Vec<String>,
}

/// Runs until `shutdown`, or until a processor halts.
pub(super) async fn run(
    app: App,
    store: Arc<dyn Store>,
    args: &WorkerArgs,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    check_names(&app, &args.processors)?;
    let App {
        name,
        streams,
        processors,
        schedules,
        state,
        middleware,
        worker: options,
        ..
    } = app;
    let state = Arc::new(state);
    let mut prepared = Vec::new();
    for planned in processors {
        let wanted = planned.options.name;
        if !args.processors.is_empty() && !args.processors.iter().any(|name| name == wanted) {
            continue;
        }
        let stream = planned.options.stream;
        let Some(registered) = streams.iter().find(|other| other.spec.stream == stream) else {
            return Err(Error::Invalid(format!(
                "processor {wanted} reads the stream {stream:?}, which the application does not \
                 name; add .stream::<…>({stream:?})"
            )));
        };
        let mut processor = planned.prepare(&registered.spec, Arc::clone(&state))?;
        for layer in &middleware {
            processor = processor.with_middleware(Arc::clone(layer));
        }
        prepared.push(processor);
    }
    let names: Vec<&str> = prepared.iter().map(|one| one.name().as_str()).collect();
    info!(
        app = name,
        processors = names.join(","),
        schedules = schedules.len(),
        "working"
    );

    let lease_ttl = options.lease_ttl;
    let worker = Worker::new(Arc::clone(&store), prepared, options)?;
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
    // Whichever fails stops the other; without processors the schedules alone are the work.
    let stop = shutdown.child_token();
    let working = async {
        let ended = worker.run(stop.clone()).await;
        if ended.is_err() {
            stop.cancel();
        }
        ended
    };
    let scheduling = async {
        let ended = scheduler.run(stop.clone()).await;
        if ended.is_err() {
            stop.cancel();
        }
        ended
    };
    let waiting = async {
        stop.cancelled().await;
        Ok::<(), tidegate_streams::Error>(())
    };
    let (worked, scheduled, _) = tokio::join!(working, scheduling, waiting);
    worked?;
    scheduled?;
    Ok(())
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
