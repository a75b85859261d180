//! Who goes first.

use tidegate_store::task::{Due, NewTask, Outcome, Priority, Resolution, State};

use crate::site::{LONG, Site, failure, label, payloads, queue, task};

fn of_key(key: &str, text: &str) -> NewTask {
    NewTask {
        ordering_key: Some(label(key)),
        ..task(text)
    }
}

pub(crate) async fn high_before_normal_before_low(site: Site) {
    let desk = site.worker().await;
    let of = |priority, text: &str| NewTask {
        priority,
        ..task(text)
    };
    desk.enqueue(vec![
        of(Priority::Low, "l"),
        of(Priority::Normal, "n1"),
        of(Priority::High, "h"),
        of(Priority::Normal, "n2"),
    ])
    .await;
    assert_eq!(payloads(&desk.take(3).await), "h n1 n2");
    desk.enqueue(vec![of(Priority::High, "h2")]).await;
    assert_eq!(payloads(&desk.take(3).await), "h2 l");
}

pub(crate) async fn tenants_are_served_in_turn(site: Site) {
    let desk = site.worker().await;
    let of = |tenant: &str, n: u32| NewTask {
        tenant: Some(label(tenant)),
        ..task(format!("{tenant}{n}"))
    };
    desk.enqueue((0..100).map(|n| of("big", n)).collect()).await;
    desk.enqueue((0..2).map(|n| of("small", n)).collect()).await;
    desk.enqueue(vec![task("none")]).await;
    let mut first = Vec::new();
    for _ in 0..6 {
        first.extend(desk.take(1).await);
    }
    assert_eq!(payloads(&first), "big0 small0 none big1 small1 big2");
    // In one portion each has its share.
    desk.enqueue((2..9).map(|n| of("small", n)).collect()).await;
    assert_eq!(payloads(&desk.take(4).await), "big3 big4 small2 small3");
    desk.counts().await;
}

pub(crate) async fn tasks_of_one_key_run_one_after_the_other(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(vec![
        of_key("a", "a1"),
        of_key("a", "a2"),
        of_key("b", "b1"),
        of_key("a", "a3"),
        task("free"),
    ])
    .await;
    let first = desk.take(9).await;
    assert_eq!(payloads(&first), "a1 b1 free");
    assert_eq!(desk.counts().await.blocked, 2);
    desk.done(&first[1]).await;
    assert!(desk.take(9).await.is_empty());
    desk.done(&first[0]).await;
    let second = desk.take(9).await;
    assert_eq!(payloads(&second), "a2");
    desk.done(&second[0]).await;
    assert_eq!(payloads(&desk.take(9).await), "a3");
    assert_eq!(desk.counts().await.blocked, 0);
}

pub(crate) async fn a_key_waits_for_a_retry_of_its_first_task(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(vec![of_key("a", "a1"), of_key("a", "a2")])
        .await;
    let first = desk.take_one().await;
    let retry = Outcome::Retry {
        due: Due::In(LONG),
        failure: failure("flaky"),
    };
    desk.finish(&first, retry).await.unwrap();
    assert!(desk.take(9).await.is_empty());
    assert_eq!(desk.store.make_due(&queue(), &[first.id]).await.unwrap(), 1);
    let again = desk.take(9).await;
    assert_eq!(payloads(&again), "a1");
    desk.done(&again[0]).await;
    assert_eq!(payloads(&desk.take(9).await), "a2");
}

pub(crate) async fn a_delayed_first_task_holds_up_its_key(site: Site) {
    let desk = site.worker().await;
    let first = NewTask {
        due: Due::In(LONG),
        ..of_key("a", "a1")
    };
    let third = NewTask {
        due: Due::In(LONG),
        ..of_key("a", "a3")
    };
    let ids = desk.enqueue(vec![first, of_key("a", "a2"), third]).await;
    assert!(desk.take(9).await.is_empty());
    desk.store.make_due(&queue(), &ids).await.unwrap();
    for expected in ["a1", "a2"] {
        let taken = desk.take(9).await;
        assert_eq!(payloads(&taken), expected);
        desk.done(&taken[0]).await;
    }
    // What was blocked kept its own time.
    assert!(desk.take(9).await.is_empty());
    assert_eq!(desk.counts().await.scheduled, 1);
}

pub(crate) async fn a_key_goes_on_behind_a_dead_task_and_waits_behind_an_unknown_one(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(vec![
        of_key("a", "a1"),
        of_key("a", "a2"),
        of_key("a", "a3"),
    ])
    .await;
    let first = desk.take_one().await;
    let dead = Outcome::Dead(failure("broken"));
    desk.finish(&first, dead).await.unwrap();
    let second = desk.take_one().await;
    assert_eq!(payloads(std::slice::from_ref(&second)), "a2");
    let unknown = Outcome::Unknown(failure("timeout"));
    desk.finish(&second, unknown).await.unwrap();
    assert!(desk.take(9).await.is_empty());
    // The dead one lines up behind the others.
    let retried = desk
        .store
        .resolve(&queue(), &[first.id], Resolution::Retry)
        .await;
    assert_eq!(retried.unwrap(), [Some(State::Blocked)]);
    let resolved = desk
        .store
        .resolve(&queue(), &[second.id], Resolution::Done)
        .await;
    assert_eq!(resolved.unwrap(), [Some(State::Done)]);
    for expected in ["a3", "a1"] {
        let taken = desk.take(9).await;
        assert_eq!(payloads(&taken), expected);
        desk.done(&taken[0]).await;
    }
    let counts = desk.counts().await;
    assert_eq!((counts.done, counts.held), (3, 0));
}

pub(crate) async fn a_cancelled_task_lets_the_next_of_its_key_through(site: Site) {
    let desk = site.worker().await;
    let ids = desk
        .enqueue(vec![
            of_key("a", "a1"),
            of_key("a", "a2"),
            of_key("a", "a3"),
        ])
        .await;
    let cancelled = desk.store.cancel(&queue(), &[ids[1], ids[0]]).await;
    assert_eq!(cancelled.unwrap(), [Some(State::Cancelled); 2]);
    assert_eq!(payloads(&desk.take(9).await), "a3");
    assert_eq!(desk.counts().await.cancelled, 2);
}
