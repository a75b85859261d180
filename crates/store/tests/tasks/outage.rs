//! A Redis that forgets, dies, or hands a queue over.

use std::sync::Arc;

use tidegate_store::task::{Limits, NewTask, TaskStore};
use tidegate_store::{StoreUrl, WorkerId, connect_tasks};
use tidegate_testkit::{RedisCluster, RedisServer};

use crate::site::{Desk, LONG, eventually, queue, tasks};

async fn desk(url: &str) -> Desk {
    let url = StoreUrl::parse(url).unwrap();
    let desk = Desk {
        store: connect_tasks(&url).await.unwrap(),
        worker: WorkerId::random(),
    };
    desk.store.beat(&queue(), desk.worker, LONG).await.unwrap();
    desk
}

#[tokio::test]
async fn fences_grow_though_the_server_has_lost_its_memory() {
    let server = RedisServer::start().await.unwrap();
    let desk = desk(&server.url()).await;
    let mut last = 0;
    for _ in 0..3 {
        desk.store.beat(&queue(), desk.worker, LONG).await.unwrap();
        desk.enqueue(tasks(0..50)).await;
        for taken in desk.take(50).await {
            assert!(taken.fence.0 > last, "{taken:?}");
            last = taken.fence.0;
        }
        server.clear().await.unwrap();
    }
}

#[tokio::test]
async fn what_was_in_hand_when_redis_was_killed_is_finished_or_recovered() {
    let mut server = RedisServer::builder().aof(true).start().await.unwrap();
    let dead = desk(&server.url()).await;
    let alive = desk(&server.url()).await;
    dead.enqueue(tasks(0..100)).await;
    let taken = dead.take(10).await;
    let lost = alive.take(10).await;
    server.kill().await.unwrap();
    server.restart().await.unwrap();
    // The handle connects anew by itself.
    let store: Arc<dyn TaskStore> = Arc::clone(&alive.store);
    eventually("the server is back", || async { store.ping().await.ok() }).await;
    for it in &lost {
        alive.done(it).await;
    }
    alive.store.leave(&queue(), dead.worker).await.unwrap();
    let recovered = alive.store.recover(&queue(), 9).await.unwrap();
    assert_eq!(recovered.len(), taken.len());
    let rest = eventually("the rest is taken", || async {
        let limits = Limits::default();
        let take = alive.store.take(&queue(), alive.worker, 500, &limits).await;
        take.ok().map(|it| it.tasks)
    })
    .await;
    assert_eq!(rest.len(), 90);
    let counts = alive.counts().await;
    assert_eq!((counts.done, counts.running, counts.held), (10, 90, 90));
}

/// Enqueues what has no answer yet, and keeps what is unavailable for the next time.
async fn try_enqueue(desk: &Desk, left: &mut Vec<NewTask>) {
    let tasks = std::mem::take(left);
    let results = desk.store.enqueue(&queue(), tasks.clone()).await;
    for (task, result) in tasks.into_iter().zip(results) {
        match result {
            Ok(_) => {}
            Err(error) if error.is_transient() => left.push(task),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_is_lost_while_the_slot_of_its_queue_is_handed_over() {
    let cluster = RedisCluster::start_patient().await.unwrap();
    let desk = desk(&cluster.url()).await;
    desk.enqueue(tasks(0..100)).await;
    let held = desk.take(10).await;
    let mut left = Vec::new();
    let handover = cluster.begin_slot_move("__task:{shop.work}").await.unwrap();
    left.extend(tasks(100..110));
    try_enqueue(&desk, &mut left).await;
    handover.move_keys().await.unwrap();
    left.extend(tasks(110..120));
    try_enqueue(&desk, &mut left).await;
    assert_eq!(left.len(), 20, "nothing goes to either side");
    assert_eq!(handover.move_keys().await.unwrap(), 0);
    handover.finish().await.unwrap();
    eventually("the queue is back", || async {
        desk.store.status(&queue()).await.ok()
    })
    .await;
    try_enqueue(&desk, &mut left).await;
    assert!(left.is_empty());
    for it in held.iter().chain(&desk.take(500).await) {
        desk.done(it).await;
    }
    let counts = desk.counts().await;
    assert_eq!((counts.enqueued, counts.done, counts.held), (120, 120, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_adds_up_after_a_failover_and_its_fences_grow() {
    let mut master = RedisServer::start().await.unwrap();
    let replica = RedisServer::builder().replica_of(master.port());
    let mut replica = replica.start().await.unwrap();
    let before = desk(&master.url()).await;
    before.enqueue(tasks(0..200)).await;
    let held = before.take(50).await;
    for it in held.iter().take(20) {
        before.done(it).await;
    }
    let url = StoreUrl::parse(&replica.url()).unwrap();
    let copy = connect_tasks(&url).await.unwrap();
    eventually("the replica has it all", || async {
        let status = copy.status(&queue()).await.ok()?;
        (status.counts == before.counts().await).then_some(())
    })
    .await;
    // Of what is sent now, the replica has a part.
    let q = queue();
    let sending = before.store.enqueue(&q, tasks(200..5_000));
    let (_results, killed) = tokio::join!(sending, master.kill());
    killed.unwrap();
    replica.promote().await.unwrap();

    let after = desk(&replica.url()).await;
    let counts = after.counts().await;
    assert!(counts.enqueued >= 200, "{counts:?}");
    assert_eq!((counts.done, counts.running), (20, 30));
    let last = held.iter().map(|it| it.fence).max().unwrap();
    assert!(after.take_one().await.fence > last);
    // What was in hand is so still, and ends under its own fence.
    for it in held.iter().skip(20) {
        after.done(it).await;
    }
    assert_eq!(after.counts().await.done, 50);
}
