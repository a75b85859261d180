//! Python sends, Tidegate works.

use std::time::Duration;

use tidegate_dramatiq::WorkerOptions;
use tidegate_store::dramatiq::{Lane, Outgoing};
use tidegate_testkit::poll_until;

use crate::site::{DEADLINE, Site, queue};

#[tokio::test]
async fn messages_of_python_are_worked_on_with_arguments_by_position_and_name_and_delays() {
    let site = Site::start().await;
    let worker = site.worker(WorkerOptions::default()).await;
    site.send("plain").await;
    for text in ["by position", "by name", "later"] {
        worker.notes.wait_for(&format!("noted {text}")).await;
    }
    let broker = site.broker().await;
    let settled = poll_until(DEADLINE, async || {
        let counts = broker.counts(&queue()).await.expect("counts");
        (counts.ready, counts.delayed, counts.dead) == (0, 0, 0)
    });
    settled.await.expect("nothing is left");
    worker.stop().await;
}

#[tokio::test]
async fn results_and_failures_are_what_python_looks_for() {
    let site = Site::start().await;
    let worker = site.worker(WorkerOptions::default()).await;
    let said = site.send("results").await;
    assert_eq!(
        said[1..],
        ["result 3", "result 7", "failure ValueError no", "done"]
    );
    worker.stop().await;
}

#[tokio::test]
async fn failed_messages_are_tried_again_as_their_options_say_and_die_with_their_reason() {
    let site = Site::start().await;
    let worker = site.worker(WorkerOptions::default()).await;
    let said = site.send("retries").await;
    assert_eq!(said, ["result 3", "failure ValueError", "done"]);
    worker
        .notes
        .wait_for("exhausted flaky {\"retries\":3,\"max_retries\":3}")
        .await;
    let broker = site.broker().await;
    let letters = broker.dead_letters(&queue(), 10).await.expect("letters");
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0].reason.as_deref(), Some("ValueError: try 4"));
    worker.stop().await;
}

