use super::*;
use crate::actor::Actor;

struct Site {
    actors: Actors,
    keys: ResultKeys,
}

impl Site {
    fn new() -> Self {
        let mut actors = Actors::default();
        let other = Actor::raw("other", queue("others"), async |_| Ok(Json::null()));
        actors.add(other).expect("one of a name");
        actors.elsewhere("pythons", queue("python"));
        Self {
            actors,
            keys: ResultKeys::default(),
        }
    }

    fn around(&self) -> Circumstances<'_> {
        Circumstances {
            actors: &self.actors,
            result_keys: &self.keys,
            barrier_lifetime: Duration::from_secs(1),
            now_ms: 1_000,
            chance: 0.0,
        }
    }
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a name")
}

fn in_hand(options: &[(&str, &str)]) -> InHand {
    let queue = queue("default");
    let mut message = Message::new(&queue, "add", Json::list([]), Json::empty_object(), 0);
    for (name, value) in options {
        let value = Json::parse(value.as_bytes()).expect("JSON");
        message.options.set(name, value);
    }
    InHand {
        queue,
        id: Bytes::from_static(b"id"),
        message,
    }
}

fn read(outgoing: &Outgoing) -> Message {
    Message::decode(&outgoing.body).expect("a message")
}

#[test]
fn a_callback_goes_to_its_actors_queue_wherever_it_runs() {
    let site = Site::new();
    for (actor, expected) in [
        ("other", "others"),
        ("pythons", "python"),
        ("nobodys", "default"),
    ] {
        let in_hand = in_hand(&[("on_success", &format!("\"{actor}\""))]);
        let value = Json::integer(7);
        let settlement = returned(&in_hand, &ActorOptions::default(), &value, site.around());
        let [callback] = &settlement.follow[..] else {
            panic!("one callback: {settlement:?}");
        };
        assert_eq!(callback.queue.as_str(), expected);
        let callback = read(callback);
        assert_eq!(callback.actor_name, actor);
        let expected = Json::list([&in_hand.message.to_json(), &value]);
        assert_eq!(callback.args, expected);
    }
}

#[test]
fn a_pipelines_next_message_gets_the_value_unless_it_is_ignored() {
    let site = Site::new();
    let next = r#"{"queue_name":"q","actor_name":"a","args":[1],"kwargs":{},"options":OPTIONS,"message_id":"m","message_timestamp":5}"#;
    for (options, args, lane) in [
        ("{}", "[1,7]", Lane::Ready),
        ("{\"pipe_ignore\":true}", "[1]", Lane::Ready),
        ("{\"delay\":50}", "[1,7]", Lane::Delayed),
    ] {
        let in_hand = in_hand(&[("pipe_target", &next.replace("OPTIONS", options))]);
        let actor = ActorOptions::default();
        let settlement = returned(&in_hand, &actor, &Json::integer(7), site.around());
        let enqueued = &settlement.follow[0];
        assert_eq!(enqueued.lane, lane);
        let message = read(enqueued);
        assert_eq!(message.args.as_str(), args);
        assert_eq!(message.message_id, "m");
        if lane == Lane::Delayed {
            assert_eq!(message.due_ms(), 1_050.0);
        }
    }
}

#[test]
fn a_retry_is_delayed_and_the_failure_told() {
    let site = Site::new();
    let in_hand = in_hand(&[("on_failure", "\"pythons\""), ("store_results", "true")]);
    let failure = Failure::new("ValueError", "no");
    let settlement = failed_with(&in_hand, &ActorOptions::default(), &failure, site.around());
    assert_eq!(settlement.end, End::Done);
    assert_eq!(settlement.result, None);
    assert_eq!(settlement.follow.len(), 2);
    let told = read(&settlement.follow[0]);
    let told = &told.args.elements().expect("a list")[1];
    assert_eq!(told.as_str(), r#"{"type":"ValueError","message":"no"}"#);
    let retry = read(&settlement.follow[1]);
    assert_eq!(retry.due_ms(), 16_000.0);
    assert_eq!(retry.message_id, in_hand.message.message_id);
}

#[test]
fn the_last_failure_is_a_dead_letter_with_its_reason_a_result_and_a_callback() {
    let site = Site::new();
    let in_hand = in_hand(&[
        ("max_retries", "0"),
        ("on_retry_exhausted", "\"other\""),
        ("store_results", "true"),
        ("result_ttl", "5"),
    ]);
    let failure = Failure::new("ValueError", "no");
    let settlement = failed_with(&in_hand, &ActorOptions::default(), &failure, site.around());
    let End::Dead { reason, .. } = &settlement.end else {
        panic!("a dead letter: {settlement:?}");
    };
    assert_eq!(reason, "ValueError: no");
    let result = settlement.result.expect("a result");
    assert_eq!(result.lifetime, Duration::from_millis(5));
    let told = read(&settlement.follow[0]);
    let told = &told.args.elements().expect("a list")[1];
    assert_eq!(told.as_str(), r#"{"retries":0,"max_retries":0}"#);
}

#[test]
fn only_a_success_is_a_step_of_the_group() {
    let site = Site::new();
    let callback = in_hand(&[]).message.to_json();
    let in_hand = in_hand(&[
        ("group_completion_uuid", "\"barrier\""),
        ("group_completion_callbacks", &format!("[{callback}]")),
    ]);
    let actor = ActorOptions::default();
    let success = returned(&in_hand, &actor, &Json::null(), site.around());
    let step = success.group.expect("a step");
    assert_eq!(
        (step.barrier.as_str(), step.callbacks.len()),
        ("barrier", 1)
    );
    let failure = Failure::new("ValueError", "no").never_again();
    let failed = failed_with(&in_hand, &actor, &failure, site.around());
    assert_eq!(failed.group, None);
}
