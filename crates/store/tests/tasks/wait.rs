//! Waiting for something to take.

use std::sync::Arc;
use std::time::Duration;

use tidegate_store::task::{Due, NewTask, QueueName};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::site::{DEADLINE, Desk, LONG, Site, queue, task, tasks};

/// Waits beside the test, and says so when it has begun.
async fn waiting(desk: &Desk) -> JoinHandle<Vec<usize>> {
    let store = Arc::clone(&desk.store);
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let waiting = tokio::spawn(async move {
        begins.notify_one();
        let interrupt = Notify::new();
        store
            .wait(&[queue()], 2 * DEADLINE, &interrupt)
            .await
            .unwrap()
    });
    begun.notified().await;
    waiting
}

async fn woken(waiting: JoinHandle<Vec<usize>>) {
    let found = tokio::time::timeout(DEADLINE, waiting).await;
    assert_eq!(found.expect("the sleeper was not woken").unwrap(), [0]);
}

async fn wait(desk: &Desk, timeout: Duration) -> Vec<usize> {
    let interrupt = Notify::new();
    desk.store
        .wait(&[queue()], timeout, &interrupt)
        .await
        .unwrap()
}

pub(crate) async fn a_waiting_worker_hears_of_a_task(site: Site) {
    let (one, other) = (site.worker().await, site.worker().await);
    for n in 0..3 {
        let waiting = waiting(&one).await;
        other.enqueue(vec![task(n)]).await;
        woken(waiting).await;
        let taken = one.take_one().await;
        one.done(&taken).await;
    }
}

pub(crate) async fn a_wait_ends_after_its_time(site: Site) {
    let desk = site.worker().await;
    assert!(wait(&desk, Duration::ZERO).await.is_empty());
    let began = std::time::Instant::now();
    assert!(wait(&desk, Duration::from_millis(30)).await.is_empty());
    assert!(began.elapsed() >= Duration::from_millis(30));
}

pub(crate) async fn a_wait_is_interrupted(site: Site) {
    let desk = site.worker().await;
    let interrupt = Notify::new();
    interrupt.notify_one();
    let q = [queue()];
    let waiting = desk.store.wait(&q, 2 * DEADLINE, &interrupt);
    let found = tokio::time::timeout(DEADLINE, waiting).await;
    assert!(
        found
            .expect("the interrupt is not heard")
            .unwrap()
            .is_empty()
    );
    let none = desk.store.wait(&[], Duration::from_millis(1), &interrupt);
    assert!(none.await.unwrap().is_empty());
}

pub(crate) async fn a_task_that_is_there_already_is_heard_of(site: Site) {
    let (one, other) = (site.worker().await, site.worker().await);
    other.enqueue(tasks(0..2)).await;
    assert_eq!(wait(&one, DEADLINE).await, [0]);
    assert_eq!(one.take(9).await.len(), 2);
}

pub(crate) async fn what_is_left_behind_wakes_the_next(site: Site) {
    let (one, other) = (site.worker().await, site.worker().await);
    one.enqueue(tasks(0..3)).await;
    assert_eq!(wait(&one, DEADLINE).await, [0]);
    one.take_one().await;
    assert_eq!(wait(&other, DEADLINE).await, [0]);
    assert_eq!(other.take(9).await.len(), 2);
}

pub(crate) async fn a_sooner_delayed_task_wakes_a_sleeper(site: Site) {
    let (one, other) = (site.worker().await, site.worker().await);
    let later = |due| NewTask { due, ..task("") };
    other.enqueue(vec![later(Due::In(2 * LONG))]).await;
    assert!(one.take(1).await.is_empty());
    let waiting = waiting(&one).await;
    other.enqueue(vec![later(Due::In(LONG))]).await;
    woken(waiting).await;
    let next_in = one.take_within(1, &Default::default()).await.next_in;
    assert!(next_in.unwrap() <= LONG);
}

pub(crate) async fn the_end_of_a_pause_wakes_a_sleeper(site: Site) {
    let (one, other) = (site.worker().await, site.worker().await);
    other.enqueue(tasks(0..1)).await;
    other.store.pause(&queue(), true).await.unwrap();
    assert!(one.take(1).await.is_empty());
    let waiting = waiting(&one).await;
    other.store.pause(&queue(), false).await.unwrap();
    woken(waiting).await;
    assert_eq!(one.take(1).await.len(), 1);
}

pub(crate) async fn one_of_several_queues_is_named(site: Site) {
    let desk = site.worker().await;
    let other = QueueName::of_app("shop", "mail").unwrap();
    let results = desk.store.enqueue(&other, tasks(0..1)).await;
    assert!(results[0].is_ok());
    let interrupt = Notify::new();
    let found = desk
        .store
        .wait(&[queue(), other], DEADLINE, &interrupt)
        .await;
    assert_eq!(found.unwrap(), [1]);
}

pub(crate) async fn sleepers_sleep_on_a_paused_queue(site: Site) {
    let (one, other) = (site.worker().await, site.worker().await);
    other.store.pause(&queue(), true).await.unwrap();
    other.enqueue(tasks(0..1)).await;
    // Someone may be woken once, and finds nothing to take.
    assert!(one.take(1).await.is_empty());
    assert!(wait(&one, Duration::from_millis(30)).await.is_empty());
}
