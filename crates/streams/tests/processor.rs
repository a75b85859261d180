//! `#[processor]`: what the attribute makes of a function.

use std::time::Duration;

use tidegate_macros::processor;
use tidegate_streams::{
    BoxError, Error, IntoProcessor, OnError, ProcessorOptions, RetryOptions, State, StateMap,
};
use tokio::sync::mpsc;

/// Stands for a stream's events: the attribute doesn't care what they are.
struct Events<Record>(Vec<Record>);

type Sums = mpsc::UnboundedSender<i64>;

#[derive(Clone)]
struct Fee(i64);

/// Adds up.
#[processor(
    stream = "orders",
    name = "billing",
    on_error = "dead_letter",
    retry = "5, 250ms..1m",
    concurrency = "key",
    lanes = 4,
    prefetch = 100,
    crate = "::tidegate_streams"
)]
pub(crate) async fn add_up(
    mut amounts: Events<i64>,
    State(sums): State<Sums>,
    State(Fee(fee)): State<Fee>,
) -> Result<(), Error> {
    amounts.0.push(fee);
    sums.send(amounts.0.iter().sum())
        .map_err(|why| Error::Invalid(why.to_string()))
}

#[processor(stream = "orders", crate = "::tidegate_streams")]
async fn fail(_orders: Events<i64>) -> Result<(), BoxError> {
    Err("always".into())
}

#[test]
fn the_options_are_those_of_the_attribute() {
    assert_eq!(
        add_up.options(),
        ProcessorOptions {
            name: "billing",
            stream: "orders",
            on_error: OnError::DeadLetter,
            retry: Some(RetryOptions {
                attempts: 5,
                min: Duration::from_millis(250),
                max: Duration::from_secs(60),
            }),
            lanes: 4,
            prefetch: Some(100),
        }
    );
    assert_eq!(
        fail.options(),
        ProcessorOptions {
            name: "fail",
            stream: "orders",
            on_error: OnError::Halt,
            retry: None,
            lanes: 1,
            prefetch: None,
        }
    );
}

#[tokio::test]
async fn the_function_gets_its_events_and_the_applications_state() {
    let (sums, mut received): (Sums, _) = mpsc::unbounded_channel();
    let mut state = StateMap::new();
    state.insert(sums);
    state.insert(Fee(7));
    add_up.check(&state).expect("all state is provided");
    let ended = add_up.call(Events(vec![1, 2]), &state).await;
    ended.expect("it succeeds");
    assert_eq!(received.recv().await, Some(10));
}

#[tokio::test]
async fn a_failure_of_the_function_is_its_own_error() {
    let failure = fail.call(Events(vec![]), &StateMap::new()).await;
    assert_eq!(failure.expect_err("it fails").to_string(), "always");
}

#[test]
fn state_that_nobody_provides_is_named_before_anything_runs() {
    let mut state = StateMap::new();
    state.insert(Fee(7));
    let error = add_up.check(&state).expect_err("the sums are missing");
    assert!(error.to_string().contains("UnboundedSender"), "{error}");
    assert!(error.to_string().contains(".state("), "{error}");
}
