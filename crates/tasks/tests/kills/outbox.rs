//! Tasks that are enqueued in the user's transaction, and a relay that is killed.

use tidegate_testkit::poll_until;

use crate::site::{SOON, Site, stop};
use crate::worker::book;

/// Not one of the numbers that fail.
fn number(place: i64) -> i64 {
    place * 100 + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outbox_sends_each_committed_task_once_though_its_relay_is_killed() {
    let mut site = Site::new().await;
    let mut worker = site.hire().await;
    for place in 0..200 {
        let transaction = site.sink.transaction().await.unwrap();
        let task = book::enqueue(number(place));
        task.enqueue_in(&transaction).await.unwrap();
        // A task whose transaction is rolled back never was.
        if place % 2 == 0 {
            transaction.commit().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
        }
        if place % 40 == 39 {
            worker.kill().unwrap();
            worker = site.hire().await;
        }
    }
    let all = poll_until(SOON, async || site.effects("booked").await.len() == 100).await;
    let booked = site.effects("booked").await;
    assert!(all.is_ok(), "{} booked", booked.len());
    assert!(booked.keys().all(|it| (it / 100) % 2 == 0), "{booked:?}");
    let counts = site.settled().await;
    assert_eq!((counts.enqueued, counts.done), (100, 100));
    let left = site
        .sink
        .query_one("SELECT count(*) FROM tidegate_outbox", &[]);
    assert_eq!(left.await.unwrap().get::<_, i64>(0), 0);
    stop(worker).await;
}
