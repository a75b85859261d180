//! Tasks that are enqueued, run, and leave their results.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tidegate_macros::task;
use tidegate_tasks::{BoxError, Keyring, Priority, Registered, State, TaskContext};

use crate::site::{Notes, SOON, Site};

#[derive(Debug, Serialize, Deserialize)]
struct Sum {
    left: i64,
    right: i64,
}

#[task(queue = "work", result = "1m", crate = "tidegate_tasks")]
async fn add(sum: Sum, State(notes): State<Notes>) -> Result<i64, BoxError> {
    notes.write(format!("{} + {}", sum.left, sum.right));
    Ok(sum.left + sum.right)
}

#[task(queue = "work", crate = "tidegate_tasks")]
async fn note(ctx: TaskContext, text: String, State(notes): State<Notes>) -> Result<(), BoxError> {
    assert_eq!(ctx.name(), "note");
    notes.write(text);
    Ok(())
}

#[tokio::test]
async fn a_task_runs_and_its_result_is_kept() {
    let site = Site::new().await;
    let sum = Sum { left: 2, right: 40 };
    let sent = add::enqueue(sum).send(&site.client).await.unwrap();
    assert!(!sent.is_duplicate);
    let hand = site.hire(vec![Registered::new(add)]);
    let result = site.client.wait_for_result::<i64>(&sent, SOON).await;
    assert_eq!(result.unwrap(), Some(42));
    assert_eq!(site.notes.read(), ["2 + 40"]);
    let counts = site.until(|it| it.done == 1).await;
    assert_eq!((counts.enqueued, counts.held), (1, 0));
    hand.stop().await;
}

#[tokio::test]
async fn a_batch_is_answered_one_by_one_and_runs_in_order_of_priority() {
    let site = Site::new().await;
    let tasks = vec![
        note::enqueue("low".into()).priority(Priority::Low),
        note::enqueue("normal".into()),
        note::enqueue("late".into()).delay("not a duration"),
        note::enqueue("high".into()).priority(Priority::High),
        note::enqueue("elsewhere".into()).queue("two words"),
        note::enqueue("x".repeat(600 * 1024)),
    ];
    let sent = site.client.send_many(tasks).await;
    let refused = |place: usize| sent[place].as_ref().unwrap_err().to_string();
    assert!(refused(2).contains("such as 250ms"), "{}", refused(2));
    assert!(refused(4).contains("two words"), "{}", refused(4));
    assert!(refused(5).contains("are allowed"), "{}", refused(5));
    assert!(sent[0].is_ok() && sent[1].is_ok() && sent[3].is_ok());
    let options = tidegate_tasks::Options {
        concurrency: 1,
        ..Default::default()
    };
    let hand = site.hire_with(vec![Registered::new(note)], options);
    assert_eq!(site.notes.wait_for(3).await, ["high", "normal", "low"]);
    site.until(|it| it.done == 3).await;
    hand.stop().await;
}

#[tokio::test]
async fn a_delayed_task_begins_when_its_time_has_come() {
    let site = Site::new().await;
    let hand = site.hire(vec![Registered::new(note)]);
    let began = Instant::now();
    let late = note::enqueue("late".into()).delay("700ms");
    late.send(&site.client).await.unwrap();
    note::enqueue("soon".into())
        .send(&site.client)
        .await
        .unwrap();
    assert_eq!(site.notes.wait_for(2).await, ["soon", "late"]);
    assert!(
        began.elapsed() >= Duration::from_millis(690),
        "{:?}",
        began.elapsed()
    );
    hand.stop().await;
}

#[tokio::test]
async fn a_key_in_use_and_an_idempotency_key_are_answered_with_the_first_task() {
    let site = Site::new().await;
    let unique = || note::enqueue("once".into()).unique_key("order 7");
    let first = unique().send(&site.client).await.unwrap();
    let second = unique().send(&site.client).await.unwrap();
    assert!(second.is_duplicate && second.id == first.id);
    let again = || note::enqueue("paid".into()).idempotency("payment 9");
    let paid = again().send(&site.client).await.unwrap();
    let hand = site.hire(vec![Registered::new(note)]);
    site.until(|it| it.done == 2).await;
    let repeated = again().send(&site.client).await.unwrap();
    assert!(repeated.is_duplicate && repeated.id == paid.id);
    assert!(!unique().send(&site.client).await.unwrap().is_duplicate);
    site.until(|it| it.done == 3).await;
    hand.stop().await;
}

#[tokio::test]
async fn sealed_arguments_are_unreadable_in_the_store_and_open_after_a_rotation() {
    let site = Site::new().await;
    let old = Keyring::new("2025", &[1; 32]).unwrap();
    let sender = site.client.clone().with_keyring(old);
    let secret = "card 4111";
    let sent = note::enqueue(secret.into()).send(&sender).await.unwrap();
    let view = site.show(sent.id).await.expect("it waits");
    let text = String::from_utf8_lossy(&view.payload).into_owned();
    assert!(!text.contains(secret), "{text}");

    // A worker without the key gives it up and keeps it.
    let hand = site.hire(vec![Registered::new(note)]);
    let dead = site
        .until_in(sent.id, tidegate_store::task::State::Dead)
        .await;
    let failure = dead.failure.expect("a reason");
    assert!(failure.error.contains("2025"), "{failure:?}");
    hand.stop().await;

    let rotated = Keyring::new("2026", &[2; 32]).unwrap();
    let rotated = rotated.with_former("2025", &[1; 32]).unwrap();
    let client = site.client.clone().with_keyring(rotated);
    let tasks = vec![Registered::new(note)];
    let again = tidegate_store::task::Resolution::Retry;
    let queue = site.queue();
    site.client
        .store()
        .resolve(&queue, &[sent.id], again)
        .await
        .unwrap();
    let hand = site.hire_as(client, tasks, tidegate_tasks::Options::default());
    assert_eq!(site.notes.wait_for(1).await, [secret]);
    hand.stop().await;
}
