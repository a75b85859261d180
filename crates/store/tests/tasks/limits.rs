//! What bounds the tasks that are taken.

use std::time::Duration;

use tidegate_store::Error;
use tidegate_store::task::{Limits, NewTask, Rate};

use crate::site::{Site, eventually, label, payloads, queue, task, tasks};

fn of_key(key: &str, text: &str) -> NewTask {
    NewTask {
        limit_key: Some(label(key)),
        ..task(text)
    }
}

pub(crate) async fn a_queue_runs_so_many_at_once(site: Site) {
    let (one, other) = (site.worker().await, site.worker().await);
    let limits = Limits {
        running_max: Some(3),
        ..Limits::default()
    };
    one.enqueue(tasks(0..5)).await;
    let first = one.take_within(2, &limits).await;
    assert_eq!(payloads(&first.tasks), "0 1");
    assert!(first.has_more);
    let second = other.take_within(9, &limits).await;
    assert_eq!(payloads(&second.tasks), "2");
    assert!(!second.has_more);
    assert!(one.take_within(9, &limits).await.tasks.is_empty());
    one.done(&first.tasks[0]).await;
    // Whoever sleeps hears that there is room.
    let (queues, interrupt) = ([queue()], Default::default());
    let woken = other.store.wait(&queues, crate::site::DEADLINE, &interrupt);
    assert_eq!(woken.await.unwrap(), [0]);
    assert_eq!(payloads(&other.take_within(9, &limits).await.tasks), "3");
    one.counts().await;
}

pub(crate) async fn a_key_runs_so_many_at_once_and_others_go_on(site: Site) {
    let desk = site.worker().await;
    let limits = Limits {
        running_per_key_max: Some(1),
        ..Limits::default()
    };
    desk.enqueue(vec![
        of_key("a", "a1"),
        of_key("a", "a2"),
        of_key("a", "a3"),
        of_key("b", "b1"),
        task("free"),
    ])
    .await;
    let first = desk.take_within(9, &limits).await.tasks;
    assert_eq!(payloads(&first), "a1 b1 free");
    assert_eq!(desk.counts().await.blocked, 2);
    desk.done(&first[0]).await;
    let second = desk.take_within(9, &limits).await.tasks;
    assert_eq!(payloads(&second), "a2");
    desk.done(&second[0]).await;
    assert_eq!(payloads(&desk.take_within(9, &limits).await.tasks), "a3");
    desk.counts().await;
}

pub(crate) async fn a_rate_of_a_queue_says_when_there_is_more(site: Site) {
    let desk = site.worker().await;
    let limits = Limits {
        rate: Some(Rate {
            count: 10,
            per: Duration::from_secs(1),
            burst: 2,
        }),
        ..Limits::default()
    };
    let idle = desk.take_within(9, &limits).await;
    assert_eq!((idle.has_more, idle.next_in), (false, None));
    desk.enqueue(tasks(0..4)).await;
    let first = desk.take_within(9, &limits).await;
    assert_eq!(payloads(&first.tasks), "0 1");
    let next_in = first.next_in.expect("the rate allows one more at a time");
    assert!(next_in <= Duration::from_millis(101), "{next_in:?}");
    assert!(!first.has_more);
    let next = eventually("the rate allows one more", || async {
        desk.take_within(9, &limits).await.tasks.pop()
    })
    .await;
    assert_eq!(payloads(std::slice::from_ref(&next)), "2");
    assert!(next.taken_at_ms >= first.tasks[0].taken_at_ms + 99);
}

pub(crate) async fn a_rate_of_a_key_lets_others_go_on(site: Site) {
    let desk = site.worker().await;
    let limits = Limits {
        rate_per_key: Some(Rate {
            count: 10,
            per: Duration::from_secs(1),
            burst: 1,
        }),
        ..Limits::default()
    };
    desk.enqueue(vec![
        of_key("a", "a1"),
        of_key("a", "a2"),
        of_key("b", "b1"),
        task("free"),
    ])
    .await;
    let first = desk.take_within(9, &limits).await;
    assert_eq!(payloads(&first.tasks), "a1 b1 free");
    assert!(first.next_in.expect("a2 has to wait") <= Duration::from_millis(101));
    let next = eventually("the rate allows one more", || async {
        desk.take_within(9, &limits).await.tasks.pop()
    })
    .await;
    assert_eq!(payloads(std::slice::from_ref(&next)), "a2");
    assert!(next.taken_at_ms >= first.tasks[0].taken_at_ms + 99);
    desk.counts().await;
}

pub(crate) async fn limits_that_let_nothing_begin_are_refused(site: Site) {
    let desk = site.worker().await;
    let rate = Rate {
        count: 0,
        per: Duration::from_secs(1),
        burst: 1,
    };
    for limits in [
        Limits {
            running_max: Some(0),
            ..Limits::default()
        },
        Limits {
            rate: Some(rate),
            ..Limits::default()
        },
    ] {
        let taken = desk.store.take(&queue(), desk.worker, 1, &limits).await;
        assert!(matches!(taken, Err(Error::Invalid(_))), "{taken:?}");
    }
}
