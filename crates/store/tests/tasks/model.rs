//! The backends answer as the model does, whatever is asked in whichever order.
//!
//! The model is the store in memory. Every answer and every count is compared but for times and
//! fences, which each store makes from its own clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tidegate_store::WorkerId;
use tidegate_store::task::{
    Due, Finished, Limits, MemoryTaskStore, NewTask, OnLost, Outcome, Page, Priority, QueueName,
    Resolution, State, Taken, TaskId, TaskStore, TaskView, Unique, UniqueSpan,
};

use crate::site::{LONG, Site, failure, label, task};

/// How many sequences are tried, and the most steps of one.
const SEQUENCES: u32 = 60;
const STEPS_MAX: usize = 80;
const WORKERS: usize = 3;

/// One thing that is asked. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Enqueue(Vec<Choice>),
    EnqueueAgain(usize),
    Take(usize, usize, usize),
    Finish(usize, usize),
    Cancel(Vec<usize>),
    MakeDue(usize),
    Resolve(usize, usize),
    Die(usize),
    Pause(bool),
    Purge,
    DiscardDead,
}

/// What a task is like.
#[derive(Clone, Debug)]
struct Choice {
    priority: usize,
    tenant: usize,
    ordering: usize,
    limit: usize,
    unique: usize,
    is_delayed: bool,
    is_parked: bool,
}

fn choice() -> impl Strategy<Value = Choice> {
    let priority = prop_oneof![1 => Just(0), 6 => Just(1), 1 => Just(2)];
    let features = (priority, 0..5_usize, 0..5_usize, 0..2_usize, 0..9_usize);
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    let any = (features, flags).prop_map(|(features, (is_delayed, is_parked))| Choice {
        priority: features.0,
        tenant: features.1,
        ordering: features.2,
        limit: features.3,
        unique: features.4,
        is_delayed,
        is_parked,
    });
    let plain = Choice {
        priority: 1,
        tenant: 9,
        ordering: 9,
        limit: 9,
        unique: 9,
        is_delayed: false,
        is_parked: false,
    };
    prop_oneof![1 => Just(plain), 2 => any]
}

fn step() -> impl Strategy<Value = Step> {
    let rarely = prop::bool::weighted(0.25);
    prop_oneof![
        12 => vec(choice(), 1..5).prop_map(Step::Enqueue),
        2 => any::<usize>().prop_map(Step::EnqueueAgain),
        12 => (0..WORKERS, 1..5_usize, 0..4_usize).prop_map(|(w, max, l)| Step::Take(w, max, l)),
        16 => (any::<usize>(), 0..9_usize).prop_map(|(which, how)| Step::Finish(which, how)),
        3 => vec(any::<usize>(), 1..3).prop_map(Step::Cancel),
        2 => any::<usize>().prop_map(Step::MakeDue),
        4 => (any::<usize>(), 0..4_usize).prop_map(|(which, how)| Step::Resolve(which, how)),
        2 => (0..WORKERS).prop_map(Step::Die),
        1 => rarely.prop_map(Step::Pause),
        1 => Just(Step::Purge),
        1 => Just(Step::DiscardDead),
    ]
}

/// A queue in one store, with what is known of it.
struct Bench {
    store: Arc<dyn TaskStore>,
    queue: QueueName,
    workers: Vec<WorkerId>,
    /// All attempts so far, also those that have ended.
    attempts: Vec<Taken>,
}

impl Bench {
    async fn new(store: Arc<dyn TaskStore>, queue: QueueName, workers: &[WorkerId]) -> Self {
        for worker in workers {
            store.beat(&queue, *worker, LONG).await.unwrap();
        }
        Self {
            store,
            queue,
            workers: workers.to_vec(),
            attempts: Vec::new(),
        }
    }

