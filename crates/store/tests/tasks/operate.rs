//! What an operator sees and does.

use std::time::Duration;

use bytes::Bytes;
use tidegate_store::task::{
    Due, NewTask, Outcome, Page, QueueName, Resolution, State, TaskId, TaskView,
};

use crate::site::{Desk, LONG, Site, failure, label, payloads, queue, task, tasks};

fn delayed(text: &str) -> NewTask {
    NewTask {
        due: Due::In(LONG),
        ..task(text)
    }
}

async fn list(desk: &Desk, state: State, offset: usize, limit: usize) -> Vec<TaskView> {
    let page = Page { offset, limit };
    desk.store.list(&queue(), state, page).await.unwrap()
}

fn texts(views: &[TaskView]) -> Vec<String> {
    let text = |it: &TaskView| String::from_utf8(it.payload.to_vec()).unwrap();
    views.iter().map(text).collect()
}

/// A task that has died or is unknown.
async fn ended(desk: &Desk, text: &str, outcome: Outcome) -> TaskId {
    desk.enqueue(vec![task(text)]).await;
    let taken = desk.take_one().await;
    desk.finish(&taken, outcome).await.unwrap();
    taken.id
}

pub(crate) async fn what_waits_is_cancelled_at_once(site: Site) {
    let desk = site.worker().await;
    let keyed = |text: &str| NewTask {
        ordering_key: Some(label("k")),
        ..task(text)
    };
    let ids = desk
        .enqueue(vec![
            task("ready"),
            delayed("scheduled"),
            keyed("k1"),
            keyed("k2"),
        ])
        .await;
    let wanted = [ids[0], ids[1], ids[3], TaskId::fresh()];
    let states = desk.store.cancel(&queue(), &wanted).await.unwrap();
    let gone = Some(State::Cancelled);
    assert_eq!(states, [gone, gone, gone, None]);
    assert_eq!(
        desk.store.cancel(&queue(), &wanted).await.unwrap(),
        [None; 4]
    );
    assert_eq!(payloads(&desk.take(9).await), "k1");
    let counts = desk.counts().await;
    assert_eq!((counts.cancelled, counts.held), (3, 1));
}

pub(crate) async fn a_running_task_hears_of_its_cancel(site: Site) {
    let (one, other) = (site.worker().await, site.worker().await);
    one.enqueue(tasks(0..2)).await;
    let taken = one.take(2).await;
    let states = other.store.cancel(&queue(), &[taken[0].id]).await.unwrap();
    assert_eq!(states, [Some(State::Running)]);
    let view = other
        .store
        .show(&queue(), taken[0].id)
        .await
        .unwrap()
        .unwrap();
    assert!(view.is_cancelling && view.state == State::Running);
    for _ in 0..2 {
        let beat = one.store.beat(&queue(), one.worker, LONG).await.unwrap();
        assert_eq!(beat.cancelled, [taken[0].id]);
    }
    let beat = other
        .store
        .beat(&queue(), other.worker, LONG)
        .await
        .unwrap();
    assert!(beat.cancelled.is_empty());
    let state = one.finish(&taken[0], Outcome::Cancelled).await.unwrap();
    assert_eq!(state, State::Cancelled);
    let beat = one.store.beat(&queue(), one.worker, LONG).await.unwrap();
    assert!(beat.cancelled.is_empty());
    assert_eq!(one.counts().await.cancelled, 1);
}

pub(crate) async fn a_cancelled_running_task_is_not_retried(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..3)).await;
    let taken = desk.take(3).await;
    let ids: Vec<_> = taken.iter().map(|it| it.id).collect();
    desk.store.cancel(&queue(), &ids).await.unwrap();
    let retry = Outcome::Retry {
        due: Due::Now,
        failure: failure("flaky"),
    };
    for (it, (outcome, expected)) in taken.iter().zip([
        (retry, State::Cancelled),
        (Outcome::Returned, State::Cancelled),
        (Outcome::Done, State::Done),
    ]) {
        assert_eq!(desk.finish(it, outcome).await.unwrap(), expected);
    }
    assert_eq!(desk.counts().await.held, 0);
}

