//! Orders of a shop: typed records in batches, dead letters, and a report by the leader.
//!
//! ```text
//! cargo run -p tidegate --example orders                      # everything in shop.sqlite
//! cargo run -p tidegate --example orders -- --store redis://127.0.0.1:6379
//! cargo run -p tidegate --example orders -- stream info orders
//! ```
//!
//! Without a command it first sends 1,000 orders, three of which nobody can settle, and then works
//! until Ctrl-C. Start it again in a second terminal, with the command `worker`, and the partitions
//! are shared.

#![expect(clippy::print_stdout, reason = "an example speaks on stdout")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate::prelude::*;

/// What is sent. Orders of one id stay in order.
#[derive(Clone, Debug, Record, Serialize, Deserialize)]
#[record(partition_by = "order_id")]
struct Order {
    order_id: u64,
    /// In cents.
    amount: i64,
}

/// What this process has settled.
#[derive(Debug, Default)]
struct Till {
    orders: AtomicU64,
    cents: AtomicI64,
}

/// Settles orders, up to a hundred at once. It is called once for each partition that this worker
/// owns; what it has in hand is acknowledged when it asks for more. Where it fails, the orders in
/// hand come again one by one, and the one that fails alone becomes a dead letter.
#[processor(stream = "orders", on_error = "dead_letter")]
async fn settle(mut orders: Events<Order>, State(till): State<Arc<Till>>) -> Result<()> {
    while let Some(batch) = orders.take(100, Duration::from_millis(200)).await? {
        if let Some(order) = batch.iter().find(|order| order.amount < 0) {
            return Err(format!("order {} has a negative amount", order.order_id).into());
        }
        let cents: i64 = batch.iter().map(|order| order.amount).sum();
        till.cents.fetch_add(cents, Ordering::Relaxed);
        till.orders.fetch_add(batch.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Runs on one worker at a time.
async fn report(State(till): State<Arc<Till>>) -> Result<()> {
    let orders = till.orders.load(Ordering::Relaxed);
    let cents = till.cents.load(Ordering::Relaxed);
    println!("the leader has settled {orders} orders of {cents} cents");
    Ok(())
}

async fn send_a_day(app: &App) -> Result<()> {
    let orders = (1..=1_000_u64).map(|order_id| Order {
        order_id,
        amount: if order_id % 333 == 0 { -1 } else { 950 },
    });
    let sender = app.sender::<Order>("orders").await?;
    for sent in sender.send_many(orders.collect()).await {
        sent?;
    }
    println!("sent 1,000 orders, three of which have a negative amount");
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let app = App::new("shop")
        .about("Settles the orders of a shop")
        .stream::<Order>("orders")
        .processor(settle)
        .every("2s", report)
        .on_leader()
        .state(Arc::new(Till::default()));
    if std::env::args().len() == 1
        && let Err(error) = send_a_day(&app).await
    {
        println!("the orders could not be sent: {error}");
        return ExitCode::FAILURE;
    }
    app.run().await
}
