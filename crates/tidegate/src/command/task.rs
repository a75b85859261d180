//! `task`: enqueues tasks, shows them, and deals with those that are dead or of unknown outcome.
//!
//! All of it can be done while workers run. Arguments are never shown in lists; `show --arguments`
//! shows them, unless they are sealed. A command that works on many tasks and dies in the middle has
//! dealt with some of them; do it again.

mod act;
mod schedules;
mod show;

use clap::{Args, Subcommand, ValueEnum};
use tidegate_tasks::{TaskClient, TaskId};

use crate::{App, Error};

/// What to do with tasks.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum TaskCommand {
    /// Show the queues with their counts, or the tasks of a queue.
    #[command(after_help = "\
Examples:
  shop task list
  shop task list webhooks --state scheduled")]
    List(show::ListArgs),
    /// Show a task.
    Show(show::ShowArgs),
    /// Enqueue a task by its name.
    #[command(after_help = "\
Examples:
  shop task enqueue send_webhook '{\"url\":\"https://example.com\"}'
  shop task enqueue report --delay 5m --unique-key today")]
    Enqueue(act::EnqueueArgs),
    /// Cancel tasks: those that run are ended.
    Cancel(Chosen),
    /// Show the dead letters of a queue.
    Dead(show::DeadArgs),
    /// Make dead tasks, or those of unknown outcome, ready again.
    #[command(after_help = "\
Examples:
  shop task retry 0192f3c0-1c4b-7d3e-9a55-0f0f0f0f0f0f
  shop task retry --all --queue webhooks")]
    Retry(Chosen),
    /// Give dead tasks up for good.
    Discard(Chosen),
    /// Say what has become of tasks of unknown outcome.
    Resolve(act::ResolveArgs),
    /// Make scheduled tasks due now.
    Due(Chosen),
    /// Take nothing from a queue for now. What runs goes on.
    Pause(Queue),
    /// Take from a queue again.
    Resume(Queue),
    /// Cancel all that has not begun in a queue.
    Purge(act::PurgeArgs),
    /// Prove that no task was lost: each that was enqueued is done, dead, cancelled, waiting or
    /// running.
    Verify(show::VerifyArgs),
    /// Look at schedules, pause them, or run one now.
    #[command(subcommand)]
    Schedule(schedules::ScheduleCommand),
}

/// A queue.
#[derive(Clone, Debug, Args)]
pub(super) struct Queue {
    /// The queue.
    queue: String,
}

/// Some tasks.
#[derive(Clone, Debug, Args)]
pub(super) struct Chosen {
    /// The tasks.
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    ids: Vec<TaskId>,
    /// All of the queue that this can be done with.
    #[arg(long, requires = "queue")]
    all: bool,
    /// Their queue; all are searched unless it is given.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
}

/// Where a task is, for the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StateArg {
    Scheduled,
    Ready,
    Blocked,
    Running,
    Dead,
    Unknown,
}

impl From<StateArg> for tidegate_store::task::State {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Scheduled => Self::Scheduled,
            StateArg::Ready => Self::Ready,
            StateArg::Blocked => Self::Blocked,
            StateArg::Running => Self::Running,
            StateArg::Dead => Self::Dead,
            StateArg::Unknown => Self::Unknown,
        }
    }
}

/// Runs the command.
pub(super) async fn run(
    app: &App,
    client: &TaskClient,
    command: TaskCommand,
    as_json: bool,
) -> Result<(), Error> {
    match command {
        TaskCommand::List(args) => show::list(client, &args, as_json).await,
        TaskCommand::Show(args) => show::show(client, &args, as_json).await,
        TaskCommand::Dead(args) => show::dead(client, &args, as_json).await,
        TaskCommand::Verify(args) => show::verify(client, &args, as_json).await,
        TaskCommand::Enqueue(args) => act::enqueue(app, client, &args, as_json).await,
        TaskCommand::Cancel(chosen) => act::cancel(client, &chosen, as_json).await,
        TaskCommand::Retry(chosen) => act::retry(client, &chosen, as_json).await,
        TaskCommand::Discard(chosen) => act::discard(client, &chosen, as_json).await,
        TaskCommand::Resolve(args) => act::resolve(client, &args, as_json).await,
        TaskCommand::Due(chosen) => act::make_due(client, &chosen, as_json).await,
        TaskCommand::Pause(queue) => act::pause(client, &queue.queue, true, as_json).await,
        TaskCommand::Resume(queue) => act::pause(client, &queue.queue, false, as_json).await,
        TaskCommand::Purge(args) => act::purge(client, &args, as_json).await,
        TaskCommand::Schedule(command) => schedules::run(app, client, command, as_json).await,
    }
}
