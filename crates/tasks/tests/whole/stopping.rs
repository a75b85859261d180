//! Tasks that are cancelled, and workers that stop.

use std::time::Duration;

use tidegate_macros::task;
use tidegate_store::task::State as TaskState;
use tidegate_tasks::{BoxError, Options, Registered, State, TaskContext};

use crate::site::{Notes, Site};

#[task(queue = "work", crate = "tidegate_tasks")]
async fn wait(ctx: TaskContext, State(notes): State<Notes>) -> Result<(), BoxError> {
    ctx.progress(&"begun").await?;
    notes.write(format!("attempt {}", ctx.attempt()));
    ctx.cancelled().cancelled().await;
    // Whoever waits for the end that it hears of goes no further.
    std::future::pending().await
}

#[task(queue = "work", on_unknown = "park", crate = "tidegate_tasks")]
async fn pay(State(notes): State<Notes>) -> Result<(), BoxError> {
    notes.write("paying");
    std::future::pending().await
}

fn quick() -> Options {
    Options {
        life: Duration::from_secs(4),
        grace: Duration::from_millis(100),
        concurrency: 2,
        ..Options::default()
    }
}

#[tokio::test]
async fn a_running_task_is_cancelled_and_a_waiting_one_at_once() {
    let site = Site::new().await;
    let later = wait::enqueue()
        .delay("1h")
        .send(&site.client)
        .await
        .unwrap();
    let store = site.client.store();
    let queue = site.queue();
    let states = store.cancel(&queue, &[later.id]).await.unwrap();
    assert_eq!(states, [Some(TaskState::Cancelled)]);

    let hand = site.hire_with(vec![Registered::new(wait)], quick());
    let running = wait::enqueue().send(&site.client).await.unwrap();
    site.notes.wait_for(1).await;
    let view = site.show(running.id).await.expect("it runs");
    assert_eq!(view.progress.as_deref(), Some(b"\"begun\"".as_slice()));
    store.cancel(&queue, &[running.id]).await.unwrap();
    let counts = site.until(|it| it.cancelled == 2).await;
    assert_eq!(counts.held, 0);
    hand.stop().await;
}

#[tokio::test]
async fn a_shutdown_gives_back_what_it_cannot_end_and_parks_what_must_not_run_twice() {
    let site = Site::new().await;
    let tasks = || vec![Registered::new(wait), Registered::new(pay)];
    let hand = site.hire_with(tasks(), quick());
    let paying = pay::enqueue().send(&site.client).await.unwrap();
    let waiting = wait::enqueue().send(&site.client).await.unwrap();
    site.notes.wait_for(2).await;
    // Both places are taken: these are not begun.
    for _ in 0..5 {
        wait::enqueue().send(&site.client).await.unwrap();
    }
    hand.stop().await;
    let counts = site.counts().await;
    assert_eq!((counts.ready, counts.unknown, counts.running), (6, 1, 0));
    assert_eq!(
        site.show(paying.id).await.expect("it is kept").state,
        TaskState::Unknown
    );
    // What was cut short does not count as an attempt.
    let view = site.show(waiting.id).await.expect("it waits");
    assert_eq!((view.state, view.attempts), (TaskState::Ready, 0));
}
