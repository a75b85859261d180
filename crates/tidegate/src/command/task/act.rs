//! What changes something: enqueue, cancel, retry, discard, resolve, pause, purge.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tidegate_store::task::{Priority, QueueName, Resolution, State};
use tidegate_tasks::{Enqueue, TaskClient, TaskId};

use super::Chosen;
use super::show::{queues, tasks_of};
use crate::command::output;
use crate::{App, Error};

/// The most tasks that one call of the store deals with.
const PORTION: usize = 500;

/// What is enqueued.
#[derive(Clone, Debug, Args)]
pub(in crate::command) struct EnqueueArgs {
    /// The task's name.
    name: String,
    /// Its arguments as JSON.
    #[arg(default_value = "null", value_name = "JSON")]
    arguments: String,
    /// Another queue than the declared one.
    #[arg(long)]
    queue: Option<String>,
    /// Not before so long: 5s, 1h30m.
    #[arg(long, value_name = "TIME")]
    delay: Option<String>,
    /// Tasks of one key run one after the other.
    #[arg(long)]
    key: Option<String>,
    /// Not while another one with this key is unfinished.
    #[arg(long, value_name = "KEY")]
    unique_key: Option<String>,
    /// Before the others of its queue.
    #[arg(long)]
    high: bool,
}