pub(crate) async fn a_paused_queue_gives_nothing(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..2)).await;
    let running = desk.take_one().await;
    desk.store.pause(&queue(), true).await.unwrap();
    let taken = desk.take_within(9, &Default::default()).await;
    assert!(taken.tasks.is_empty() && !taken.has_more && taken.next_in.is_none());
    assert!(desk.store.status(&queue()).await.unwrap().is_paused);
    desk.done(&running).await;
    desk.enqueue(tasks(2..3)).await;
    desk.store.pause(&queue(), false).await.unwrap();
    assert_eq!(payloads(&desk.take(9).await), "1 2");
    assert!(!desk.store.status(&queue()).await.unwrap().is_paused);
}

pub(crate) async fn purge_cancels_all_that_waits(site: Site) {
    let desk = site.worker().await;
    let keyed = |n: u32| NewTask {
        ordering_key: Some(label("k")),
        tenant: Some(label("acme")),
        ..task(n)
    };
    desk.enqueue(tasks(0..600)).await;
    let running = desk.take_one().await;
    desk.enqueue((0..300).map(keyed).collect()).await;
    desk.enqueue((0..300).map(|n| delayed(&n.to_string())).collect())
        .await;
    assert_eq!(desk.store.purge(&queue()).await.unwrap(), 1_199);
    let counts = desk.counts().await;
    assert_eq!(
        (counts.cancelled, counts.held, counts.running),
        (1_199, 1, 1)
    );
    desk.done(&running).await;
    desk.enqueue(vec![keyed(7)]).await;
    assert_eq!(payloads(&desk.take(9).await), "7");
}

pub(crate) async fn a_dead_task_is_retried_with_all_its_attempts(site: Site) {
    let desk = site.worker().await;
    let id = ended(&desk, "again", Outcome::Dead(failure("broken"))).await;
    let running = {
        desk.enqueue(vec![task("running")]).await;
        desk.take_one().await
    };
    let wanted = [id, running.id, TaskId::fresh()];
    let states = desk
        .store
        .resolve(&queue(), &wanted, Resolution::Retry)
        .await;
    assert_eq!(states.unwrap(), [Some(State::Ready), None, None]);
    let again = desk.take_one().await;
    assert_eq!((again.id, again.attempt, again.lost), (id, 1, 0));
    desk.done(&again).await;
    let counts = desk.counts().await;
    assert_eq!((counts.dead, counts.done), (0, 1));
}

pub(crate) async fn an_unknown_task_is_resolved(site: Site) {
    let desk = site.worker().await;
    for (resolution, expected) in [
        (Resolution::Retry, State::Ready),
        (Resolution::Done, State::Done),
        (Resolution::Dead, State::Dead),
        (Resolution::Discard, State::Discarded),
    ] {
        let id = ended(&desk, "transfer", Outcome::Unknown(failure("timeout"))).await;
        let states = desk.store.resolve(&queue(), &[id], resolution).await;
        assert_eq!(states.unwrap(), [Some(expected)]);
        if expected == State::Ready {
            let again = desk.take_one().await;
            desk.done(&again).await;
        }
        if expected == State::Dead {
            let dead = list(&desk, State::Dead, 0, 9).await;
            assert_eq!(dead[0].failure, Some(failure("timeout")));
        }
        desk.counts().await;
    }
    let counts = desk.counts().await;
    assert_eq!((counts.done, counts.dead, counts.discarded), (2, 1, 1));
}

pub(crate) async fn dead_letters_are_discarded_by_age(site: Site) {
    let desk = site.worker().await;
    for n in 0..3 {
        ended(&desk, &n.to_string(), Outcome::Dead(failure("broken"))).await;
    }
    let discard = async |age, max| desk.store.discard_dead(&queue(), age, max).await.unwrap();
    assert_eq!(discard(LONG, 9).await, 0);
    assert_eq!(discard(Duration::ZERO, 2).await, 2);
    assert_eq!(texts(&list(&desk, State::Dead, 0, 9).await), ["2"]);
    assert_eq!(discard(Duration::ZERO, 9).await, 1);
    assert_eq!(desk.counts().await.discarded, 3);
}

