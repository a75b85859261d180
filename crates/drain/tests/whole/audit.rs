//! The audit finds rows that are not as their last operation left them, and a bad entry holds up no
//! other row.

use std::sync::Arc;

use tidegate_drain::audit::{Audit, audit};
use tidegate_drain::observer::Unobserved;
use tidegate_drain::{Options, Sink};
use tidegate_store::{Epoch, Fetch, GroupName, ReadLimit, Store, WorkerId};
use tidegate_testkit::PostgresServer;

use crate::support::{assert_proved, drain_all, open_sink, open_store, options, send};

const SCHEMA: &str =
    "CREATE TABLE account (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL, note TEXT);";

fn line(op: &str, id: u32, rest: &str) -> String {
    format!(
        r#"{{"op":"{op}","table":"account","partition_key":"a",{}}}"#,
        match op {
            "insert" => format!(r#""row":{{"id":{id},{rest}}}"#),
            "update" => format!(r#""key":{{"id":{id}}},"set":{{{rest}}}"#),
            _ => format!(r#""key":{{"id":{id}}}"#),
        }
    )
}

/// Another group that has read nothing keeps the entries in the stream.
async fn keep_entries(store: &dyn Store, options: &Options) {
    let group = GroupName::new("archive").expect("a name");
    for index in 0..options.partitions {
        let ttl = std::time::Duration::from_secs(600);
        let shard = options.stream.partition(index);
        let lease = store.try_acquire_lease(&group, &shard, WorkerId::random(), ttl, Epoch(0));
        let lease = lease.await.expect("asked").expect("a lease");
        let limit = ReadLimit {
            entries: 1,
            bytes: 1,
        };
        store
            .fetch(&lease, Fetch::New, limit)
            .await
            .expect("a group");
    }
}

async fn found(store: &dyn Store, sink: &dyn Sink, options: &Options) -> Audit {
    let audits = audit(store, sink, options, 1_000).await.expect("an audit");
    audits
        .into_iter()
        .max_by_key(|audit| audit.entries)
        .expect("a shard")
}

async fn rows_are_held_against_entries(
    store_url: &str,
    sink_url: &str,
    tamper: impl AsyncFn(&str),
) {
    let (store, sink) = (open_store(store_url).await, open_sink(sink_url).await);
    sink.prepare().await.expect("tables");
    let options = options();
    keep_entries(&*store, &options).await;
    let mut lines: Vec<_> = (1..=40)
        .map(|id| line("insert", id, r#""balance":1"#))
        .collect();
    // A poison entry, an update of nothing, and what stands behind them: the rest goes on.
    lines.push(line("update", 3, r#""balance":"much""#));
    lines.push(line("update", 3, r#""balance":9"#));
    lines.push(line("update", 99, r#""balance":9"#));
    lines.extend((10..20).map(|id| line("update", id, r#""balance":2"#)));
    lines.push(line("delete", 40, ""));
    send(&store, &*sink, &options, &lines).await;
    drain_all(&store, &sink, &options, Arc::new(Unobserved)).await;
    assert_proved(&store, &*sink, &options).await;
    let ledger = sink.ledger(&options.stream).await.expect("a ledger");
    let row = ledger
        .iter()
        .max_by_key(|row| row.applied)
        .expect("a shard");
    assert_eq!((row.applied, row.dead, row.parked), (51, 2, 1));

    let audit = found(&*store, &*sink, &options).await;
    assert_eq!((audit.entries, audit.rows, audit.untold), (54, 40, 0));
    assert!(audit.differences.is_empty(), "{audit:?}");
    // What no operation named is nobody's business.
    tamper("UPDATE account SET note = 'x' WHERE id < 5").await;
    tamper("UPDATE account SET balance = 5 WHERE id = 7").await;
    tamper("UPDATE account SET balance = 1 WHERE id = 12").await;
    tamper("DELETE FROM account WHERE id = 8").await;
    tamper("INSERT INTO account (id, balance) VALUES (40, 1)").await;
    let audit = found(&*store, &*sink, &options).await;
    assert_eq!(audit.differences.len(), 4, "{audit:?}");
    let reasons: Vec<_> = audit.differences.iter().map(|it| it.reason).collect();
    assert!(
        reasons.iter().any(|reason| reason.contains("is not there")),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().any(|reason| reason.contains("was deleted")),
        "{reasons:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_not_as_they_were_written_are_found_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.sqlite");
    let run = |sql: &str| {
        let connection = rusqlite::Connection::open(&path).expect("a file");
        connection.execute_batch(sql).expect(sql);
    };
    run(SCHEMA);
    let url = format!("sqlite://{}", path.display());
    rows_are_held_against_entries(&url, &url, async |sql: &str| run(sql)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_not_as_they_were_written_are_found_on_postgres() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = PostgresServer::shared().await.expect("PostgreSQL");
    let database = server.create_database().await.expect("a database");
    let client = tidegate_testkit::postgres_client(&database.url())
        .await
        .expect("a connection");
    client.batch_execute(SCHEMA).await.expect("tables");
    let store = format!("sqlite://{}", folder.path().join("s.sqlite").display());
    let tamper = async |sql: &str| client.batch_execute(sql).await.expect(sql);
    rows_are_held_against_entries(&store, &database.url(), tamper).await;
}