/// What a person says of tasks of unknown outcome.
#[derive(Clone, Debug, Args)]
pub(in crate::command) struct ResolveArgs {
    #[command(flatten)]
    chosen: Chosen,
    /// What has become of them.
    #[arg(long = "as", value_enum)]
    resolution: ResolutionArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ResolutionArg {
    /// They have had their effect.
    Done,
    /// They have not: they run again.
    Retry,
    /// They have not, and won't: they are dead letters.
    Dead,
}

/// What is purged.
#[derive(Clone, Debug, Args)]
pub(in crate::command) struct PurgeArgs {
    /// The queue.
    queue: String,
    /// Yes, cancel all of it.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn enqueue(
    app: &App,
    client: &TaskClient,
    args: &EnqueueArgs,
    as_json: bool,
) -> Result<(), Error> {
    let mut known = app.tasks.registered.iter().map(|task| task.options());
    let options = known
        .find(|options| options.name == args.name)
        .ok_or_else(|| {
            let known = app.tasks.registered.iter().map(|task| task.options().name);
            Error::Invalid(format!(
                "the application has no task {:?}; it has: {}",
                args.name,
                known.collect::<Vec<_>>().join(", ")
            ))
        })?;
    let arguments: Value = serde_json::from_str(&args.arguments)
        .map_err(|error| Error::Invalid(format!("the arguments are no JSON: {error}")))?;
    let mut task = Enqueue::declared(options, &arguments);
    if let Some(queue) = &args.queue {
        task = task.queue(queue);
    }
    if let Some(delay) = &args.delay {
        task = task.delay(delay.as_str());
    }
    if let Some(key) = &args.key {
        task = task.key(key);
    }
    if let Some(key) = &args.unique_key {
        task = task.unique_key(key);
    }
    if args.high {
        task = task.priority(Priority::High);
    }
    let sent = task.send(client).await?;
    if as_json {
        output::json(&json!({
            "id": sent.id.to_string(), "queue": sent.queue.name(), "duplicate": sent.is_duplicate,
        }));
    } else if sent.is_duplicate {
        output::line(format!("{} was there before", sent.id));
    } else {
        output::line(sent.id.to_string());
    }
    Ok(())
}

/// The chosen tasks of each queue; of `--all`, those in the given states.
async fn chosen(
    client: &TaskClient,
    chosen: &Chosen,
    states: &[State],
) -> Result<Vec<(QueueName, Vec<TaskId>)>, Error> {
    let mut found = Vec::new();
    for queue in queues(client, chosen.queue.as_deref()).await? {
        let mut ids = chosen.ids.clone();
        if chosen.all {
            for state in states {
                let views = tasks_of(client, &queue, *state, usize::MAX).await?;
                ids.extend(views.iter().map(|view| view.id));
            }
        }
        found.push((queue, ids));
    }
    Ok(found)
}

/// Reports how many were dealt with; with names, all of them have to be.
fn report(what: &str, given: &Chosen, count: usize, as_json: bool) -> Result<(), Error> {
    if as_json {
        output::json(&json!({what: count}));
    } else {
        output::line(format!("{what} {count}"));
    }
    if count < given.ids.len() {
        return Err(Error::Invalid(format!(
            "{} of {} tasks were not: no queue holds them in a state in which this can be done",
            given.ids.len() - count,
            given.ids.len()
        )));
    }
    Ok(())
}

pub(super) async fn cancel(
    client: &TaskClient,
    given: &Chosen,
    as_json: bool,
) -> Result<(), Error> {
    let waiting = [
        State::Scheduled,
        State::Ready,
        State::Blocked,
        State::Running,
    ];
    let mut count = 0;
    for (queue, ids) in chosen(client, given, &waiting).await? {
        for ids in ids.chunks(PORTION) {
            let states = client.store().cancel(&queue, ids).await?;
            let is_done =
                |it: &Option<State>| matches!(it, Some(State::Cancelled | State::Running));
            count += states.iter().filter(|it| is_done(it)).count();
        }
    }
    report("cancelled", given, count, as_json)
}

pub(super) async fn retry(client: &TaskClient, given: &Chosen, as_json: bool) -> Result<(), Error> {
    let count = resolve_as(client, given, &[State::Dead], Resolution::Retry).await?;
    report("retried", given, count, as_json)
}

pub(super) async fn discard(
    client: &TaskClient,
    given: &Chosen,
    as_json: bool,
) -> Result<(), Error> {
    let count = resolve_as(client, given, &[State::Dead], Resolution::Discard).await?;
    report("discarded", given, count, as_json)
}

pub(super) async fn resolve(
    client: &TaskClient,
    args: &ResolveArgs,
    as_json: bool,
) -> Result<(), Error> {
    let resolution = match args.resolution {
        ResolutionArg::Done => Resolution::Done,
        ResolutionArg::Retry => Resolution::Retry,
        ResolutionArg::Dead => Resolution::Dead,
    };
    let count = resolve_as(client, &args.chosen, &[State::Unknown], resolution).await?;
    report("resolved", &args.chosen, count, as_json)
}

async fn resolve_as(
    client: &TaskClient,
    given: &Chosen,
    states: &[State],
    resolution: Resolution,
) -> Result<usize, Error> {
    let mut count = 0;
    for (queue, ids) in chosen(client, given, states).await? {
        for ids in ids.chunks(PORTION) {
            let states = client.store().resolve(&queue, ids, resolution).await?;
            count += states.iter().flatten().count();
        }
    }
    Ok(count)
}

pub(super) async fn make_due(
    client: &TaskClient,
    given: &Chosen,
    as_json: bool,
) -> Result<(), Error> {
    let mut count = 0;
    for (queue, ids) in chosen(client, given, &[State::Scheduled]).await? {
        for ids in ids.chunks(PORTION) {
            let due = client.store().make_due(&queue, ids).await?;
            count += usize::try_from(due).unwrap_or(usize::MAX);
        }
    }
    report("made_due", given, count, as_json)
}

pub(super) async fn pause(
    client: &TaskClient,
    queue: &str,
    paused: bool,
    as_json: bool,
) -> Result<(), Error> {
    let name = client.queue(queue)?;
    client.store().pause(&name, paused).await?;
    if as_json {
        output::json(&json!({"queue": queue, "paused": paused}));
    } else {
        let what = if paused { "is paused" } else { "goes on" };
        output::line(format!("{queue} {what}"));
    }
    Ok(())
}

pub(super) async fn purge(
    client: &TaskClient,
    args: &PurgeArgs,
    as_json: bool,
) -> Result<(), Error> {
    let queue = client.queue(&args.queue)?;
    if !args.yes {
        let waiting = client.store().status(&queue).await?.counts.waiting();
        return Err(Error::Invalid(format!(
            "this would cancel {waiting} tasks of {queue} for good; say so with --yes"
        )));
    }
    let purged = client.store().purge(&queue).await?;
    if as_json {
        output::json(&json!({"queue": args.queue, "cancelled": purged}));
    } else {
        output::line(format!("cancelled {purged}"));
    }
    Ok(())
}
