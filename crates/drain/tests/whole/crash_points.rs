//! The process is killed between every two steps of a batch, on both pairs of backends, and
//! started again: nothing is lost, nothing is doubled, and every row keeps its order.

use std::collections::BTreeMap;

use crate::support::{assert_proved, open_sink, open_store, options, run_child, send};
use tidegate_drain::apply::Step;
use tidegate_testkit::{PostgresServer, RedisServer};

const STEPS: [Step; 7] = [
    Step::Read,
    Step::Begun,
    Step::RowsWritten,
    Step::LedgerMoved,
    Step::Committed,
    Step::Acknowledged,
    Step::Trimmed,
];

const SCHEMA: &str = "
    CREATE TABLE account (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL);
    -- Without a key, so that an operation that is applied twice shows as two rows.
    CREATE TABLE history (account BIGINT NOT NULL, step BIGINT NOT NULL);";

const ACCOUNTS: i64 = 8;
const UPDATES: i64 = 12;

/// Creates, updates many times and deletes; each step also writes history.
fn operations() -> Vec<String> {
    let mut lines = Vec::new();
    let account = |id, step| {
        let history = format!(
            r#"{{"op":"insert","table":"history","row":{{"account":{id},"step":{step}}}}}"#
        );
        let change = match step {
            0 => format!(r#"{{"op":"insert","table":"account","row":{{"id":{id},"balance":0}}}}"#),
            _ => format!(
                r#"{{"op":"update","table":"account","key":{{"id":{id}}},"set":{{"balance":{step}}}}}"#
            ),
        };
        format!(
            r#"{{"op":"transaction","partition_key":"{id}","operations":[{change},{history}]}}"#
        )
    };
    for step in 0..UPDATES {
        lines.extend((0..ACCOUNTS).map(|id| account(id, step)));
    }
    lines.push(r#"{"op":"delete","table":"account","key":{"id":0}}"#.to_owned());
    lines
}

/// What the tables must hold: the last balance of each account, and each step of history once.
fn assert_rows(accounts: &BTreeMap<i64, i64>, history: &[(i64, i64)], crash: (Step, usize)) {
    let expected: BTreeMap<_, _> = (1..ACCOUNTS).map(|id| (id, UPDATES - 1)).collect();
    assert_eq!(*accounts, expected, "after a crash at {crash:?}");
    let steps = (0..ACCOUNTS).flat_map(|id| (0..UPDATES).map(move |step| (id, step)));
    assert_eq!(
        history,
        steps.collect::<Vec<_>>(),
        "after a crash at {crash:?}"
    );
}

/// Kills a worker at the step, lets another one finish, and proves the sums.
async fn crash_and_recover(store_url: &str, sink_url: &str, crash: (Step, usize)) {
    let (store, sink) = (open_store(store_url).await, open_sink(sink_url).await);
    sink.prepare().await.expect("tables");
    send(&store, &*sink, &options(), &operations()).await;
    assert!(
        run_child(store_url, sink_url, Some(crash)),
        "no crash at {crash:?}"
    );
    assert!(
        !run_child(store_url, sink_url, None),
        "the second worker must finish"
    );
    assert_proved(&store, &*sink, &options()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_steps_is_harmless_on_sqlite() {
    for step in STEPS {
        for nth in [1, 4] {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("all.sqlite");
            let url = format!("sqlite://{}", path.display());
            let tables = rusqlite::Connection::open(&path).expect("a file");
            tables.execute_batch(SCHEMA).expect("tables");
            crash_and_recover(&url, &url, (step, nth)).await;
            let mut accounts = tables
                .prepare("SELECT id, balance FROM account")
                .expect("SQL");
            let accounts = accounts.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
            let mut history = tables
                .prepare("SELECT account, step FROM history ORDER BY 1, 2")
                .expect("SQL");
            let history = history.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
            assert_rows(
                &accounts
                    .expect("rows")
                    .collect::<Result<_, _>>()
                    .expect("rows"),
                &history
                    .expect("rows")
                    .collect::<Result<Vec<_>, _>>()
                    .expect("rows"),
                (step, nth),
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_steps_is_harmless_on_redis_and_postgres() {
    let postgres = PostgresServer::shared().await.expect("PostgreSQL");
    for step in STEPS {
        for nth in [1, 4] {
            let redis = RedisServer::start().await.expect("Redis");
            let database = postgres.create_database().await.expect("a database");
            let url = database.url();
            let client = tidegate_testkit::postgres_client(&url)
                .await
                .expect("a connection");
            client.batch_execute(SCHEMA).await.expect("tables");
            crash_and_recover(&redis.url(), &url, (step, nth)).await;
            let rows = client
                .query("SELECT id, balance FROM account", &[])
                .await
                .expect("rows");
            let accounts = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            let rows = client
                .query("SELECT account, step FROM history ORDER BY 1, 2", &[])
                .await
                .expect("rows");
            let history: Vec<_> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            assert_rows(&accounts, &history, (step, nth));
        }
    }
}

/// Not a test: the worker that the tests above start as a process of its own and kill.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the other tests as a process of its own"]
async fn child_worker() {
    crate::support::child_worker().await;
}
