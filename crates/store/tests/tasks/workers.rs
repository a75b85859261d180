//! Workers that live, die and come back.

use tidegate_store::task::{Limits, NewTask, OnLost, Outcome, State};
use tidegate_store::{Error, WorkerId};

use crate::site::{Desk, LONG, SHORT, Site, eventually, failure, payloads, queue, task, tasks};

/// Recovers until something was recovered.
async fn recover(desk: &Desk, lost_max: u32) -> Vec<(tidegate_store::task::TaskId, State)> {
    eventually("the dead worker is found", || async {
        let recovered = desk.store.recover(&queue(), lost_max).await.unwrap();
        (!recovered.is_empty()).then_some(recovered)
    })
    .await
}

/// A worker that has taken all there is, and will give no more sign of life.
async fn dying(site: &Site, count: usize) -> (Desk, Vec<tidegate_store::task::Taken>) {
    let desk = site.worker_for(SHORT).await;
    let taken = eventually("the tasks are taken", || async {
        // Under load its first sign of life may have run out before it takes.
        desk.store.beat(&queue(), desk.worker, SHORT).await.unwrap();
        let taken = desk
            .store
            .take(&queue(), desk.worker, count, &Limits::default())
            .await;
        taken.ok().map(|it| it.tasks).filter(|it| it.len() == count)
    })
    .await;
    (desk, taken)
}

pub(crate) async fn a_worker_that_never_beat_gets_nothing(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..1)).await;
    let stranger = WorkerId::random();
    let taken = desk
        .store
        .take(&queue(), stranger, 1, &Limits::default())
        .await;
    assert!(
        matches!(&taken, Err(Error::WorkerLost { worker, .. }) if *worker == stranger),
        "{taken:?}"
    );
    assert_eq!(desk.counts().await.ready, 1);
}

pub(crate) async fn a_live_worker_keeps_its_tasks(site: Site) {
    let (one, other) = (site.worker().await, site.worker().await);
    one.enqueue(tasks(0..1)).await;
    let taken = one.take_one().await;
    assert!(other.store.recover(&queue(), 3).await.unwrap().is_empty());
    one.done(&taken).await;
}

pub(crate) async fn a_dead_workers_tasks_are_ready_at_once(site: Site) {
    let alive = site.worker().await;
    alive.enqueue(tasks(0..5)).await;
    let (_dead, taken) = dying(&site, 3).await;
    let mut expected: Vec<_> = taken.iter().map(|it| (it.id, State::Ready)).collect();
    let mut recovered = recover(&alive, 9).await;
    expected.sort();
    recovered.sort();
    assert_eq!(recovered, expected);
    let again = alive.take(9).await;
    assert_eq!(payloads(&again), "0 1 2 3 4");
    assert_eq!((again[0].attempt, again[0].lost), (2, 1));
    assert_eq!((again[4].attempt, again[4].lost), (1, 0));
    alive.counts().await;
}

pub(crate) async fn a_stopped_worker_that_comes_back_is_fenced(site: Site) {
    let alive = site.worker().await;
    alive.enqueue(tasks(0..1)).await;
    let (stopped, taken) = dying(&site, 1).await;
    recover(&alive, 9).await;
    let outcomes = || {
        [
            Outcome::Done,
            Outcome::Returned,
            Outcome::Cancelled,
            Outcome::Dead(failure("late")),
            Outcome::Unknown(failure("late")),
        ]
    };
    for outcome in outcomes() {
        let refused = stopped.finish(&taken[0], outcome).await;
        assert!(
            matches!(refused, Err(Error::FenceLost { .. })),
            "{refused:?}"
        );
    }
    let again = alive.take_one().await;
    // Also while another one holds the task, and when it beats again.
    stopped
        .store
        .beat(&queue(), stopped.worker, LONG)
        .await
        .unwrap();
    for outcome in outcomes() {
        let refused = stopped.finish(&taken[0], outcome).await;
        assert!(
            matches!(refused, Err(Error::FenceLost { .. })),
            "{refused:?}"
        );
    }
    assert!(again.fence > taken[0].fence);
    alive.done(&again).await;
    assert_eq!(alive.counts().await.done, 1);
}

