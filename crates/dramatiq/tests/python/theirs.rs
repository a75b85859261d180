//! Tidegate sends, Python works.

use std::time::Duration;

use tidegate_dramatiq::{Json, Message, Outcome};
use tidegate_testkit::poll_until;

use crate::site::{DEADLINE, Site, queue};

#[tokio::test]
async fn pythons_workers_work_on_messages_of_ours_and_leave_results() {
    let site = Site::start().await;
    let python = site.python_worker(2).await;
    let client = site.client().await;
    let message = |actor: &str, args: &[i64]| client.message(&queue(), actor, &args).expect("one");
    let note = client.message(&queue(), "note", &["now"]).expect("one");
    let later = client.message(&queue(), "note", &["later"]).expect("one");
    let add = message("add", &[1, 2]);
    let mut fail = client.message(&queue(), "fail", &["no"]).expect("one");
    fail.options.set("max_retries", Json::integer(0));
    let sent = [note, add.clone(), fail.clone()];
    client.send(sent).await.expect("they are sent");
    let delay = Duration::from_millis(300);
    client
        .send_delayed([later], delay)
        .await
        .expect("it is sent");
    for text in ["noted now", "noted later"] {
        let said = python.wait_for_line(|it| it == text, DEADLINE).await;
        said.expect("it is worked on");
    }
    let three = Outcome::Returned(Json::integer(3));
    assert_eq!(result(&client, &add).await, three);
    let failed = Outcome::Failed {
        kind: "ValueError".into(),
        message: "no".into(),
    };
    assert_eq!(result(&client, &fail).await, failed);
}

#[tokio::test]
async fn pythons_workers_try_our_messages_again_and_bury_them() {
    let site = Site::start().await;
    let python = site.python_worker(2).await;
    let client = site.client().await;
    let twice = client
        .message(&queue(), "flaky", &("twice", 2))
        .expect("one");
    let mut always = client
        .message(&queue(), "flaky", &("always", 100))
        .expect("one");
    always.options.set("max_retries", Json::integer(1));
    let sent = [twice, always];
    client.send(sent).await.expect("they are sent");
    let said = python.wait_for_line(|it| it == "succeeded twice 3", DEADLINE);
    said.await.expect("the third try succeeds");
    let broker = site.broker().await;
    let dead = poll_until(DEADLINE, async || {
        broker.counts(&queue()).await.expect("counts").dead == 1
    });
    dead.await.expect("a dead letter");
    let letters = broker.dead_letters(&queue(), 10).await.expect("letters");
    let body = letters[0].body.as_deref().expect("its message");
    let letter = Message::decode(body).expect("a message");
    assert_eq!(letter.args.as_str(), r#"["always",100]"#);
    // And back again: a person has decided so.
    let (id, message) = letter.ready();
    let again = tidegate_store::dramatiq::Outgoing {
        queue: queue(),
        lane: tidegate_store::dramatiq::Lane::Ready,
        id,
        body: message.encode(),
    };
    let revived = broker.revive(&queue(), &letters[0].id, Some(&again)).await;
    assert!(revived.expect("an answer"));
    let dead = poll_until(DEADLINE, async || {
        broker.counts(&queue()).await.expect("counts").dead == 1
    });
    dead.await.expect("it dies again");
}

#[tokio::test]
async fn our_pipelines_and_groups_come_to_their_ends_at_python() {
    let site = Site::start().await;
    let python = site.python_worker(2).await;
    let client = site.client().await;
    let add = |args: &[i64]| client.message(&queue(), "add", &args).expect("one");
    let pipeline = vec![add(&[1, 2]), add(&[10]), add(&[100])];
    let last = client.send_pipeline(pipeline).await.expect("it is sent");
    let expected = Outcome::Returned(Json::integer(113));
    assert_eq!(result(&client, &last).await, expected);
    let members = (0..10).map(|i| add(&[i, i])).collect();
    let complete = client
        .message(&queue(), "note", &["complete"])
        .expect("one");
    let sent = client.send_group(members, &[complete]).await;
    sent.expect("it is sent");
    let said = python.wait_for_line(|it| it == "noted complete", DEADLINE);
    said.await.expect("the callback is called");
}

async fn result(client: &tidegate_dramatiq::Client, message: &Message) -> Outcome {
    let mut found = None;
    let kept = poll_until(DEADLINE, async || {
        found = client.result(message).await.expect("an answer");
        found.is_some()
    });
    kept.await.expect("a result");
    found.expect("a result")
}
