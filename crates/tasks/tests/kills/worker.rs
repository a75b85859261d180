//! The worker program: its tasks leave effects in PostgreSQL, fenced and unfenced ones.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tidegate_macros::task;
use tidegate_store::{StoreUrl, connect_tasks};
use tidegate_tasks::outbox::PostgresRelay;
use tidegate_tasks::{
    BoxError, Failure, Options, Registered, State, StateMap, TaskClient, TaskContext, Worker,
};
use tidegate_testkit::postgres_client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

pub(crate) const APP: &str = "bank";
/// What the worker says when it begins.
pub(crate) const WORKING: &str = "working as ";
pub(crate) const STORE: &str = "TIDEGATE_TEST_STORE";
pub(crate) const SINK: &str = "TIDEGATE_TEST_SINK";
/// Set, for a worker with the schedule.
pub(crate) const TICKING: &str = "TIDEGATE_TEST_TICKING";
pub(crate) const LIFE: Duration = Duration::from_secs(2);

/// The database of a worker; one task at a time speaks to it.
pub(crate) type Database = Arc<Mutex<tokio_postgres::Client>>;

/// Books a number once, and notes each attempt beside, outside of the transaction.
#[task(
    queue = "books",
    max_retries = 1000,
    backoff = "10ms..200ms",
    crate = "tidegate_tasks"
)]
pub(crate) async fn book(
    ctx: TaskContext,
    number: i64,
    State(database): State<Database>,
) -> Result<(), BoxError> {
    let mut database = database.lock().await;
    note(&database, "attempt", number).await?;
    let transaction = database.transaction().await?;
    if ctx.once(&transaction).await? {
        let sql = "INSERT INTO effect (kind, number) VALUES ('booked', $1)";
        transaction.execute(sql, &[&number]).await?;
    }
    transaction.commit().await?;
    drop(database);
    // Some fail after their effect, at first: they are tried again, and must not book twice.
    if number % 10 == 3 && ctx.attempt() == 1 {
        return Err("fails after its effect".into());
    }
    if number % 100 == 7 {
        return Err(Failure::permanent("never ends well").into());
    }
    Ok(())
}

/// Has an effect that can't be fenced.
#[task(queue = "books", on_unknown = "park", crate = "tidegate_tasks")]
pub(crate) async fn pay(number: i64, State(database): State<Database>) -> Result<(), BoxError> {
    note(&*database.lock().await, "paid", number).await?;
    tokio::time::sleep(Duration::from_millis(2)).await;
    Ok(())
}

/// Runs longer than its worker is alive after a sign of life.
#[task(queue = "books", crate = "tidegate_tasks")]
pub(crate) async fn crawl(number: i64, State(database): State<Database>) -> Result<(), BoxError> {
    note(&*database.lock().await, "begun", number).await?;
    tokio::time::sleep(4 * LIFE).await;
    note(&*database.lock().await, "ended", number).await?;
    Ok(())
}

/// Notes each second.
#[task(
    queue = "clock",
    cron = "* * * * * *",
    overlap = "allow",
    missed = "all",
    crate = "tidegate_tasks"
)]
async fn tick(ctx: TaskContext, State(database): State<Database>) -> Result<(), BoxError> {
    let planned = ctx.planned_at().ok_or("a tick without its time")?;
    let mut database = database.lock().await;
    let transaction = database.transaction().await?;
    // Each run counts, also one that is repeated since its worker was killed.
    if ctx.once(&transaction).await? {
        let sql = "INSERT INTO effect (kind, number) VALUES ('tick', $1)";
        transaction.execute(sql, &[&planned.as_second()]).await?;
    }
    Ok(transaction.commit().await?)
}

async fn note(
    database: &tokio_postgres::Client,
    kind: &str,
    number: i64,
) -> Result<(), tokio_postgres::Error> {
    let sql = "INSERT INTO effect (kind, number) VALUES ($1, $2)";
    database.execute(sql, &[&kind, &number]).await?;
    Ok(())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Works until SIGTERM.
pub(crate) async fn run() {
    let (Some(store), Some(sink)) = (variable(STORE), variable(SINK)) else {
        return;
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let store = connect_tasks(&StoreUrl::parse(&store).unwrap())
        .await
        .unwrap();
    let client = TaskClient::new(store, APP).unwrap();
    let mut state = StateMap::new();
    let database: Database = Arc::new(Mutex::new(postgres_client(&sink).await.unwrap()));
    state.insert(database);
    let tasks = match variable(TICKING) {
        Some(_) => vec![Registered::new(tick)],
        None => vec![
            Registered::new(book),
            Registered::new(pay),
            Registered::new(crawl),
        ],
    };
    let options = Options {
        life: LIFE,
        concurrency: 8,
        // Here the workers are killed, and it is no task's fault.
        lost_max: 1_000,
        ..Options::default()
    };
    let worker = Worker::new(client.clone(), tasks, Arc::new(state), options).unwrap();
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    // From now on it can be asked to end.
    writeln!(std::io::stdout(), "{WORKING}{}", worker.id()).unwrap();
    let signalled = shutdown.clone();
    tokio::spawn(async move {
        terminate.recv().await;
        signalled.cancel();
    });
    let relay = PostgresRelay::without_tls(client, &sink).unwrap();
    let (worked, ()) = tokio::join!(worker.run(shutdown.clone()), relay.run(shutdown));
    worked.unwrap();
}
