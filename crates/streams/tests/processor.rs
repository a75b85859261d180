//! `#[processor]`: what the attribute makes of a function.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_macros::{Record, processor};
use tidegate_store::{Store, StoreUrl, connect};
use tidegate_streams::processor_options::bind;
use tidegate_streams::{
    BoxError, Error, IntoProcessor, OnError, Options, Policy, ProcessorOptions, RetryOptions,
    Sender, Settings, State, StateMap, StreamSpec, Worker,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

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

#[test]
fn the_options_become_the_settings_of_a_processor() {
    let Settings {
        on_error,
        lanes,
        prefetch,
        ..
    } = add_up.options().settings();
    let retry = Policy::Retry {
        attempts: 5,
        min: Duration::from_millis(250),
        max: Duration::from_secs(60),
        then: Box::new(Policy::DeadLetter),
    };
    assert_eq!((on_error, lanes, prefetch), (retry, 4, 100));
    let default = Settings::default();
    let unchanged = fail.options().settings();
    assert_eq!(unchanged.prefetch, default.prefetch);
    assert_eq!(unchanged.on_error, default.on_error);
}

#[derive(Debug, Record, Serialize, Deserialize)]
#[record(partition_by = "order_id", crate = "tidegate_streams")]
struct Order {
    order_id: u64,
    amount: i64,
}

/// Sends on what each order amounts to.
#[processor(
    stream = "orders",
    on_error = "dead_letter",
    crate = "tidegate_streams"
)]
async fn settle(
    mut orders: tidegate_streams::Events<Order>,
    State(sums): State<Sums>,
) -> tidegate_streams::Result<()> {
    while let Some(order) = orders.next().await? {
        assert_ne!(order.order_id, 0, "an order has an id");
        sums.send(order.amount)
            .map_err(|why| Error::Invalid(why.to_string()))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_function_with_the_attribute_processes_a_stream() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = StoreUrl::Sqlite(directory.path().join("store.sqlite"));
    let store: Arc<dyn Store> = connect(&url).await.expect("the store opens");
    let spec = StreamSpec::new("shop", "orders");
    let (sums, mut received): (Sums, _) = mpsc::unbounded_channel();
    let mut state = StateMap::new();
    state.insert(sums);
    let state = Arc::new(state);

    let other = StreamSpec::new("shop", "refunds");
    let refusal = bind(settle, &other, state.clone()).expect_err("another stream");
    assert!(refusal.to_string().contains("refunds"), "{refusal}");
    bind(settle, &spec, Arc::default()).expect_err("no state");

    let processor = bind(settle, &spec, state).expect("a processor");
    let worker = Worker::new(store.clone(), vec![processor], Options::default());
    let shutdown = CancellationToken::new();
    let run = tokio::spawn(worker.expect("valid options").run(shutdown.clone()));
    let sender = Sender::new(store, spec).expect("a sender");
    for order in [(7, 100), (0, 1), (7, 20)] {
        let (order_id, amount) = order;
        sender
            .send(&Order { order_id, amount })
            .await
            .expect("sent");
    }
    for amount in [100, 20] {
        let sum = timeout(Duration::from_secs(30), received.recv()).await;
        assert_eq!(sum.expect("it comes in time"), Some(amount));
    }
    shutdown.cancel();
    run.await.expect("no panic").expect("no failure");
}
