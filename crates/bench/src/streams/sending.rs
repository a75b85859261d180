//! Ours: records, sent in batches.

use tidegate_store::StoreUrl;
use tidegate_streams::Sender;

use super::order::Order;
use super::run::Run;
use crate::error::Result;
use crate::usage::{Stopwatch, Usage};

/// How many records one call gets.
const BATCH: usize = 1_000;

/// Sends everything: records are encoded, routed by their key and appended.
pub(super) async fn send(run: &Run) -> Result<Usage> {
    let store = tidegate_store::connect(&StoreUrl::parse(&run.redis_url)?).await?;
    let sender = Sender::new(store, run.spec())?;
    let mut batches = Vec::new();
    let mut places = 0..run.events;
    while !places.is_empty() {
        let batch: Vec<Order> = places.by_ref().take(BATCH).map(Order::new).collect();
        batches.push(batch);
    }

    let watch = Stopwatch::start(run.processes)?;
    for batch in batches {
        for sent in sender.send_many(batch).await {
            sent?;
        }
    }
    watch.stop()
}