    /// Does a step, and returns all that it answered, as text. `tasks` are all that were enqueued.
    async fn run(&mut self, step: &Step, new: &[NewTask], tasks: &[NewTask]) -> String {
        let (store, queue) = (&self.store, &self.queue);
        let id = |which: usize| tasks.get(which % tasks.len().max(1)).map(|it| it.id);
        let fresh = TaskId::new(uuid::Uuid::nil());
        match step {
            Step::Enqueue(_) | Step::EnqueueAgain(_) => {
                let results = store.enqueue(queue, new.to_vec()).await;
                format!("{results:?}")
            }
            Step::Take(worker, max, limits) => {
                let limits = limits_of(*limits);
                let worker = self.workers[*worker];
                let take = store.take(queue, worker, *max, &limits).await.unwrap();
                let text: Vec<_> = take.tasks.iter().map(without_times).collect();
                let text = format!("{text:?} {} {}", take.has_more, take.next_in.is_some());
                self.attempts.extend(take.tasks);
                text
            }
            Step::Finish(which, how) => {
                let count = self.attempts.len().max(1);
                // Mostly one of the last attempts, which may still be under way.
                let Some(taken) = self.attempts.iter().rev().nth(which % count.min(8)) else {
                    return String::new();
                };
                let finished = Finished {
                    id: taken.id,
                    fence: taken.fence,
                    outcome: outcome_of(*how),
                    result: None,
                };
                let mut results = store.finish(queue, vec![finished]).await;
                format!("{:?}", results.remove(0).ok())
            }
            Step::Cancel(which) => {
                let ids: Vec<_> = which.iter().map(|it| id(*it).unwrap_or(fresh)).collect();
                format!("{:?}", store.cancel(queue, &ids).await.unwrap())
            }
            Step::MakeDue(which) => {
                let ids = [id(*which).unwrap_or(fresh)];
                format!("{:?}", store.make_due(queue, &ids).await.unwrap())
            }
            Step::Resolve(which, how) => {
                let ids = [id(*which).unwrap_or(fresh)];
                let resolution = resolution_of(*how);
                format!(
                    "{:?}",
                    store.resolve(queue, &ids, resolution).await.unwrap()
                )
            }
            Step::Die(worker) => {
                let worker = self.workers[*worker];
                store.leave(queue, worker).await.unwrap();
                let mut recovered = store.recover(queue, 2).await.unwrap();
                let beat = store.beat(queue, worker, LONG).await.unwrap();
                recovered.sort_unstable();
                format!("{recovered:?} {beat:?}")
            }
            Step::Pause(paused) => format!("{:?}", store.pause(queue, *paused).await.unwrap()),
            Step::Purge => format!("{:?}", store.purge(queue).await.unwrap()),
            Step::DiscardDead => {
                let all = std::time::Duration::ZERO;
                format!("{:?}", store.discard_dead(queue, all, 999).await.unwrap())
            }
        }
    }

    /// All that can be seen of the queue.
    async fn seen(&self) -> String {
        let status = self.store.status(&self.queue).await.unwrap();
        assert!(status.counts.is_balanced(), "{:?}", status.counts);
        let mut seen = format!("{:?} {}\n", status.counts, status.is_paused);
        let page = Page {
            offset: 0,
            limit: 999,
        };
        for state in State::HELD {
            let mut views = self.store.list(&self.queue, state, page).await.unwrap();
            if state != State::Ready {
                views.sort_unstable_by_key(|it| it.id);
            }
            for view in views {
                seen += &format!("{:?}\n", view_without_times(&view));
            }
        }
        seen
    }
}

fn without_times(taken: &Taken) -> Taken {
    Taken {
        fence: Default::default(),
        enqueued_at_ms: 0,
        taken_at_ms: 0,
        ..taken.clone()
    }
}

fn view_without_times(view: &TaskView) -> TaskView {
    TaskView {
        enqueued_at_ms: 0,
        at_ms: u64::from(view.at_ms > 0),
        holder: view.holder.map(|(worker, _)| (worker, Default::default())),
        ..view.clone()
    }
}

fn limits_of(which: usize) -> Limits {
    Limits {
        running_max: (which == 1).then_some(3),
        running_per_key_max: (which > 1).then_some(1),
        ..Limits::default()
    }
}

