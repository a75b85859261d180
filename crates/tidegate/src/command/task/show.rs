//! What is only looked at: queues, tasks, dead letters, and the sum of them all.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_store::task::{Counts, Page, QueueName, State, TaskView};
use tidegate_tasks::{TaskClient, TaskId};

use super::StateArg;
use crate::Error;
use crate::command::output;

/// How many tasks one call of the store shows.
const PAGE: usize = 500;

/// What `list` shows.
#[derive(Clone, Debug, Args)]
pub(in crate::command) struct ListArgs {
    /// The queue; without one, all queues with their counts.
    queue: Option<String>,
    /// Only tasks in this state.
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// How many at most.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    count: usize,
}

/// What `dead` shows.
#[derive(Clone, Debug, Args)]
pub(in crate::command) struct DeadArgs {
    /// The queue; without one, all of them.
    queue: Option<String>,
    /// How many of each at most.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    count: usize,
}

/// What `show` shows.
#[derive(Clone, Debug, Args)]
pub(in crate::command) struct ShowArgs {
    /// The task.
    id: TaskId,
    /// Show its arguments as well, unless they are sealed.
    #[arg(long)]
    arguments: bool,
}

/// What `verify` looks at.
#[derive(Clone, Debug, Args)]
pub(in crate::command) struct VerifyArgs {
    /// The queue; without one, all of them.
    queue: Option<String>,
}

/// The queues that are meant: the named one, or all of the app.
pub(super) async fn queues(
    client: &TaskClient,
    name: Option<&str>,
) -> Result<Vec<QueueName>, Error> {
    match name {
        Some(name) => Ok(vec![client.queue(name)?]),
        None => Ok(client.store().queues(client.app()).await?),
    }
}

pub(super) async fn list(client: &TaskClient, args: &ListArgs, as_json: bool) -> Result<(), Error> {
    let Some(queue) = &args.queue else {
        return list_queues(client, as_json).await;
    };
    let queue = client.queue(queue)?;
    let states = match args.state {
        Some(state) => vec![state.into()],
        None => State::HELD.to_vec(),
    };
    let mut views = Vec::new();
    for state in states {
        let left = args.count - views.len().min(args.count);
        views.extend(tasks_of(client, &queue, state, left).await?);
    }
    print_tasks(&queue, &views, as_json);
    Ok(())
}

async fn list_queues(client: &TaskClient, as_json: bool) -> Result<(), Error> {
    let mut rows = Vec::new();
    for queue in client.store().queues(client.app()).await? {
        let status = client.store().status(&queue).await?;
        let counts = status.counts;
        if as_json {
            let line = counts_json(&queue, &counts);
            let line = with(line, "paused", json!(status.is_paused));
            output::json(&with(line, "workers", json!(status.workers.len())));
        }
        let name = match status.is_paused {
            true => format!("{queue} (paused)"),
            false => queue.to_string(),
        };
        let numbers = [
            counts.ready,
            counts.scheduled,
            counts.blocked,
            counts.running,
            counts.done,
            counts.dead,
            counts.unknown,
            counts.cancelled,
            status.workers.len() as u64,
        ];
        let numbers = numbers.iter().map(u64::to_string);
        rows.push(std::iter::once(name).chain(numbers).collect());
    }
    if as_json {
        return Ok(());
    }
    if rows.is_empty() {
        output::line("no tasks were ever enqueued");
        return Ok(());
    }
    let header = [
        "queue",
        "ready",
        "scheduled",
        "blocked",
        "running",
        "done",
        "dead",
        "unknown",
        "cancelled",
        "workers",
    ];
    output::table(&header, 1, rows);
    Ok(())
}

/// The object with one more field.
fn with(mut object: Value, name: &str, value: Value) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.insert(name.to_owned(), value);
    }
    object
}

fn counts_json(queue: &QueueName, counts: &Counts) -> Value {
    json!({
        "queue": queue.name(), "enqueued": counts.enqueued, "done": counts.done,
        "dead": counts.dead, "cancelled": counts.cancelled, "discarded": counts.discarded,
        "unknown": counts.unknown, "scheduled": counts.scheduled, "ready": counts.ready,
        "blocked": counts.blocked, "running": counts.running,
    })
}

/// Up to `count` tasks of a state.
pub(super) async fn tasks_of(
    client: &TaskClient,
    queue: &QueueName,
    state: State,
    count: usize,
) -> Result<Vec<TaskView>, Error> {
    let mut views = Vec::new();
    while views.len() < count {
        let page = Page {
            offset: views.len(),
            limit: PAGE.min(count - views.len()),
        };
        let found = client.store().list(queue, state, page).await?;
        if found.is_empty() {
            break;
        }
        views.extend(found);
    }
    Ok(views)
}

