//! Order of a key, and limits that hold across workers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_macros::task;
use tidegate_tasks::{BoxError, Limits, Options, Registered, State};

use crate::site::{Notes, QUEUE, Site};

static AT_ONCE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[task(queue = "work", crate = "tidegate_tasks")]
async fn crowd() -> Result<(), BoxError> {
    let now = AT_ONCE.fetch_add(1, Ordering::SeqCst) + 1;
    MOST.fetch_max(now, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(20)).await;
    AT_ONCE.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

#[task(queue = "work", crate = "tidegate_tasks")]
async fn step(number: u32, State(notes): State<Notes>) -> Result<(), BoxError> {
    // The earlier ones take longer: without an order the later ones would overtake them.
    tokio::time::sleep(Duration::from_millis(u64::from(20 - number))).await;
    notes.write(number.to_string());
    Ok(())
}

#[tokio::test]
async fn a_queues_concurrency_holds_across_workers() {
    let site = Site::new().await;
    for _ in 0..40 {
        crowd::enqueue().send(&site.client).await.unwrap();
    }
    let limits = Limits {
        running_max: Some(3),
        ..Limits::default()
    };
    let options = || Options {
        limits: [(QUEUE.to_owned(), limits)].into(),
        ..Options::default()
    };
    let hands = [0, 1].map(|_| site.hire_with(vec![Registered::new(crowd)], options()));
    site.until(|it| it.done == 40).await;
    assert!(MOST.load(Ordering::SeqCst) <= 3, "{MOST:?} ran at once");
    for hand in hands {
        hand.stop().await;
    }
}

#[tokio::test]
async fn tasks_of_a_key_run_one_after_the_other_in_order() {
    let site = Site::new().await;
    let hands = [0, 1].map(|_| site.hire(vec![Registered::new(step)]));
    let steps = (0..20).map(|number| step::enqueue(number).key("order 7"));
    for sent in site.client.send_many(steps.collect()).await {
        sent.unwrap();
    }
    let expected: Vec<String> = (0..20).map(|number: u32| number.to_string()).collect();
    assert_eq!(site.notes.wait_for(20).await, expected);
    for hand in hands {
        hand.stop().await;
    }
}