fn outcome_of(how: usize) -> Outcome {
    match how {
        0..=2 => Outcome::Done,
        3 => Outcome::Retry {
            due: Due::Now,
            failure: failure("flaky"),
        },
        4 => Outcome::Retry {
            due: Due::In(LONG),
            failure: failure("flaky"),
        },
        5 => Outcome::Dead(failure("broken")),
        6 => Outcome::Unknown(failure("timeout")),
        7 => Outcome::Cancelled,
        _ => Outcome::Returned,
    }
}

fn resolution_of(how: usize) -> Resolution {
    match how {
        0 => Resolution::Retry,
        1 => Resolution::Done,
        2 => Resolution::Dead,
        _ => Resolution::Discard,
    }
}

fn new_task(choice: &Choice, number: usize) -> NewTask {
    let one_of = |which: usize, names: &[&str]| names.get(which).map(|it| label(it));
    let span = match choice.unique % 2 {
        0 => UniqueSpan::UntilDone,
        _ => UniqueSpan::WhileQueued,
    };
    NewTask {
        priority: Priority::ALL[choice.priority],
        tenant: one_of(choice.tenant, &["acme", "bolt"]),
        ordering_key: one_of(choice.ordering, &["o1", "o2"]),
        limit_key: one_of(choice.limit, &["l1"]),
        unique: one_of(choice.unique, &["u1", "u2"]).map(|key| Unique { key, span }),
        due: if choice.is_delayed {
            Due::In(LONG)
        } else {
            Due::Now
        },
        on_lost: if choice.is_parked {
            OnLost::Park
        } else {
            OnLost::Repeat
        },
        ..task(number)
    }
}

/// Runs the same steps on a backend and on the model.
async fn same(store: &Arc<dyn TaskStore>, steps: &[Step]) -> Result<(), TestCaseError> {
    static SEQUENCE: AtomicU32 = AtomicU32::new(0);
    let number = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    let queue = QueueName::of_app("model", &format!("q{number}")).unwrap();
    let workers: Vec<_> = (0..WORKERS).map(|_| WorkerId::random()).collect();
    let mut real = Bench::new(Arc::clone(store), queue.clone(), &workers).await;
    let model: Arc<dyn TaskStore> = Arc::new(MemoryTaskStore::new());
    let mut model = Bench::new(model, queue, &workers).await;
    let mut tasks: Vec<NewTask> = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let new: Vec<_> = match step {
            Step::Enqueue(choices) => {
                let numbers = tasks.len()..;
                choices
                    .iter()
                    .zip(numbers)
                    .map(|(it, n)| new_task(it, n))
                    .collect()
            }
            Step::EnqueueAgain(which) => tasks
                .get(which % tasks.len().max(1))
                .cloned()
                .into_iter()
                .collect(),
            _ => Vec::new(),
        };
        let (expected, got) = (
            model.run(step, &new, &tasks).await,
            real.run(step, &new, &tasks).await,
        );
        prop_assert_eq!(got, expected, "the answer to step {} ({:?})", i, step);
        if matches!(step, Step::Enqueue(_)) {
            tasks.extend(new);
        }
        let (expected, got) = (model.seen().await, real.seen().await);
        prop_assert_eq!(got, expected, "what is seen after step {} ({:?})", i, step);
    }
    Ok(())
}

fn check(store: &Arc<dyn TaskStore>, runtime: &tokio::runtime::Handle) {
    let mut runner = TestRunner::new(Config {
        cases: SEQUENCES,
        failure_persistence: None,
        ..Config::default()
    });
    let steps = vec(step(), 1..STEPS_MAX);
    let checked = runner.run(&steps, |steps| runtime.block_on(same(store, &steps)));
    if let Err(failure) = checked {
        panic!("{failure}");
    }
}

async fn answers_as_the_model_does(site: Site) {
    let store = site.open().await;
    let runtime = tokio::runtime::Handle::current();
    let checking = tokio::task::spawn_blocking(move || check(&store, &runtime));
    checking.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_answers_as_the_model_does() {
    answers_as_the_model_does(Site::redis().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_answers_as_the_model_does() {
    answers_as_the_model_does(Site::sqlite().await).await;
}
