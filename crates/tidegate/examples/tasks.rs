//! Background tasks of a shop: webhooks with retries, a report at its times, a group with a
//! callback, and a task that is enqueued in the transaction of an order.
//!
//! ```text
//! cargo run -p tidegate --example tasks                       # everything in payments.sqlite
//! cargo run -p tidegate --example tasks -- --store redis://127.0.0.1:6379
//! cargo run -p tidegate --example tasks -- task list
//! ```
//!
//! Without a command it first sends some tasks and then works until Ctrl-C. Start it again in a second
//! terminal, with the command `worker`, and the tasks are shared.

#![expect(clippy::print_stdout, reason = "an example speaks on stdout")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tidegate::prelude::*;
use tidegate::tasks::{once, outbox};

/// Where the orders are, with their outbox and the effects that have happened.
const ORDERS: &str = "orders.sqlite";

/// What a customer is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Webhook {
    order_id: i64,
    url: String,
}

/// How often the other side was asked.
type Asked = Arc<AtomicU64>;

/// Tells a customer. Every third call fails, and is tried again soon; the customer's side can tell a
/// repeated one by the task's id.
#[task(
    queue = "webhooks",
    max_retries = 10,
    backoff = "200ms..1m",
    time_limit = "30s"
)]
async fn send_webhook(
    ctx: TaskContext,
    webhook: Webhook,
    State(asked): State<Asked>,
) -> Result<i64> {
    if asked.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
        return Err(format!("{} does not answer", webhook.url).into());
    }
    let Webhook { order_id, url } = webhook;
    println!(
        "order {order_id}: told {url} at attempt {} as {}",
        ctx.attempt(),
        ctx.id()
    );
    Ok(order_id)
}

/// Runs when all webhooks of a day are done, once.
#[task(queue = "reports")]
async fn close_day(day: String) -> Result<()> {
    println!("all webhooks of {day} are done");
    Ok(())
}

/// Books an order. Whatever happens to this process, the order is booked once.
#[task(queue = "orders")]
async fn book(ctx: TaskContext, order_id: i64) -> Result<()> {
    let booked = tokio::task::spawn_blocking(move || -> Result<bool> {
        let mut orders = open_orders()?;
        let transaction = orders.transaction()?;
        let is_first = ctx.once_sqlite(&transaction)?;
        if is_first {
            transaction.execute("INSERT INTO booked (order_id) VALUES ($1)", [order_id])?;
        }
        transaction.commit()?;
        Ok(is_first)
    });
    if booked.await?? {
        println!("order {order_id}: booked");
    }
    Ok(())
}

/// Every two seconds, on one worker, however many there are.
#[task(queue = "reports", every = "2s", overlap = "skip", missed = "once")]
async fn report(ctx: TaskContext, State(asked): State<Asked>) -> Result<()> {
    let planned = ctx
        .planned_at()
        .map_or_else(String::new, |at| at.to_string());
    println!(
        "report of {planned}: asked {} times",
        asked.load(Ordering::Relaxed)
    );
    Ok(())
}

fn open_orders() -> Result<rusqlite::Connection> {
    let orders = rusqlite::Connection::open(ORDERS)?;
    orders.busy_timeout(std::time::Duration::from_secs(5))?;
    orders.execute_batch(
        "CREATE TABLE IF NOT EXISTS placed (order_id INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS booked (order_id INTEGER NOT NULL);",
    )?;
    once::install_sqlite(&orders)?;
    outbox::install_sqlite(&orders)?;
    Ok(orders)
}

/// An order and its task, in one transaction: both are there or none is.
fn place_order(order_id: i64) -> Result<()> {
    let mut orders = open_orders()?;
    let transaction = orders.transaction()?;
    transaction.execute("INSERT INTO placed (order_id) VALUES ($1)", [order_id])?;
    book::enqueue(order_id).enqueue_in_sqlite(&transaction)?;
    Ok(transaction.commit()?)
}

async fn send_a_day(app: &App) -> Result<()> {
    let client = app.task_client().await?;
    let webhook = |order_id| Webhook {
        order_id,
        url: format!("https://customer-{}.example/hooks", order_id % 3),
    };
    // Those of one order come one after the other.
    let webhooks = (1..=10).map(|order_id| send_webhook::enqueue(webhook(order_id)).key(order_id));
    Group::of(webhooks)
        .on_completion(close_day::enqueue("Monday".to_owned()))
        .send(&client)
        .await?;
    let reminder = send_webhook::enqueue(webhook(11)).delay("3s");
    let sent = reminder
        .unique_key("reminder 11")
        .priority(Priority::High)
        .send(&client)
        .await?;
    println!("the reminder is the task {}", sent.id);
    tokio::task::spawn_blocking(|| (1..=3).try_for_each(place_order)).await?
}

#[tokio::main]
async fn main() -> ExitCode {
    let app = App::new("payments")
        .about("The background tasks of a shop")
        .task(send_webhook)
        .task(close_day)
        .task(book)
        .task(report)
        .outbox_sqlite(ORDERS)
        .state(Asked::default());
    if let Err(error) = open_orders() {
        println!("{ORDERS} can't be used: {error}");
        return ExitCode::FAILURE;
    }
    if std::env::args().len() == 1
        && let Err(error) = send_a_day(&app).await
    {
        println!("the tasks could not be sent: {error}");
        return ExitCode::FAILURE;
    }
    app.run().await
}
