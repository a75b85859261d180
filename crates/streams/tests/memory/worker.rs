//! The worker program: its processor takes one event of each partition and never asks for another.

use std::io::Write;
use std::time::Duration;

use tidegate_store::{StoreUrl, connect};
use tidegate_streams::{BoxError, Events, Options, Processor, Raw, StreamSpec, Worker};
use tokio_util::sync::CancellationToken;

pub(crate) const GROUP: &str = "stalled";
/// What it says for each partition that has an event in hand.
pub(crate) const STALLED: &str = "stalled with an event of ";

pub(crate) const STORE: &str = "TIDEGATE_TEST_STORE";
pub(crate) const STREAM: &str = "TIDEGATE_TEST_STREAM";
pub(crate) const BUDGET: &str = "TIDEGATE_TEST_BUDGET";

pub(crate) fn spec(stream: &str) -> StreamSpec {
    StreamSpec {
        partitions: super::PARTITIONS,
        ..StreamSpec::new("shop", stream)
    }
}

/// Works until it is killed.
pub(crate) async fn run() {
    let variable = |name| std::env::var(name).ok();
    let (Some(url), Some(stream), Some(budget)) =
        (variable(STORE), variable(STREAM), variable(BUDGET))
    else {
        return;
    };
    let url = StoreUrl::parse(&url).expect("a URL");
    let store = connect(&url).await.expect("a store");
    let processor = Processor::new(GROUP, &spec(&stream), stall).expect("a processor");
    let options = Options {
        lease_ttl: Duration::from_secs(60),
        prefetch_bytes: budget.parse().expect("a number"),
    };
    let worker = Worker::new(store, vec![processor], options).expect("a worker");
    let ended = worker.run(CancellationToken::new()).await;
    ended.expect("it ends by a signal only");
}

async fn stall(mut events: Events<Raw>) -> Result<(), BoxError> {
    if let Some(event) = events.next().await? {
        writeln!(std::io::stdout(), "{STALLED}{}", event.partition)?;
        std::future::pending::<()>().await;
    }
    Ok(())
}
