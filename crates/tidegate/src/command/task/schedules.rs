//! `task schedule`: what is enqueued by the clock.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_store::task::{Label, QueueName};
use tidegate_tasks::{Enqueue, TaskClient};

use super::show::queues;
use crate::command::output;
use crate::{App, Error};

/// What to do with schedules.
#[derive(Clone, Debug, Subcommand)]
pub(in crate::command) enum ScheduleCommand {
    /// Show them, with their last runs.
    List,
    /// Let its times pass without a run.
    Pause(Named),
    /// Let it run at its times again.
    Resume(Named),
    /// Run it once, now, whatever its times.
    Run(Named),
    /// Forget one that is no longer in the program. One that is begins anew.
    Remove(Named),
}

/// A schedule.
#[derive(Clone, Debug, Args)]
pub(in crate::command) struct Named {
    /// The task's name.
    name: String,
}

pub(super) async fn run(
    app: &App,
    client: &TaskClient,
    command: ScheduleCommand,
    as_json: bool,
) -> Result<(), Error> {
    match command {
        ScheduleCommand::List => list(client, as_json).await,
        ScheduleCommand::Pause(named) => pause(client, &named.name, true, as_json).await,
        ScheduleCommand::Resume(named) => pause(client, &named.name, false, as_json).await,
        ScheduleCommand::Run(named) => run_now(app, client, &named.name, as_json).await,
        ScheduleCommand::Remove(named) => {
            let (queue, label) = find(client, &named.name).await?;
            client.store().remove_schedule(&queue, &label).await?;
            done(&named.name, "removed", as_json);
            Ok(())
        }
    }
}

async fn list(client: &TaskClient, as_json: bool) -> Result<(), Error> {
    let mut rows = Vec::new();
    for queue in queues(client, None).await? {
        for view in client.store().schedules(&queue).await? {
            let ms = i64::try_from(view.last_tick_ms).unwrap_or_default();
            let last = Timestamp::from_millisecond(ms).unwrap_or_default();
            let definition: Value = serde_json::from_slice(&view.definition).unwrap_or_default();
            let times = definition.get("times").cloned().unwrap_or_default();
            if as_json {
                output::json(&json!({
                    "name": view.name.as_str(), "queue": queue.name(), "times": times,
                    "last_tick": last.to_string(), "paused": view.is_paused,
                    "last_task": view.last_task.map(|id| id.to_string()),
                }));
            }
            let state = if view.is_paused { "paused" } else { "" };
            rows.push(vec![
                view.name.to_string(),
                queue.to_string(),
                times.to_string(),
                last.to_string(),
                state.to_owned(),
            ]);
        }
    }
    if as_json {
        return Ok(());
    }
    if rows.is_empty() {
        output::line("no schedules");
        return Ok(());
    }
    let header = ["task", "queue", "times", "last tick", ""];
    output::table(&header, header.len(), rows);
    Ok(())
}

async fn find(client: &TaskClient, name: &str) -> Result<(QueueName, Label), Error> {
    for queue in queues(client, None).await? {
        let schedules = client.store().schedules(&queue).await?;
        if let Some(view) = schedules.into_iter().find(|it| it.name.as_str() == name) {
            return Ok((queue, view.name));
        }
    }
    Err(Error::Invalid(format!(
        "there is no schedule {name:?}; `task schedule list` shows those that workers have declared"
    )))
}

async fn pause(client: &TaskClient, name: &str, paused: bool, as_json: bool) -> Result<(), Error> {
    let (queue, label) = find(client, name).await?;
    client
        .store()
        .pause_schedule(&queue, &label, paused)
        .await?;
    done(name, if paused { "paused" } else { "resumed" }, as_json);
    Ok(())
}

async fn run_now(app: &App, client: &TaskClient, name: &str, as_json: bool) -> Result<(), Error> {
    let mut known = app.tasks.registered.iter().map(|task| task.options());
    let options = known.find(|it| it.name == name && it.schedule.is_some());
    let Some(options) = options else {
        return Err(Error::Invalid(format!(
            "the application has no scheduled task {name:?}"
        )));
    };
    let sent = Enqueue::declared(options, &()).send(client).await?;
    if as_json {
        output::json(&json!({"id": sent.id.to_string(), "queue": sent.queue.name()}));
    } else {
        output::line(sent.id.to_string());
    }
    Ok(())
}

fn done(name: &str, what: &str, as_json: bool) {
    if as_json {
        output::json(&json!({"schedule": name, what: true}));
    } else {
        output::line(format!("{name} is {what}"));
    }
}
