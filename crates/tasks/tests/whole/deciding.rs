//! What becomes of tasks that fail.

use std::time::{Duration, Instant};

use tidegate_macros::task;
use tidegate_store::task::State as TaskState;
use tidegate_tasks::{BoxError, Enqueue, Failure, Registered, State, TaskContext};

use crate::site::{Notes, QUEUE, Site};

#[task(
    queue = "work",
    max_retries = 3,
    backoff = "10ms..40ms",
    crate = "tidegate_tasks"
)]
async fn stumble(ctx: TaskContext, until: u32, State(notes): State<Notes>) -> Result<(), BoxError> {
    notes.write(format!("attempt {}", ctx.attempt()));
    if ctx.attempt() < until {
        return Err(format!("attempt {} stumbles", ctx.attempt()).into());
    }
    Ok(())
}

fn is_worth_it(error: &BoxError) -> bool {
    !error.to_string().contains("hopeless")
}

#[task(queue = "work", backoff = "1ms..1ms", retry_when = is_worth_it, crate = "tidegate_tasks")]
async fn fail(how: String, State(notes): State<Notes>) -> Result<(), BoxError> {
    notes.write(how.clone());
    match how.as_str() {
        "permanent" => Err(Failure::permanent("no such account").into()),
        "later" => Err(Failure::retry_after(Duration::from_millis(600), "busy").into()),
        "unknown" => Err(Failure::unknown("the answer was lost").into()),
        _ => Err("hopeless".into()),
    }
}

#[task(
    queue = "work",
    time_limit = "100ms",
    max_retries = 0,
    crate = "tidegate_tasks"
)]
async fn dawdle(State(notes): State<Notes>) -> Result<(), BoxError> {
    let dropped = Dropped(notes);
    tokio::time::sleep(Duration::from_secs(600)).await;
    drop(dropped);
    Ok(())
}

#[task(
    queue = "work",
    time_limit = "100ms",
    on_unknown = "park",
    crate = "tidegate_tasks"
)]
async fn pay(State(notes): State<Notes>) -> Result<(), BoxError> {
    notes.write("sent to the bank");
    tokio::time::sleep(Duration::from_secs(600)).await;
    Ok(())
}

#[task(
    queue = "work",
    max_retries = 1,
    backoff = "1ms..1ms",
    crate = "tidegate_tasks"
)]
async fn panic(ctx: TaskContext) -> Result<(), BoxError> {
    assert!(ctx.attempt() > 1, "at the first attempt");
    Ok(())
}

/// Notes when a function's future is dropped.
struct Dropped(Notes);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.write("dropped");
    }
}

#[tokio::test]
async fn a_task_is_retried_until_it_succeeds_or_its_retries_are_exhausted() {
    let site = Site::new().await;
    let hand = site.hire(vec![Registered::new(stumble)]);
    stumble::enqueue(3).send(&site.client).await.unwrap();
    site.until(|it| it.done == 1).await;
    assert_eq!(site.notes.read().len(), 3);
    let doomed = stumble::enqueue(9).send(&site.client).await.unwrap();
    let view = site.until_in(doomed.id, TaskState::Dead).await;
    assert_eq!(site.notes.read().len(), 3 + 4);
    let failure = view.failure.expect("a reason");
    assert_eq!(failure.reason, "retries exhausted");
    assert!(failure.error.contains("attempt 4 stumbles"), "{failure:?}");
    assert_eq!(view.attempts, 4);
    hand.stop().await;
}

#[tokio::test]
async fn an_error_may_forbid_delay_or_park_the_next_attempt() {
    let site = Site::new().await;
    let hand = site.hire(vec![Registered::new(fail)]);
    for (how, state) in [
        ("permanent", TaskState::Dead),
        ("hopeless", TaskState::Dead),
        ("unknown", TaskState::Unknown),
    ] {
        let sent = fail::enqueue(how.into()).send(&site.client).await.unwrap();
        site.until_in(sent.id, state).await;
    }
    assert_eq!(site.notes.read(), ["permanent", "hopeless", "unknown"]);
    let began = Instant::now();
    fail::enqueue("later".into())
        .send(&site.client)
        .await
        .unwrap();
    site.notes.wait_for(5).await;
    assert!(
        began.elapsed() >= Duration::from_millis(590),
        "{:?}",
        began.elapsed()
    );
    hand.stop().await;
}

#[tokio::test]
async fn a_time_limit_drops_the_function_and_parks_what_may_have_had_its_effect() {
    let site = Site::new().await;
    let hand = site.hire(vec![Registered::new(dawdle), Registered::new(pay)]);
    let sent = dawdle::enqueue().send(&site.client).await.unwrap();
    let view = site.until_in(sent.id, TaskState::Dead).await;
    assert_eq!(site.notes.read(), ["dropped"]);
    assert!(view.failure.expect("a reason").error.contains("100ms"));
    let sent = pay::enqueue().send(&site.client).await.unwrap();
    let view = site.until_in(sent.id, TaskState::Unknown).await;
    assert_eq!(view.failure.expect("a reason").reason, "time limit");
    assert_eq!(view.attempts, 1);
    hand.stop().await;
}

#[tokio::test]
async fn a_panic_fails_its_attempt_and_nothing_else() {
    let site = Site::new().await;
    let hand = site.hire(vec![Registered::new(panic), Registered::new(stumble)]);
    panic::enqueue().send(&site.client).await.unwrap();
    stumble::enqueue(1).send(&site.client).await.unwrap();
    site.until(|it| it.done == 2).await;
    hand.stop().await;
}

#[tokio::test]
async fn a_task_that_is_too_old_does_not_begin() {
    let site = Site::new().await;
    let old = stumble::enqueue(1).delay("300ms").max_age("100ms");
    let old = old.send(&site.client).await.unwrap();
    let hand = site.hire(vec![Registered::new(stumble)]);
    let view = site.until_in(old.id, TaskState::Dead).await;
    assert_eq!(view.failure.expect("a reason").reason, "too old");
    assert!(site.notes.read().is_empty());
    hand.stop().await;
}

#[tokio::test]
async fn an_unknown_name_waits_for_a_worker_that_knows_it_and_bad_arguments_are_dead() {
    let site = Site::new().await;
    let hand = site.hire(vec![Registered::new(stumble)]);
    let bad = Enqueue::named("stumble", &"three").queue(QUEUE);
    let bad = bad.send(&site.client).await.unwrap();
    let view = site.until_in(bad.id, TaskState::Dead).await;
    let failure = view.failure.expect("a reason");
    assert_eq!(failure.reason, "arguments unreadable");
    assert!(failure.error.contains("u32"), "{failure:?}");

    let strange = Enqueue::named("from_the_future", &()).queue(QUEUE);
    let strange = strange.send(&site.client).await.unwrap();
    let view = site.until_in(strange.id, TaskState::Scheduled).await;
    assert_eq!(
        view.failure.expect("a reason").reason,
        "task not registered"
    );
    hand.stop().await;
}