pub(crate) async fn a_scheduled_task_is_made_due(site: Site) {
    let desk = site.worker().await;
    let ids = desk.enqueue(vec![delayed("one"), delayed("other")]).await;
    let wanted = [ids[1], TaskId::fresh()];
    assert_eq!(desk.store.make_due(&queue(), &wanted).await.unwrap(), 1);
    assert_eq!(payloads(&desk.take(9).await), "other");
    assert_eq!(desk.counts().await.scheduled, 1);
}

pub(crate) async fn lists_are_paged_by_state(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..3)).await;
    let running = desk.take(3).await;
    let of = |tenant: &str, text: &str| NewTask {
        tenant: Some(label(tenant)),
        limit_key: Some(label("l")),
        ..task(text)
    };
    desk.enqueue(vec![of("a", "3"), of("b", "4"), of("a", "5")])
        .await;
    desk.enqueue(vec![delayed("6"), delayed("7")]).await;
    let ready = list(&desk, State::Ready, 0, 9).await;
    assert_eq!(texts(&ready), ["3", "5", "4"]);
    assert_eq!(ready[0].tenant, Some(label("a")));
    assert_eq!(ready[0].limit_key, Some(label("l")));
    assert_eq!((ready[0].attempts, &ready[0].failure), (0, &None));
    assert_eq!(texts(&list(&desk, State::Ready, 1, 2).await), ["5", "4"]);
    assert_eq!(texts(&list(&desk, State::Ready, 2, 2).await), ["4"]);
    assert!(list(&desk, State::Ready, 3, 2).await.is_empty());
    assert!(list(&desk, State::Ready, 0, 0).await.is_empty());
    let scheduled = list(&desk, State::Scheduled, 1, 9).await;
    assert_eq!(scheduled.len(), 1);
    assert!(scheduled[0].at_ms > scheduled[0].enqueued_at_ms);
    let views = list(&desk, State::Running, 0, 2).await;
    assert_eq!(views.len(), 2);
    let mut ids: Vec<_> = running.iter().map(|it| it.id).collect();
    ids.sort();
    assert_eq!([views[0].id, views[1].id], ids[..2]);
    assert_eq!(views[0].at_ms, running[0].taken_at_ms);
    assert!(list(&desk, State::Done, 0, 9).await.is_empty());
    assert_eq!(ready[0].options, Bytes::new());
}

pub(crate) async fn queues_of_an_app_are_listed(site: Site) {
    let desk = site.worker().await;
    let other = QueueName::of_app("shop", "mail").unwrap();
    let elsewhere = QueueName::of_app("other", "mail").unwrap();
    for queue in [&other, &elsewhere] {
        let results = desk.store.enqueue(queue, tasks(0..1)).await;
        assert!(results[0].is_ok());
    }
    assert_eq!(desk.store.queues("shop").await.unwrap(), [other, queue()]);
    assert_eq!(desk.store.queues("other").await.unwrap(), [elsewhere]);
    assert!(desk.store.queues("none").await.unwrap().is_empty());
    assert_eq!(desk.counts().await.enqueued, 0);
}

pub(crate) async fn workers_are_listed_with_what_they_hold(site: Site) {
    let (one, other) = (site.worker().await, site.worker().await);
    one.enqueue(tasks(0..3)).await;
    one.take(2).await;
    other.store.leave(&queue(), other.worker).await.unwrap();
    let workers = one.store.status(&queue()).await.unwrap().workers;
    let of = |desk: &Desk| *workers.iter().find(|it| it.worker == desk.worker).unwrap();
    assert_eq!(workers.len(), 2);
    assert_eq!((of(&one).running, of(&other).running), (2, 0));
    assert!(of(&one).ends_in_ms > 1_000 && of(&other).ends_in_ms == 0);
    one.store.recover(&queue(), 9).await.unwrap();
    assert_eq!(one.store.status(&queue()).await.unwrap().workers.len(), 1);
}
