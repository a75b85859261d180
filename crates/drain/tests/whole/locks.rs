//! Somebody else has a table or a row locked: what needs it waits in line, and nothing else does.

use std::sync::Arc;
use std::time::Duration;

use tidegate_drain::apply::Step;
use tidegate_drain::observer::Unobserved;
use tidegate_drain::{Sink, Worker};
use tidegate_store::Store;
use tidegate_testkit::{Database, PostgresServer, RedisServer, poll_until};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::support::{assert_proved, open_sink, open_store, options, run_child, send};

const WAIT: Duration = Duration::from_secs(60);
const ROWS: i64 = 12;
const STEPS: i64 = 4;

/// `payment` gets locked. The keyless tables show what is applied twice.
const SCHEMA: &str = "
    CREATE TABLE payment (id bigint PRIMARY KEY, step bigint NOT NULL);
    CREATE TABLE refund (id bigint PRIMARY KEY, payment bigint NOT NULL REFERENCES payment);
    CREATE TABLE payment_step (id bigint NOT NULL, step bigint NOT NULL, n bigserial);
    CREATE TABLE customer (id bigint PRIMARY KEY, step bigint NOT NULL);
    CREATE TABLE customer_step (id bigint NOT NULL, step bigint NOT NULL, n bigserial);";

