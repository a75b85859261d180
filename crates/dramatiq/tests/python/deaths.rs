//! Workers that are killed, and who takes over.

use tidegate_dramatiq::WorkerOptions;
use tidegate_testkit::{Process, poll_until};

use crate::site::{DEADLINE, HEARTBEAT, Site, queue, run_to_its_end};

const MESSAGES: usize = 6;

/// Sends messages that take longer than any test, and waits until the first is begun.
async fn begun(site: &Site, worker: &Process) {
    let mut sending = site.python(&["send", &format!("slow:{MESSAGES}")]);
    run_to_its_end(sending.env("SLOW_SECONDS", "600")).await;
    let begun = worker.wait_for_line(|it| it == "began 0", DEADLINE);
    begun.await.expect("it is begun");
}

#[tokio::test]
async fn what_a_dead_python_worker_had_in_hand_is_worked_on_by_ours() {
    let site = Site::with_heartbeat(HEARTBEAT).await;
    let mut python = site.python_worker(2).await;
    begun(&site, &python).await;
    python.kill().expect("it is killed");
    let worker = site.worker(WorkerOptions::default()).await;
    for i in 0..MESSAGES {
        worker.notes.wait_for(&format!("began {i}")).await;
    }
}

#[tokio::test]
async fn what_a_dead_worker_of_ours_had_in_hand_is_worked_on_by_pythons() {
    let site = Site::with_heartbeat(HEARTBEAT).await;
    let mut ours = site.worker_process().await;
    begun(&site, &ours).await;
    // A delayed one as well, which is filed in an index that Python knows nothing of.
    site.send("delayed").await;
    let broker = site.broker().await;
    let filed = poll_until(DEADLINE, async || {
        let due = broker.due(&queue(), 1).await.expect("an answer");
        due.next_in.is_some()
    });
    filed.await.expect("it is filed");
    ours.kill().expect("it is killed");
    // One thread more than there are calls that never end.
    let threads = u32::try_from(MESSAGES + 1).expect("few");
    let python = site.python_worker(threads).await;
    let mut missing: Vec<String> = (0..MESSAGES).map(|i| format!("began {i}")).collect();
    missing.push("noted delayed".into());
    while !missing.is_empty() {
        let line = python.wait_for_line(|it| missing.iter().any(|missing| missing == it), DEADLINE);
        let line = line
            .await
            .unwrap_or_else(|error| panic!("{missing:?}: {error}"));
        missing.retain(|it| *it != line);
    }
}

#[tokio::test]
async fn what_a_dead_worker_of_ours_had_in_hand_is_worked_on_by_another_of_ours() {
    let site = Site::with_heartbeat(HEARTBEAT).await;
    let mut ours = site.worker_process().await;
    begun(&site, &ours).await;
    ours.kill().expect("it is killed");
    let worker = site.worker(WorkerOptions::default()).await;
    for i in 0..MESSAGES {
        worker.notes.wait_for(&format!("began {i}")).await;
    }
}

#[tokio::test]
async fn a_worker_that_was_only_stopped_changes_nothing_when_it_comes_back() {
    let site = Site::with_heartbeat(HEARTBEAT).await;
    let mut ours = site.worker_process().await;
    let mut sending = site.python(&["send", "slow:1"]);
    run_to_its_end(sending.env("SLOW_SECONDS", "1")).await;
    let begun = ours.wait_for_line(|it| it == "began 0", DEADLINE).await;
    begun.expect("it is begun");
    ours.pause().expect("it is stopped");
    let worker = site.worker(WorkerOptions::default()).await;
    worker.notes.wait_for("ended 0").await;
    ours.resume().expect("it goes on");
    let ended = ours.wait_for_line(|it| it == "ended 0", DEADLINE).await;
    ended.expect("it ends its call");
    // Its answer comes too late: there is nothing to be settled, and it goes on with what comes.
    let broker = site.broker().await;
    let counts = broker.counts(&queue()).await.expect("counts");
    assert_eq!((counts.ready, counts.dead), (0, 0));
    worker.stop().await;
    site.send("notes:1").await;
    let noted = ours.wait_for_line(|it| it == "noted 0", DEADLINE).await;
    noted.expect("it works on");
}
