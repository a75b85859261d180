//! Python's workers and ours on one queue.

use std::collections::BTreeSet;

use tidegate_dramatiq::WorkerOptions;
use tidegate_testkit::poll_until;

use crate::site::{DEADLINE, Site};

/// How many messages the fleet shares; Python's producer takes a second for as many.
const MESSAGES: usize = 600;

#[tokio::test]
async fn a_mixed_fleet_works_on_each_message_of_a_queue_once() {
    let site = Site::start().await;
    let python = site.python_worker(4).await;
    // It takes little at once, so that something is left for Python.
    let worker = site
        .worker(WorkerOptions {
            concurrency: 1,
            prefetch: 1,
            ..WorkerOptions::default()
        })
        .await;
    let mut sending =
        tidegate_testkit::Process::spawn(&site.python(&["send", &format!("notes:{MESSAGES}")]))
            .expect("it starts");
    let noted = || {
        let theirs = python
            .stdout()
            .into_iter()
            .filter(|it| it.starts_with("noted "));
        (theirs.collect::<Vec<_>>(), worker.notes.all())
    };
    let all = poll_until(DEADLINE, async || {
        let (theirs, ours) = noted();
        theirs.len() + ours.len() >= MESSAGES
    });
    all.await.expect("all are worked on");
    assert!(sending.wait(DEADLINE).await.expect("it ends").success());
    let (theirs, ours) = noted();
    assert!(!theirs.is_empty(), "Python had its part");
    assert!(!ours.is_empty(), "and we had ours");
    assert_eq!(theirs.len() + ours.len(), MESSAGES);
    let distinct: BTreeSet<&String> = theirs.iter().chain(&ours).collect();
    assert_eq!(distinct.len(), MESSAGES);
    worker.stop().await;
}