fn print_tasks(queue: &QueueName, views: &[TaskView], as_json: bool) {
    if as_json {
        for view in views {
            output::json(&task_json(queue, view));
        }
        return;
    }
    if views.is_empty() {
        output::line("no tasks");
        return;
    }
    let row = |view: &TaskView| {
        let failure = view.failure.as_ref();
        vec![
            view.id.to_string(),
            view.name.to_string(),
            view.state.as_str().to_owned(),
            time(view.at_ms).unwrap_or_default(),
            view.attempts.to_string(),
            failure.map_or_else(String::new, |it| format!("{}: {}", it.reason, it.error)),
        ]
    };
    let header = ["id", "task", "state", "at", "attempts", "failure"];
    output::table(&header, header.len(), views.iter().map(row).collect());
}

fn task_json(queue: &QueueName, view: &TaskView) -> Value {
    let failure = view.failure.as_ref();
    let label = |label: &Option<tidegate_store::task::Label>| {
        label.as_ref().map(|label| label.as_str().to_owned())
    };
    let progress = view.progress.as_ref();
    json!({
        "id": view.id.to_string(), "task": view.name.as_str(), "queue": queue.name(),
        "state": view.state.as_str(), "at": time(view.at_ms),
        "enqueued_at": time(view.enqueued_at_ms), "attempts": view.attempts, "lost": view.lost,
        "key": label(&view.ordering_key), "tenant": label(&view.tenant),
        "reason": failure.map(|it| it.reason.clone()),
        "error": failure.map(|it| it.error.clone()),
        "worker": view.holder.map(|(worker, _)| worker.to_string()),
        "cancelling": view.is_cancelling,
        "progress": progress.and_then(|it| serde_json::from_slice::<Value>(it).ok()),
    })
}

fn time(ms: u64) -> Option<String> {
    let ms = i64::try_from(ms).ok().filter(|ms| *ms > 0)?;
    Some(Timestamp::from_millisecond(ms).ok()?.to_string())
}

pub(super) async fn show(client: &TaskClient, args: &ShowArgs, as_json: bool) -> Result<(), Error> {
    for queue in queues(client, None).await? {
        let Some(view) = client.store().show(&queue, args.id).await? else {
            continue;
        };
        let mut shown = task_json(&queue, &view);
        if args.arguments {
            // What is sealed is no JSON, and stays unreadable here.
            let arguments = serde_json::from_slice::<Value>(&view.payload);
            let arguments = arguments.unwrap_or_else(|_| json!("sealed, or not JSON"));
            shown = with(shown, "arguments", arguments);
        }
        if as_json {
            output::json(&shown);
        } else if let Value::Object(fields) = shown {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            let rows = fields.map(|(name, value)| match value {
                Value::String(text) => vec![name, text],
                other => vec![name, other.to_string()],
            });
            output::table(&["", ""], 2, rows.collect());
        }
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "no queue holds the task {}: it is done, cancelled, discarded, or never was",
        args.id
    )))
}

pub(super) async fn dead(client: &TaskClient, args: &DeadArgs, as_json: bool) -> Result<(), Error> {
    for queue in queues(client, args.queue.as_deref()).await? {
        let views = tasks_of(client, &queue, State::Dead, args.count).await?;
        if !views.is_empty() || args.queue.is_some() {
            print_tasks(&queue, &views, as_json);
        }
    }
    Ok(())
}

pub(super) async fn verify(
    client: &TaskClient,
    args: &VerifyArgs,
    as_json: bool,
) -> Result<(), Error> {
    let mut wrong = Vec::new();
    for queue in queues(client, args.queue.as_deref()).await? {
        let counts = client.store().status(&queue).await?.counts;
        let is_balanced = counts.is_balanced();
        if as_json {
            let line = counts_json(&queue, &counts);
            output::json(&with(line, "balanced", json!(is_balanced)));
        } else {
            let word = if is_balanced { "ok" } else { "WRONG" };
            output::line(format!(
                "{queue}: {word}: {} enqueued = {} done + {} dead + {} cancelled + {} discarded + \
                 {} unknown + {} waiting + {} running",
                counts.enqueued,
                counts.done,
                counts.dead,
                counts.cancelled,
                counts.discarded,
                counts.unknown,
                counts.waiting(),
                counts.running,
            ));
        }
        if !is_balanced {
            wrong.push(queue.to_string());
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "the sums of these queues are wrong: {}; the store has lost something, or something else \
         writes there",
        wrong.join(", ")
    )))
}
