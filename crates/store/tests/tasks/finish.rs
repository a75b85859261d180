//! What becomes of attempts.

use std::time::Duration;

use bytes::Bytes;
use tidegate_store::Error;
use tidegate_store::task::attempt::ERROR_BYTES_MAX;
use tidegate_store::task::{Due, Failure, Finished, KeptResult, Outcome, Page, State, TaskId};

use crate::site::{LONG, Site, eventually, failure, payloads, queue, task, tasks};

const ALL: Page = Page {
    offset: 0,
    limit: 1_000,
};

pub(crate) async fn a_done_task_leaves_the_queue(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..2)).await;
    let taken = desk.take(2).await;
    desk.done(&taken[0]).await;
    assert_eq!(desk.store.show(&queue(), taken[0].id).await.unwrap(), None);
    let counts = desk.counts().await;
    assert_eq!((counts.done, counts.running, counts.held), (1, 1, 1));
}

pub(crate) async fn an_attempt_ends_once(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..1)).await;
    let taken = desk.take_one().await;
    desk.done(&taken).await;
    for outcome in [
        Outcome::Done,
        Outcome::Returned,
        Outcome::Dead(failure("late")),
    ] {
        let again = desk.finish(&taken, outcome).await;
        assert!(
            matches!(again, Err(Error::FenceLost { task, fence }) if (task, fence) == (taken.id, taken.fence)),
            "{again:?}"
        );
    }
    assert_eq!(desk.counts().await.done, 1);
}

pub(crate) async fn an_attempt_named_twice_in_one_call_ends_once(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..2)).await;
    let taken = desk.take(2).await;
    let done = |n: usize| Finished {
        id: taken[n].id,
        fence: taken[n].fence,
        outcome: Outcome::Done,
        result: None,
    };
    let calls = vec![done(0), done(1), done(0)];
    let results = desk.store.finish(&queue(), calls).await;
    assert!(results[0].is_ok() && results[1].is_ok() && results[2].is_err());
    assert_eq!(desk.counts().await.done, 2);
}

pub(crate) async fn a_retried_task_comes_again_with_the_next_attempt(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..1)).await;
    for attempt in 1..=3 {
        let taken = desk.take_one().await;
        assert_eq!((taken.attempt, taken.lost), (attempt, 0));
        let retry = Outcome::Retry {
            due: Due::Now,
            failure: failure("flaky"),
        };
        assert_eq!(desk.finish(&taken, retry).await.unwrap(), State::Ready);
        let view = desk.store.show(&queue(), taken.id).await.unwrap().unwrap();
        assert_eq!((view.state, view.attempts), (State::Ready, attempt));
        assert_eq!(view.failure, Some(failure("flaky")));
    }
    let taken = desk.take_one().await;
    assert_eq!(taken.attempt, 4);
    desk.done(&taken).await;
    assert_eq!(desk.counts().await.held, 0);
}

pub(crate) async fn a_retry_with_a_delay_waits(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..1)).await;
    let taken = desk.take_one().await;
    let retry = Outcome::Retry {
        due: Due::In(LONG),
        failure: failure("flaky"),
    };
    assert_eq!(desk.finish(&taken, retry).await.unwrap(), State::Scheduled);
    assert!(desk.take(1).await.is_empty());
    assert_eq!(desk.counts().await.scheduled, 1);
}

pub(crate) async fn a_dead_task_keeps_payload_error_and_attempts(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(vec![task("poison")]).await;
    let taken = desk.take_one().await;
    let dead = Outcome::Dead(failure("exhausted"));
    assert_eq!(desk.finish(&taken, dead).await.unwrap(), State::Dead);
    let dead = desk.store.list(&queue(), State::Dead, ALL).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((&*dead[0].payload, dead[0].attempts), (&b"poison"[..], 1));
    assert_eq!(dead[0].failure, Some(failure("exhausted")));
    assert!(dead[0].at_ms >= taken.taken_at_ms);
    assert!(desk.take(1).await.is_empty());
    assert_eq!(desk.counts().await.dead, 1);
}

