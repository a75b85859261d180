//! Functions with `#[task]` as actors.

use std::sync::Arc;

use serde::Deserialize;
use tidegate_dramatiq::task::actor_of;
use tidegate_dramatiq::{Actors, Misdeclared, Worker, WorkerOptions};
use tidegate_macros::task;
use tidegate_store::{StoreUrl, connect_tasks};
use tidegate_tasks::{BoxError, StateMap, TaskClient, TaskContext};
use tokio_util::sync::CancellationToken;

use crate::site::Site;

#[derive(serde::Serialize, Deserialize)]
struct Add {
    x: i64,
    y: i64,
}

#[task(
    queue = "default",
    name = "add",
    result = "10m",
    crate = "tidegate_tasks"
)]
async fn add(ctx: TaskContext, Add { x, y }: Add) -> Result<i64, BoxError> {
    assert_eq!(ctx.attempt(), 1);
    Ok(x + y)
}

#[task(
    queue = "default",
    name = "fail",
    max_retries = 0,
    result = "10m",
    crate = "tidegate_tasks"
)]
async fn fail(text: String) -> Result<(), BoxError> {
    Err(text.into())
}

#[task(queue = "default", every = "1h", crate = "tidegate_tasks")]
async fn hourly() -> Result<(), BoxError> {
    Ok(())
}

#[task(queue = "default", on_unknown = "park", crate = "tidegate_tasks")]
async fn parking() -> Result<(), BoxError> {
    Ok(())
}

async fn task_client(site: &Site) -> TaskClient {
    let url = StoreUrl::parse(&site.redis.url()).expect("a URL");
    let store = connect_tasks(&url).await.expect("a store");
    TaskClient::new(store, "shop").expect("a name")
}

#[tokio::test]
async fn python_calls_a_task_and_gets_its_result() {
    let site = Site::start().await;
    let (client, state) = (task_client(&site).await, Arc::new(StateMap::new()));
    let mut actors = Actors::default();
    for actor in [
        actor_of(add, Arc::clone(&state), client.clone()),
        actor_of(fail, state, client),
    ] {
        actors
            .add(actor.expect("it can be said"))
            .expect("one of a name");
    }
    let worker = Worker::new(site.broker().await, actors, WorkerOptions::default());
    let stop = CancellationToken::new();
    let working = tokio::spawn(worker.run(stop.clone().cancelled_owned()));
    let said = site.send("results").await;
    assert_eq!(
        said[1..],
        ["result 3", "result 7", "failure TaskError no", "done"]
    );
    stop.cancel();
    working.await.expect("without a panic");
}

#[tokio::test]
async fn a_task_that_asks_for_what_dramatiq_cannot_say_is_refused_at_the_start() {
    let site = Site::start().await;
    let (client, state) = (task_client(&site).await, Arc::new(StateMap::new()));
    let refused = [
        actor_of(hourly, Arc::clone(&state), client.clone()).expect_err("a schedule"),
        actor_of(parking, state, client).expect_err("a parked outcome"),
    ];
    for (refusal, what) in refused.iter().zip(["a schedule", "on_unknown = \"park\""]) {
        assert!(matches!(refusal, Misdeclared::Unsayable { .. }));
        assert!(refusal.to_string().contains(what), "{refusal}");
    }
}
