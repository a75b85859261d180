//! What users' unit tests do: tasks without a server, and middleware around them.

#![cfg(test)]
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_macros::task;
use tidegate_store::task::{Enqueued, NewTask, QueueName};
use tidegate_tasks::state::{Death, Ending};
use tidegate_tasks::testing::{self, TestTasks};
use tidegate_tasks::{
    Begin, BoxError, Error, Failure, Group, Registered, State, StateMap, TaskContext, TaskId,
    TaskMiddleware,
};

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn write(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    fn read(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Adds up; a negative number stumbles once, zero for ever.
#[task(queue = "sums", backoff = "1h..24h", crate = "tidegate_tasks")]
async fn double(
    ctx: TaskContext,
    number: i64,
    State(notes): State<Notes>,
) -> Result<i64, BoxError> {
    if number == 0 {
        return Err(Failure::permanent("nothing").into());
    }
    if number < 0 && ctx.attempt() == 1 {
        return Err("stumbles".into());
    }
    notes.write(format!("{number}"));
    Ok(number * 2)
}

#[task(queue = "mail", crate = "tidegate_tasks")]
async fn tell(what: String, State(notes): State<Notes>) -> Result<(), BoxError> {
    notes.write(what);
    Ok(())
}

fn tasks(notes: &Notes) -> TestTasks {
    let mut state = StateMap::new();
    state.insert(notes.clone());
    TestTasks::new(vec![Registered::new(double), Registered::new(tell)], state).unwrap()
}

#[tokio::test]
async fn a_function_is_called_inline() {
    let mut state = StateMap::new();
    let missing = testing::call::<_, i64>(&double, 4, &state).await;
    assert!(missing.unwrap_err().to_string().contains("Notes"));
    state.insert(Notes::default());
    assert_eq!(
        testing::call::<_, i64>(&double, 4, &state).await.unwrap(),
        8
    );
    assert!(testing::call::<_, i64>(&double, -4, &state).await.is_err());
}

#[tokio::test]
async fn all_runs_in_memory_with_its_retries_and_what_follows_without_waiting() {
    let notes = Notes::default();
    let tasks = tasks(&notes);
    let group = Group::of([double::enqueue(3), double::enqueue(-5).delay("7d")]);
    let group = group.on_completion(tell::enqueue("all".into()));
    group.send(tasks.client()).await.unwrap();
    double::enqueue(0).send(tasks.client()).await.unwrap();
    let counts = tasks.run_all().await.unwrap();
    assert_eq!((counts.done, counts.dead, counts.waiting()), (3, 1, 0));
    assert!(counts.is_balanced());
    let mut written = notes.read();
    assert_eq!(written.pop().as_deref(), Some("all"));
    written.sort_unstable();
    assert_eq!(written, ["-5", "3"]);
    let dead = tasks.dead().await.unwrap();
    assert_eq!(dead, [("double".to_owned(), "nothing".to_owned())]);
}

/// Writes every hook down; refuses 13, and skips 12.
struct Watch(Notes);

impl TaskMiddleware for Watch {
    fn before_enqueue(&self, _: &QueueName, task: &mut NewTask) -> Result<(), Error> {
        if &*task.payload == b"13" {
            return Err(Error::Invalid("13 is bad luck".into()));
        }
        self.0.write(format!("before_enqueue {}", task.name));
        Ok(())
    }

    fn after_enqueue(&self, _: &QueueName, _: TaskId, _: Enqueued) {
        self.0.write("after_enqueue");
    }

    fn before_process(&self, context: &TaskContext) -> Begin {
        self.0.write("before_process");
        match context.key() {
            Some("skip") => Begin::Skip("told so".into()),
            _ => Begin::Process,
        }
    }

    fn after_process(&self, _: &TaskContext, ending: Ending, _: Duration) {
        self.0.write(format!("after_process {ending:?}"));
    }

    fn after_skip(&self, _: &TaskContext, reason: &str) {
        self.0.write(format!("after_skip {reason}"));
    }

    fn after_retry(&self, _: &TaskContext, pause: Duration) {
        assert!(pause >= Duration::from_secs(3600), "{pause:?}");
        self.0.write("after_retry");
    }

    fn after_dead(&self, _: &TaskContext, death: Death) {
        self.0.write(format!("after_dead {death}"));
    }
}

#[tokio::test]
async fn middleware_sees_each_step_and_may_refuse_and_skip() {
    let watched = Notes::default();
    let client = tasks(&watched).client().clone();
    let watch = Notes::default();
    let client = client.with_middleware(Arc::new(Watch(watch.clone())));
    let mut state = StateMap::new();
    state.insert(watched.clone());
    let tasks = TestTasks::new(vec![Registered::new(double)], state).unwrap();
    let tasks = tasks.with_client(client);

    let refused = double::enqueue(13).send(tasks.client()).await;
    assert!(refused.unwrap_err().to_string().contains("bad luck"));
    assert!(watch.read().is_empty());
    double::enqueue(12)
        .key("skip")
        .send(tasks.client())
        .await
        .unwrap();
    tasks.run_all().await.unwrap();
    double::enqueue(-1).send(tasks.client()).await.unwrap();
    tasks.run_all().await.unwrap();
    double::enqueue(0).send(tasks.client()).await.unwrap();
    tasks.run_all().await.unwrap();
    assert_eq!(watched.read(), ["-1"]);
    let enqueued = ["before_enqueue double", "after_enqueue", "before_process"];
    let expected = [
        &enqueued[..],
        &["after_skip told so"],
        &enqueued,
        &[
            "after_process Failed(Default)",
            "after_retry",
            "before_process",
        ],
        &["after_process Done"],
        &enqueued,
        &[
            "after_process Failed(Permanent)",
            "after_dead not retryable",
        ],
    ];
    assert_eq!(watch.read(), expected.concat());
}