/// Every step of every row, with its line in the keyless table; each payment gets a refund.
fn operations(tables: &[&str], steps: std::ops::Range<i64>) -> Vec<String> {
    let mut lines = Vec::new();
    for step in steps {
        for id in 0..ROWS {
            for table in tables {
                let change = if step == 0 {
                    format!(r#"{{"op":"insert","table":"{table}","row":{{"id":{id},"step":0}}}}"#)
                } else {
                    format!(
                        r#"{{"op":"update","table":"{table}","key":{{"id":{id}}},"set":{{"step":{step}}}}}"#
                    )
                };
                lines.push(format!(
                    r#"{{"op":"transaction","partition_key":"{id}","operations":[{change},{{"op":"insert","table":"{table}_step","row":{{"id":{id},"step":{step}}}}}]}}"#
                ));
                if *table == "payment" && step == 0 {
                    lines.push(format!(
                        r#"{{"op":"insert","table":"refund","partition_key":"{id}","row":{{"id":{id},"payment":{id}}}}}"#
                    ));
                }
            }
        }
    }
    lines
}

struct World {
    _redis: RedisServer,
    _database: Database,
    urls: (String, String),
    store: Arc<dyn Store>,
    sink: Arc<dyn Sink>,
    reader: Client,
    locker: Client,
}

impl World {
    async fn start() -> Self {
        let redis = RedisServer::start().await.expect("Redis");
        let server = PostgresServer::shared().await.expect("PostgreSQL");
        let database = server.create_database().await.expect("a database");
        let urls = (redis.url(), database.url());
        let client = async || tidegate_testkit::postgres_client(&urls.1).await;
        let (reader, locker) = (client().await, client().await);
        let reader = reader.expect("a connection");
        reader.batch_execute(SCHEMA).await.expect("tables");
        let (store, sink) = (open_store(&urls.0).await, open_sink(&urls.1).await);
        sink.prepare().await.expect("tables");
        Self {
            store,
            sink,
            reader,
            locker: locker.expect("a connection"),
            urls,
            _redis: redis,
            _database: database,
        }
    }

    async fn send(&self, lines: &[String]) {
        send(&self.store, &*self.sink, &options(), lines).await;
    }

    async fn lock(&self, sql: &str) {
        let sql = format!("BEGIN; {sql}");
        self.locker.batch_execute(&sql).await.expect("locked");
    }

    async fn unlock(&self) {
        self.locker.batch_execute("COMMIT").await.expect("unlocked");
    }

    async fn number(&self, sql: &str) -> i64 {
        self.reader.query_one(sql, &[]).await.expect(sql).get(0)
    }

    /// Waits until the query answers so.
    async fn until(&self, sql: &str, expected: i64) {
        let met = poll_until(WAIT, || async { self.number(sql).await == expected });
        if met.await.is_err() {
            panic!("{sql}: {} instead of {expected}", self.number(sql).await);
        }
    }

    async fn until_drained(&self) {
        let drained = poll_until(WAIT, || async {
            let options = options();
            tidegate_drain::status::is_drained(&*self.store, &*self.sink, &options)
                .await
                .unwrap_or(false)
        });
        drained.await.expect("drained");
    }

    /// Every step of these tables' rows took place once and in order, and nothing is held.
    async fn assert_all(&self, tables: &[&str]) {
        for table in tables {
            let last = format!("SELECT count(*) FROM {table} WHERE step = {}", STEPS - 1);
            assert_eq!(self.number(&last).await, ROWS, "{table}");
            let sql = format!("SELECT count(*) FROM {table}_step");
            assert_eq!(self.number(&sql).await, ROWS * STEPS, "{table}");
            let disorder = format!(
                "SELECT count(*) FROM {table}_step a JOIN {table}_step b USING (id) \
                 WHERE a.n < b.n AND a.step >= b.step"
            );
            assert_eq!(self.number(&disorder).await, 0, "{table}");
        }
        let held = self.number("SELECT count(*) FROM tidegate.dead_letter");
        assert_eq!(held.await, 0);
        assert_proved(&self.store, &*self.sink, &options()).await;
    }

    fn worker(&self) -> (CancellationToken, Running) {
        let observer = Arc::new(Unobserved);
        let worker = Worker::new(self.store.clone(), self.sink.clone(), options(), observer);
        let stop = CancellationToken::new();
        let running = tokio::spawn(worker.expect("valid").run(stop.clone()));
        (stop, running)
    }
}

type Running = tokio::task::JoinHandle<tidegate_drain::Result<()>>;

const TABLE_LOCK: &str = "LOCK TABLE payment IN ACCESS EXCLUSIVE MODE";

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_stalls_only_what_touches_it() {
    let world = World::start().await;
    world.lock(TABLE_LOCK).await;
    world
        .send(&operations(&["payment", "customer"], 0..2))
        .await;
    let (stop, running) = world.worker();
    // The lock is held until the end of all these.
    let customers = "SELECT count(*) FROM customer_step";
    world.until(customers, ROWS * 2).await;
    world
        .send(&operations(&["payment", "customer"], 2..STEPS))
        .await;
    world.until(customers, ROWS * STEPS).await;
    let position = "SELECT count(*) FROM tidegate.dead_letter WHERE state <> 'dead'";
    world.until(position, ROWS * (STEPS + 1)).await;
    let shards = "SELECT count(DISTINCT shard) FROM tidegate.dead_letter WHERE code = 'locked'";
    assert_eq!(world.number(shards).await, 2, "both shards have such rows");
    assert_eq!(world.number("SELECT count(*) FROM payment_step").await, 0);
    assert_proved(&world.store, &*world.sink, &options()).await;
    world.unlock().await;
    world.until_drained().await;
    world.assert_all(&["payment", "customer"]).await;
    assert_eq!(world.number("SELECT count(*) FROM refund").await, ROWS);
    stop.cancel();
    running.await.expect("no panic").expect("no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_stalls_only_itself() {
    let world = World::start().await;
    world.send(&operations(&["payment"], 0..1)).await;
    let (stop, running) = world.worker();
    world.until_drained().await;
    let rows = "SELECT FROM payment WHERE id IN (3, 4) FOR UPDATE";
    world.lock(rows).await;
    world.send(&operations(&["payment"], 1..STEPS)).await;
    let done = format!("SELECT count(*) FROM payment WHERE step = {}", STEPS - 1);
    world.until(&done, ROWS - 2).await;
    world.unlock().await;
    world.until_drained().await;
    world.assert_all(&["payment"]).await;
    stop.cancel();
    running.await.expect("no panic").expect("no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_a_table_is_locked_or_opened_again_is_harmless() {
    for crash in [
        (Step::RowsWritten, 2),
        (Step::LedgerMoved, 3),
        (Step::Committed, 4),
    ] {
        let world = World::start().await;
        world.lock(TABLE_LOCK).await;
        world
            .send(&operations(&["payment", "customer"], 0..STEPS))
            .await;
        let child = |crash| run_child(&world.urls.0, &world.urls.1, crash);
        assert!(child(Some(crash)), "no crash at {crash:?}");
        world.unlock().await;
        assert!(child(Some((Step::Committed, 2))), "no crash afterwards");
        assert!(!child(None), "the last worker must finish");
        world.assert_all(&["payment", "customer"]).await;
    }
}