pub(crate) async fn an_unknown_task_stays_for_a_person(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(vec![task("transfer")]).await;
    let taken = desk.take_one().await;
    let unknown = Outcome::Unknown(failure("timeout"));
    assert_eq!(desk.finish(&taken, unknown).await.unwrap(), State::Unknown);
    assert!(desk.take(1).await.is_empty());
    let view = desk.store.show(&queue(), taken.id).await.unwrap().unwrap();
    assert_eq!(view.state, State::Unknown);
    assert_eq!(view.failure, Some(failure("timeout")));
    assert_eq!(desk.counts().await.unknown, 1);
}

pub(crate) async fn a_returned_task_is_not_counted_and_keeps_its_place(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..3)).await;
    let taken = desk.take(2).await;
    for it in taken.iter().rev() {
        let state = desk.finish(it, Outcome::Returned).await.unwrap();
        assert_eq!(state, State::Ready);
    }
    let again = desk.take(9).await;
    assert_eq!(payloads(&again), "0 1 2");
    assert!(again.iter().all(|it| it.attempt == 1), "{again:?}");
    desk.counts().await;
}

pub(crate) async fn fences_only_grow(site: Site) {
    let (one, other) = (site.worker().await, site.worker().await);
    one.enqueue(tasks(0..20)).await;
    let mut last = 0;
    for _ in 0..5 {
        for desk in [&one, &other] {
            for taken in desk.take(2).await {
                assert!(taken.fence.0 > last, "{taken:?}");
                last = taken.fence.0;
            }
        }
    }
}

pub(crate) async fn results_are_kept_for_their_lifetime(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..2)).await;
    let taken = desk.take(2).await;
    for (it, lifetime) in taken.iter().zip([LONG, Duration::from_millis(30)]) {
        let finished = Finished {
            id: it.id,
            fence: it.fence,
            outcome: Outcome::Done,
            result: Some(KeptResult {
                bytes: Bytes::from_static(b"\x00result"),
                lifetime,
            }),
        };
        let results = desk.store.finish(&queue(), vec![finished]).await;
        assert_eq!(*results[0].as_ref().unwrap(), State::Done);
    }
    let result = async |id: TaskId| desk.store.result(&queue(), id).await.unwrap();
    assert_eq!(
        result(taken[0].id).await.as_deref(),
        Some(&b"\x00result"[..])
    );
    eventually("the result is forgotten", || async {
        result(taken[1].id).await.is_none().then_some(())
    })
    .await;
    assert_eq!(result(TaskId::fresh()).await, None);
    assert_eq!(desk.counts().await.done, 2);
}

pub(crate) async fn progress_is_shown_while_the_task_runs(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..1)).await;
    let taken = desk.take_one().await;
    let half = Bytes::from_static(b"50 %");
    let q = queue();
    let tell = || desk.store.progress(&q, taken.id, taken.fence, half.clone());
    tell().await.unwrap();
    let view = desk.store.show(&queue(), taken.id).await.unwrap().unwrap();
    assert_eq!(view.progress, Some(half.clone()));
    assert_eq!(view.holder, Some((desk.worker, taken.fence)));
    let retry = Outcome::Retry {
        due: Due::Now,
        failure: failure("flaky"),
    };
    desk.finish(&taken, retry).await.unwrap();
    assert!(matches!(tell().await, Err(Error::FenceLost { .. })));
    let view = desk.store.show(&queue(), taken.id).await.unwrap().unwrap();
    assert_eq!((view.progress, view.holder), (None, None));
}

pub(crate) async fn long_errors_are_cut(site: Site) {
    let desk = site.worker().await;
    desk.enqueue(tasks(0..1)).await;
    let taken = desk.take_one().await;
    let dead = Outcome::Dead(Failure {
        reason: "r".repeat(10_000),
        error: "é".repeat(ERROR_BYTES_MAX),
    });
    desk.finish(&taken, dead).await.unwrap();
    let view = desk.store.show(&queue(), taken.id).await.unwrap().unwrap();
    let kept = view.failure.unwrap();
    assert_eq!(kept.error, "é".repeat(ERROR_BYTES_MAX / 2));
    assert_eq!(kept.reason, "r".repeat(256));
}
