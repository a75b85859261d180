//! Pipelines, callbacks and groups.

use tidegate_macros::task;
use tidegate_store::task::State as TaskState;
use tidegate_tasks::{BoxError, Failure, Group, Registered, State, TaskContext};

use crate::site::{Hand, Notes, Site};

#[task(queue = "work", crate = "tidegate_tasks")]
async fn count(number: i64) -> Result<i64, BoxError> {
    if number < 0 {
        return Err(Failure::permanent("less than nothing").into());
    }
    Ok(number + 1)
}

#[task(queue = "work", crate = "tidegate_tasks")]
async fn double(ctx: TaskContext, State(notes): State<Notes>) -> Result<i64, BoxError> {
    let doubled = ctx.previous::<i64>()? * 2;
    notes.write(doubled.to_string());
    Ok(doubled)
}

#[task(queue = "work", crate = "tidegate_tasks")]
async fn tell(ctx: TaskContext, what: String, State(notes): State<Notes>) -> Result<(), BoxError> {
    let why = ctx
        .failed()
        .map(|failed| format!(": {} ({})", failed.reason, failed.error));
    notes.write(format!("{what}{}", why.unwrap_or_default()));
    Ok(())
}

fn hire(site: &Site) -> Hand {
    site.hire(vec![
        Registered::new(count),
        Registered::new(double),
        Registered::new(tell),
    ])
}

#[tokio::test]
async fn a_pipeline_hands_each_result_to_the_next_task() {
    let site = Site::new().await;
    let hand = hire(&site);
    let pipeline = count::enqueue(4)
        .then(double::enqueue())
        .then(double::enqueue());
    pipeline.send(&site.client).await.unwrap();
    assert_eq!(site.notes.wait_for(2).await, ["10", "20"]);
    site.until(|it| it.done == 3).await;
    hand.stop().await;
}

#[tokio::test]
async fn callbacks_are_enqueued_on_success_and_on_failure_with_its_reason() {
    let site = Site::new().await;
    let hand = hire(&site);
    let told = |number| {
        count::enqueue(number)
            .on_success(tell::enqueue("well".into()))
            .on_failure(tell::enqueue("badly".into()))
            .on_exhausted(tell::enqueue("exhausted".into()))
    };
    told(1).send(&site.client).await.unwrap();
    assert_eq!(site.notes.wait_for(1).await, ["well"]);
    let failed = told(-1).send(&site.client).await.unwrap();
    let notes = site.notes.wait_for(2).await;
    assert_eq!(notes[1], "badly: not retryable (less than nothing)");
    site.until_in(failed.id, TaskState::Dead).await;
    let counts = site.until(|it| it.done == 3).await;
    assert_eq!(counts.enqueued, 4);
    hand.stop().await;
}

#[tokio::test]
async fn a_group_calls_back_once_when_its_last_member_is_done() {
    let site = Site::new().await;
    let group = || {
        Group::of((0..20).map(count::enqueue))
            .id("the twenty")
            .on_completion(tell::enqueue("all".into()))
    };
    group().send(&site.client).await.unwrap();
    // Sent again it enqueues nothing twice.
    let again = group().send(&site.client).await.unwrap();
    assert!(again.members.iter().all(|sent| sent.is_duplicate));
    let hand = hire(&site);
    site.until(|it| it.done == 21).await;
    assert_eq!(site.notes.read(), ["all"]);
    hand.stop().await;
}

#[tokio::test]
async fn a_group_waits_for_a_member_that_is_dead_until_it_is_resolved() {
    let site = Site::new().await;
    let group = Group::of([count::enqueue(1), count::enqueue(-1)]);
    let group = group.on_completion(tell::enqueue("all".into()));
    let sent = group.send(&site.client).await.unwrap();
    let hand = hire(&site);
    site.until_in(sent.members[1].id, TaskState::Dead).await;
    site.until(|it| it.done == 1).await;
    assert!(site.notes.read().is_empty());
    hand.stop().await;
}

#[tokio::test]
async fn a_group_refuses_what_could_never_complete() {
    let site = Site::new().await;
    let lone = Group::of([count::enqueue(1)]).send(&site.client).await;
    assert!(lone.unwrap_err().to_string().contains("callback"));
    let unique = Group::of([count::enqueue(1).unique_key("k")]);
    let unique = unique.on_completion(tell::enqueue("all".into()));
    let refusal = unique.send(&site.client).await.unwrap_err().to_string();
    assert!(refusal.contains("unique"), "{refusal}");
    let empty = Group::of([]).on_completion(tell::enqueue("all".into()));
    let refusal = empty.send(&site.client).await.unwrap_err().to_string();
    assert!(refusal.contains("members"), "{refusal}");
    assert_eq!(site.counts().await.enqueued, 0);
}
