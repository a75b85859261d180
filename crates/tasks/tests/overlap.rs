//! A schedule whose runs take longer than the time between them.

#![cfg(test)]
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_macros::task;
use tidegate_store::task::MemoryTaskStore;
use tidegate_tasks::{
    BoxError, Options, Registered, State, StateMap, TaskClient, TaskContext, Worker,
};
use tidegate_testkit::poll_until;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(60);

/// How many runs are under way, how many were at most, and how many have ended.
#[derive(Clone, Debug, Default)]
struct Runs(Arc<[AtomicUsize; 3]>);

impl Runs {
    async fn run(&self, context: &TaskContext) -> Result<(), BoxError> {
        let [now, most, ended] = &*self.0;
        context.planned_at().ok_or("a run without its time")?;
        let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(at_once, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(350)).await;
        now.fetch_sub(1, Ordering::SeqCst);
        ended.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn most(&self) -> usize {
        self.0[1].load(Ordering::SeqCst)
    }

    fn ended(&self) -> usize {
        self.0[2].load(Ordering::SeqCst)
    }
}

#[task(
    queue = "clock",
    every = "100ms",
    overlap = "skip",
    crate = "tidegate_tasks"
)]
async fn skip(context: TaskContext, State(runs): State<Runs>) -> Result<(), BoxError> {
    runs.run(&context).await
}

#[task(
    queue = "clock",
    every = "100ms",
    overlap = "queue",
    crate = "tidegate_tasks"
)]
async fn queue(context: TaskContext, State(runs): State<Runs>) -> Result<(), BoxError> {
    runs.run(&context).await
}

#[task(
    queue = "clock",
    every = "100ms",
    overlap = "allow",
    crate = "tidegate_tasks"
)]
async fn allow(context: TaskContext, State(runs): State<Runs>) -> Result<(), BoxError> {
    runs.run(&context).await
}

/// Runs a task at its times on two workers until it has run so often.
async fn run(task: Registered, count: usize) -> (Runs, u64) {
    let store = Arc::new(MemoryTaskStore::new());
    let client = TaskClient::new(store, "test").unwrap();
    let runs = Runs::default();
    let shutdown = CancellationToken::new();
    let workers = [0, 1].map(|_| {
        let mut state = StateMap::new();
        state.insert(runs.clone());
        let tasks = vec![task.clone()];
        let worker = Worker::new(client.clone(), tasks, Arc::new(state), Options::default());
        tokio::spawn(worker.unwrap().run(shutdown.clone()))
    });
    let enough = poll_until(SOON, async || runs.ended() >= count).await;
    assert!(enough.is_ok(), "{runs:?}");
    shutdown.cancel();
    for worker in workers {
        worker.await.unwrap().unwrap();
    }
    let clock = client.queue("clock").unwrap();
    let counts = client.store().status(&clock).await.unwrap().counts;
    (runs, counts.waiting())
}

#[tokio::test]
async fn a_run_that_finds_the_former_one_under_way_is_left_out() {
    let (runs, waiting) = run(Registered::new(skip), 4).await;
    assert_eq!((runs.most(), waiting), (1, 0));
}

#[tokio::test]
async fn a_run_that_finds_the_former_one_under_way_waits_and_further_ones_are_left_out() {
    let (runs, waiting) = run(Registered::new(queue), 4).await;
    assert_eq!(runs.most(), 1);
    assert!(waiting <= 1, "{waiting} wait");
}

#[tokio::test]
async fn runs_may_be_allowed_to_overlap() {
    let (runs, _) = run(Registered::new(allow), 6).await;
    assert!(runs.most() > 1, "{runs:?}");
}
