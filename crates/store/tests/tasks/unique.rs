//! Keys that two tasks can't have at a time.

use std::time::Duration;

use tidegate_store::task::{
    Due, Enqueued, Idempotency, NewTask, Outcome, State, Unique, UniqueSpan,
};

use crate::site::{Desk, LONG, Site, eventually, failure, label, queue, task};

fn unique(span: UniqueSpan) -> NewTask {
    NewTask {
        unique: Some(Unique {
            key: label("invoice 7"),
            span,
        }),
        ..task("unique")
    }
}

async fn enqueue(desk: &Desk, task: NewTask) -> Enqueued {
    let mut results = desk.store.enqueue(&queue(), vec![task]).await;
    results.remove(0).unwrap()
}

pub(crate) async fn a_key_is_taken_while_its_task_is_queued(site: Site) {
    let desk = site.worker().await;
    let first = unique(UniqueSpan::WhileQueued);
    assert_eq!(enqueue(&desk, first.clone()).await, Enqueued::Accepted);
    let second = enqueue(&desk, unique(UniqueSpan::WhileQueued)).await;
    assert_eq!(second, Enqueued::Duplicate(first.id));
    let taken = desk.take_one().await;
    let third = unique(UniqueSpan::WhileQueued);
    assert_eq!(enqueue(&desk, third.clone()).await, Enqueued::Accepted);
    desk.done(&taken).await;
    // The end of the first one does not free the key of the third.
    let fourth = enqueue(&desk, unique(UniqueSpan::WhileQueued)).await;
    assert_eq!(fourth, Enqueued::Duplicate(third.id));
    desk.counts().await;
}

pub(crate) async fn a_key_is_taken_until_its_task_is_done(site: Site) {
    let desk = site.worker().await;
    let first = unique(UniqueSpan::UntilDone);
    assert_eq!(enqueue(&desk, first.clone()).await, Enqueued::Accepted);
    let taken = desk.take_one().await;
    let retry = Outcome::Retry {
        due: Due::Now,
        failure: failure("flaky"),
    };
    desk.finish(&taken, retry).await.unwrap();
    let taken = desk.take_one().await;
    let second = enqueue(&desk, unique(UniqueSpan::UntilDone)).await;
    assert_eq!(second, Enqueued::Duplicate(first.id));
    desk.done(&taken).await;
    let third = enqueue(&desk, unique(UniqueSpan::UntilDone)).await;
    assert_eq!(third, Enqueued::Accepted);
    let taken = desk.take_one().await;
    desk.finish(&taken, Outcome::Dead(failure("broken")))
        .await
        .unwrap();
    let fourth = enqueue(&desk, unique(UniqueSpan::UntilDone)).await;
    assert_eq!(fourth, Enqueued::Accepted);
    desk.counts().await;
}

pub(crate) async fn a_key_is_taken_for_a_time(site: Site) {
    let desk = site.worker().await;
    let first = unique(UniqueSpan::For(Duration::from_millis(300)));
    assert_eq!(enqueue(&desk, first.clone()).await, Enqueued::Accepted);
    let taken = desk.take_one().await;
    desk.done(&taken).await;
    let second = enqueue(&desk, unique(UniqueSpan::For(LONG))).await;
    assert_eq!(second, Enqueued::Duplicate(first.id));
    eventually("the time is over", || async {
        let again = enqueue(&desk, unique(UniqueSpan::For(LONG))).await;
        (again == Enqueued::Accepted).then_some(())
    })
    .await;
    desk.counts().await;
}

pub(crate) async fn an_idempotency_key_outlives_its_task(site: Site) {
    let desk = site.worker().await;
    let once = |lifetime| NewTask {
        idempotency: Some(Idempotency {
            key: label("request 9"),
            lifetime,
        }),
        ..task("once")
    };
    let first = once(LONG);
    assert_eq!(enqueue(&desk, first.clone()).await, Enqueued::Accepted);
    let taken = desk.take_one().await;
    desk.done(&taken).await;
    for again in [once(LONG), first.clone()] {
        let again = enqueue(&desk, again).await;
        assert_eq!(again, Enqueued::Duplicate(first.id));
    }
    assert_eq!(desk.counts().await.enqueued, 1);
}

pub(crate) async fn a_cancelled_task_gives_up_its_key(site: Site) {
    let desk = site.worker().await;
    for span in [UniqueSpan::WhileQueued, UniqueSpan::UntilDone] {
        let first = unique(span);
        assert_eq!(enqueue(&desk, first.clone()).await, Enqueued::Accepted);
        let cancelled = desk.store.cancel(&queue(), &[first.id]).await.unwrap();
        assert_eq!(cancelled, [Some(State::Cancelled)]);
    }
    assert_eq!(desk.counts().await.held, 0);
}

pub(crate) async fn two_of_one_key_in_one_call(site: Site) {
    let desk = site.worker().await;
    let (one, other) = (unique(UniqueSpan::UntilDone), unique(UniqueSpan::UntilDone));
    let results = desk.store.enqueue(&queue(), vec![one.clone(), other]).await;
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results, [Enqueued::Accepted, Enqueued::Duplicate(one.id)]);
    desk.counts().await;
}