pub(crate) async fn a_task_that_kills_workers_dies_in_the_end(site: Site) {
    let alive = site.worker().await;
    let ids = alive.enqueue(vec![task("poison")]).await;
    for expected in [State::Ready, State::Dead] {
        dying(&site, 1).await;
        assert_eq!(recover(&alive, 2).await, [(ids[0], expected)]);
    }
    let view = alive.store.show(&queue(), ids[0]).await.unwrap().unwrap();
    assert_eq!((view.state, view.attempts, view.lost), (State::Dead, 2, 2));
    assert_eq!(view.failure.unwrap().reason, "lost");
    assert!(alive.take(1).await.is_empty());
    assert_eq!(alive.counts().await.dead, 1);
}

pub(crate) async fn a_task_that_must_not_be_repeated_blindly_is_parked(site: Site) {
    let alive = site.worker().await;
    let transfer = NewTask {
        on_lost: OnLost::Park,
        ..task("transfer")
    };
    let ids = alive.enqueue(vec![transfer]).await;
    dying(&site, 1).await;
    assert_eq!(recover(&alive, 9).await, [(ids[0], State::Unknown)]);
    assert!(alive.take(1).await.is_empty());
    assert_eq!(alive.counts().await.unknown, 1);
}

pub(crate) async fn a_worker_that_left_is_recovered(site: Site) {
    let (stays, leaves) = (site.worker().await, site.worker().await);
    stays.enqueue(tasks(0..2)).await;
    let taken = leaves.take(2).await;
    leaves.done(&taken[0]).await;
    leaves.store.leave(&queue(), leaves.worker).await.unwrap();
    let recovered = stays.store.recover(&queue(), 9).await.unwrap();
    assert_eq!(recovered, [(taken[1].id, State::Ready)]);
    let refused = leaves.finish(&taken[1], Outcome::Done).await;
    assert!(
        matches!(refused, Err(Error::FenceLost { .. })),
        "{refused:?}"
    );
    stays.counts().await;
}

pub(crate) async fn what_a_worker_was_given_without_an_answer_is_taken_back(site: Site) {
    let (desk, other) = (site.worker().await, site.worker().await);
    desk.enqueue(tasks(0..6)).await;
    let known = desk.take(2).await.pop().unwrap().fence;
    let lost: Vec<_> = desk.take(2).await.iter().map(|it| it.id).collect();
    let others = other.take(1).await;
    let back = desk.store.take_back(&queue(), desk.worker, known).await;
    assert_eq!(back.unwrap(), 2);
    // In their old places, and as if they had never been taken.
    let again = other.take(2).await;
    assert_eq!(again.iter().map(|it| it.id).collect::<Vec<_>>(), lost);
    assert!(again.iter().all(|it| it.attempt == 1));
    other.done(&others[0]).await;
    let back = desk.store.take_back(&queue(), desk.worker, known).await;
    assert_eq!(
        back.unwrap(),
        0,
        "nothing is taken back twice, or from others"
    );
    desk.counts().await;
}

pub(crate) async fn a_recovered_task_is_told_to_one_caller(site: Site) {
    let (one, other) = (site.worker().await, site.worker().await);
    one.enqueue(tasks(0..300)).await;
    let leaves = site.worker().await;
    leaves.take(300).await;
    leaves.store.leave(&queue(), leaves.worker).await.unwrap();
    let q = queue();
    let (first, second) = tokio::join!(one.store.recover(&q, 9), other.store.recover(&q, 9));
    let mut all = first.unwrap();
    all.extend(second.unwrap());
    // A caller may come while another one's portions are under way.
    all.extend(one.store.recover(&q, 9).await.unwrap());
    let total = all.len();
    all.sort();
    all.dedup();
    assert_eq!((all.len(), total), (300, 300));
    assert_eq!(one.counts().await.ready, 300);
}

pub(crate) async fn a_cancel_of_a_lost_task_is_kept(site: Site) {
    let alive = site.worker().await;
    let ids = alive.enqueue(vec![task("unwanted")]).await;
    let leaves = site.worker().await;
    leaves.take(1).await;
    let cancelled = alive.store.cancel(&queue(), &ids).await.unwrap();
    assert_eq!(cancelled, [Some(State::Running)]);
    leaves.store.leave(&queue(), leaves.worker).await.unwrap();
    let recovered = alive.store.recover(&queue(), 9).await.unwrap();
    assert_eq!(recovered, [(ids[0], State::Cancelled)]);
    assert_eq!(alive.counts().await.cancelled, 1);
}