#[tokio::test]
async fn pythons_callbacks_pipelines_and_groups_come_to_their_ends() {
    let site = Site::start().await;
    let worker = site.worker(WorkerOptions::default()).await;
    site.send("callbacks").await;
    worker.notes.wait_for("success add 3").await;
    let failure = "failure fail {\"type\":\"ValueError\",\"message\":\"no\"}";
    worker.notes.wait_for(failure).await;
    assert_eq!(site.send("pipeline").await, ["result 113", "done"]);
    let said = site.send("group").await;
    assert_eq!(said[0], "results [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]");
    worker.notes.wait_for("noted complete").await;
    let complete = worker.notes.all();
    let complete = complete.iter().filter(|it| *it == "noted complete");
    assert_eq!(complete.count(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn of_what_is_in_hand_the_lower_priority_number_begins_first() {
    let site = Site::start().await;
    site.send("priorities").await;
    let worker = site
        .worker(WorkerOptions {
            concurrency: 1,
            prefetch: 100,
            ..WorkerOptions::default()
        })
        .await;
    let all = poll_until(DEADLINE, async || worker.notes.all().len() == 10);
    all.await.expect("all are worked on");
    let notes = worker.notes.all();
    // The first may begin before the others have arrived.
    let order: Vec<&str> = notes[1..].iter().map(String::as_str).collect();
    let mut sorted = order.clone();
    sorted.sort_unstable_by_key(|it| *it != "noted sooner");
    assert_eq!(order, sorted);
    worker.stop().await;
}

#[tokio::test]
async fn limits_of_age_and_time_are_kept() {
    let site = Site::start().await;
    site.send("limits").await;
    let worker = site.worker(WorkerOptions::default()).await;
    let broker = site.broker().await;
    let dead = poll_until(DEADLINE, async || {
        broker.counts(&queue()).await.expect("counts").dead == 2
    });
    dead.await.expect("two dead letters");
    let letters = broker.dead_letters(&queue(), 10).await.expect("letters");
    let mut reasons: Vec<String> = letters.into_iter().filter_map(|it| it.reason).collect();
    reasons.sort();
    assert_eq!(
        reasons,
        [
            "SkipMessage: Message age limit exceeded",
            "TimeLimitExceeded: the call took longer than 100ms"
        ]
    );
    assert!(!worker.notes.has("noted too old"));
    assert!(!worker.notes.has("ended too long"));
    worker.stop().await;
}

#[tokio::test]
async fn one_message_that_cannot_be_decoded_strands_nothing() {
    let site = Site::start().await;
    site.send("notes:5").await;
    let broker = site.broker().await;
    let stray = |body: &'static [u8], id: &str, lane| Outgoing {
        queue: queue(),
        lane,
        id: id.to_owned(),
        body: body.into(),
    };
    let strays = [
        stray(b"\xff\xfe", "a", Lane::Ready),
        stray(b"{\"queue_name\":1}", "b", Lane::Ready),
        stray(b"[", "c", Lane::Delayed),
    ];
    broker.enqueue(&strays).await.expect("they are enqueued");
    site.send("plain").await;
    let worker = site.worker(WorkerOptions::default()).await;
    for text in ["0", "4", "by position", "later"] {
        worker.notes.wait_for(&format!("noted {text}")).await;
    }
    let dead = poll_until(DEADLINE, async || {
        broker.counts(&queue()).await.expect("counts").dead == 3
    });
    dead.await.expect("three dead letters");
    let letters = broker.dead_letters(&queue(), 10).await.expect("letters");
    for letter in &letters {
        let reason = letter.reason.as_deref().unwrap_or_default();
        assert!(
            reason.starts_with("the message can't be decoded: "),
            "{reason}"
        );
    }
    let kept = letters.iter().find(|it| it.id == "a").expect("the first");
    assert_eq!(kept.body.as_deref(), Some(&b"\xff\xfe"[..]));
    worker.stop().await;
}

#[tokio::test]
async fn a_panic_is_a_failure_of_its_message_and_of_nothing_else() {
    let site = Site::start().await;
    let worker = site.worker(WorkerOptions::default()).await;
    let client = site.client().await;
    let nothing: [(); 0] = [];
    let mut message = client
        .message(&queue(), "panicking", &nothing)
        .expect("a message");
    let never = tidegate_dramatiq::Json::integer(0);
    message.options.set("max_retries", never);
    client.send([message]).await.expect("it is sent");
    site.send("notes:1").await;
    worker.notes.wait_for("noted 0").await;
    let broker = site.broker().await;
    let dead = poll_until(DEADLINE, async || {
        broker.counts(&queue()).await.expect("counts").dead == 1
    });
    dead.await.expect("a dead letter");
    let letters = broker.dead_letters(&queue(), 1).await.expect("letters");
    assert_eq!(letters[0].reason.as_deref(), Some("Panic: on purpose"));
    worker.stop().await;
}

#[tokio::test]
async fn a_message_that_is_due_soon_is_not_held_up_by_many_that_are_due_later() {
    let site = Site::start().await;
    site.send("far").await;
    let worker = site
        .worker(WorkerOptions {
            concurrency: 1,
            prefetch: 1,
            ..WorkerOptions::default()
        })
        .await;
    worker.notes.wait_for("noted soon").await;
    let counts = site.broker().await.counts(&queue()).await.expect("counts");
    assert_eq!(counts.delayed, 300);
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_stops_gives_back_what_it_has_not_done() {
    let site = Site::start().await;
    site.send("notes:3").await;
    let mut sending = site.python(&["send", "slow:5"]);
    sending.env("SLOW_SECONDS", "600");
    crate::site::run_to_its_end(&sending).await;
    let worker = site
        .worker(WorkerOptions {
            concurrency: 4,
            grace: Duration::from_millis(100),
            ..WorkerOptions::default()
        })
        .await;
    worker.notes.wait_for("began 3").await;
    worker.stop().await;
    let broker = site.broker().await;
    let fetched = broker.fetch(&queue(), Lane::Ready, 10).await;
    assert_eq!(fetched.expect("messages").len(), 5);
}
