//! What goes in, and comes out.

use std::time::Duration;

use bytes::Bytes;
use tidegate_store::Error;
use tidegate_store::task::new_task::TASK_BYTES_MAX;
use tidegate_store::task::{Due, Enqueued, NewTask, OnLost, Priority};

use crate::site::{LONG, Site, eventually, label, payloads, queue, task, tasks};

pub(crate) async fn tasks_are_taken_in_the_order_of_the_call(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..5)).await;
    desk.enqueue(tasks(5..7)).await;
    assert_eq!(payloads(&desk.take(4).await), "0 1 2 3");
    assert_eq!(payloads(&desk.take(100).await), "4 5 6");
    assert!(desk.take(1).await.is_empty());
    assert_eq!(desk.counts().await.running, 7);
}

pub(crate) async fn all_of_a_task_is_read_back(site: Site) {
    let desk = site.worker().await;
    let full = NewTask {
        payload: Bytes::from_static(b"\0\n\x1f\xff"),
        options: Bytes::from_static(b"{\"retries\":\n3}"),
        priority: Priority::Low,
        ordering_key: Some(label("order 7")),
        limit_key: Some(label("bank/Zürich")),
        tenant: Some(label("acme")),
        on_lost: OnLost::Park,
        ..task("")
    };
    desk.enqueue(vec![full.clone()]).await;
    let taken = desk.take_one().await;
    assert_eq!((taken.id, &taken.name), (full.id, &full.name));
    assert_eq!((taken.payload, taken.options), (full.payload, full.options));
    assert_eq!(
        (taken.priority, taken.on_lost),
        (Priority::Low, OnLost::Park)
    );
    assert_eq!(taken.ordering_key, full.ordering_key);
    assert_eq!(
        (taken.limit_key, taken.tenant),
        (full.limit_key, full.tenant)
    );
    assert_eq!((taken.attempt, taken.lost), (1, 0));
    assert!(taken.enqueued_at_ms > 0 && taken.enqueued_at_ms <= taken.taken_at_ms);
}

pub(crate) async fn a_task_of_the_same_id_is_a_duplicate(site: Site) {
    let desk = site.worker().await;
    let plain = task("once");
    desk.enqueue(vec![plain.clone()]).await;
    for again in [
        plain.clone(),
        NewTask {
            due: Due::In(LONG),
            ..plain.clone()
        },
    ] {
        let results = desk.store.enqueue(&queue(), vec![again]).await;
        assert_eq!(*results[0].as_ref().unwrap(), Enqueued::Duplicate(plain.id));
    }
    assert_eq!(desk.take(9).await.len(), 1);
    // Also while it runs.
    let results = desk.store.enqueue(&queue(), vec![plain.clone()]).await;
    assert_eq!(*results[0].as_ref().unwrap(), Enqueued::Duplicate(plain.id));
    assert_eq!(desk.counts().await.enqueued, 1);
}

pub(crate) async fn a_task_twice_in_one_call_is_enqueued_once(site: Site) {
    let desk = site.worker().await;
    let (one, other) = (task("one"), task("other"));
    let calls = vec![one.clone(), other.clone(), one.clone()];
    let results = desk.store.enqueue(&queue(), calls).await;
    let results: Vec<Enqueued> = results.into_iter().map(Result::unwrap).collect();
    let expected = [
        Enqueued::Accepted,
        Enqueued::Accepted,
        Enqueued::Duplicate(one.id),
    ];
    assert_eq!(results, expected);
    assert_eq!(payloads(&desk.take(9).await), "one other");
}

pub(crate) async fn a_task_that_is_too_large_is_refused_and_the_others_are_not(site: Site) {
    let desk = site.worker().await;
    let large = NewTask {
        payload: Bytes::from(vec![0; TASK_BYTES_MAX + 1]),
        ..task("")
    };
    let calls = vec![task("before"), large, task("after")];
    let results = desk.store.enqueue(&queue(), calls).await;
    assert!(matches!(&results[1], Err(Error::Invalid(text)) if text.contains("allowed")));
    assert!(results[0].is_ok() && results[2].is_ok());
    assert_eq!(payloads(&desk.take(9).await), "before after");
    let largest = NewTask {
        payload: Bytes::from(vec![1; TASK_BYTES_MAX]),
        ..task("")
    };
    desk.enqueue(vec![largest.clone()]).await;
    assert_eq!(desk.take_one().await.payload, largest.payload);
}

pub(crate) async fn a_delayed_task_waits_for_its_time(site: Site) {
    let desk = site.worker().await;
    let later = |due, text: &str| NewTask { due, ..task(text) };
    desk.enqueue(vec![
        later(Due::In(LONG), "hour"),
        later(Due::In(Duration::from_millis(300)), "soon"),
        task("now"),
    ])
    .await;
    let first = desk.take_within(9, &Default::default()).await;
    assert_eq!(payloads(&first.tasks), "now");
    let next_in = first.next_in.expect("a task is scheduled");
    assert!(next_in <= Duration::from_millis(300), "{next_in:?}");
    assert_eq!(desk.counts().await.scheduled, 2);
    let soon = eventually("the time comes", || async { desk.take(9).await.pop() }).await;
    assert_eq!(payloads(std::slice::from_ref(&soon)), "soon");
    assert!(soon.taken_at_ms >= soon.enqueued_at_ms + 300);
    let rest = desk.take_within(9, &Default::default()).await;
    assert!(rest.tasks.is_empty() && !rest.has_more);
    assert!(rest.next_in.unwrap() > LONG / 2);
}

pub(crate) async fn a_task_whose_time_is_past_is_ready(site: Site) {
    let desk = site.worker().await;
    let past = NewTask {
        due: Due::At(1),
        ..task("past")
    };
    let far = NewTask {
        due: Due::At(u64::MAX),
        ..task("far")
    };
    desk.enqueue(vec![past, far]).await;
    assert_eq!(payloads(&desk.take(9).await), "past");
    assert_eq!(desk.counts().await.scheduled, 1);
}

pub(crate) async fn thousands_of_tasks_go_through_in_one_call(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..2_345)).await;
    let mut seen = Vec::new();
    loop {
        let take = desk.take_within(1_000, &Default::default()).await;
        let ended = take.tasks.iter().map(|it| tidegate_store::task::Finished {
            id: it.id,
            fence: it.fence,
            outcome: tidegate_store::task::Outcome::Done,
            result: None,
        });
        let results = desk.store.finish(&queue(), ended.collect()).await;
        assert!(results.iter().all(Result::is_ok));
        seen.push(payloads(&take.tasks));
        if !take.has_more {
            break;
        }
    }
    let all: Vec<String> = (0..2_345).map(|it| it.to_string()).collect();
    assert_eq!(seen.join(" "), all.join(" "));
    let counts = desk.counts().await;
    assert_eq!((counts.done, counts.held), (2_345, 0));
}

pub(crate) async fn enqueueing_nothing_answers_nothing(site: Site) {
    let desk = site.worker().await;
    assert!(desk.store.enqueue(&queue(), Vec::new()).await.is_empty());
    assert!(desk.store.finish(&queue(), Vec::new()).await.is_empty());
    assert!(desk.store.cancel(&queue(), &[]).await.unwrap().is_empty());
}
