//! A database that falls silent with its connections open: it is not waited for without an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tidegate_drain::observer::Batch;
use tidegate_drain::route::Sender;
use tidegate_drain::{Error, Observer, Options, PostgresOptions, PostgresSink, Sink, Worker};
use tidegate_store::{NewEntry, Store};
use tidegate_testkit::{FaultProxy, PostgresServer, RedisServer, Way, poll_until};
use tokio_util::sync::CancellationToken;

use crate::support::{assert_proved, open_store, options, send};

const WAIT: Duration = Duration::from_secs(60);

/// Counts what was given up.
#[derive(Debug, Default)]
struct GivenUp(AtomicUsize);

impl Observer for GivenUp {
    fn committed(&self, _batch: &Batch) {}

    fn failed(&self, _shard: Option<u32>, error: &Error) {
        if error.to_string().contains("transaction_timeout") {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The entries of operations: for them the database is asked, which is still possible now.
async fn address(store: &Arc<dyn Store>, sink: &dyn Sink, lines: &[String]) -> Vec<NewEntry> {
    let catalog = sink.catalog().await.expect("a catalog");
    let Options {
        stream, partitions, ..
    } = options();
    let sender = Sender::new(store.clone(), catalog, stream, partitions);
    let address = |line: &String| {
        let payload = line.clone().into_bytes().into();
        sender
            .address(payload, "request", "test", SystemTime::now())
            .entry
    };
    lines.iter().map(address).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_a_silent_database_is_given_up_and_tried_again() {
    let redis = RedisServer::start().await.expect("Redis");
    let server = PostgresServer::shared().await.expect("PostgreSQL");
    let database = server.create_database().await.expect("a database");
    let client = tidegate_testkit::postgres_client(&database.url()).await;
    let client = client.expect("a connection");
    let table = "CREATE TABLE t (id bigint, n bigserial)";
    client.batch_execute(table).await.expect("a table");
    let proxy = FaultProxy::start(server.port()).await.expect("a proxy");
    let (port, name) = (proxy.port(), database.name());
    let url = format!("postgres://postgres@127.0.0.1:{port}/{name}");
    let brief = PostgresOptions {
        transaction_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(2),
        ..PostgresOptions::default()
    };
    let sink: Arc<dyn Sink> = Arc::new(PostgresSink::connect(&url, brief).await.expect("a sink"));
    sink.prepare().await.expect("tables");
    let store = open_store(&redis.url()).await;
    let observer = Arc::new(GivenUp::default());
    let worker = Worker::new(store.clone(), sink.clone(), options(), observer.clone());
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.expect("valid").run(stop.clone()));
    let lines = |ids: std::ops::Range<u32>| -> Vec<String> {
        ids.map(|id| format!(r#"{{"op":"insert","table":"t","row":{{"id":{id}}}}}"#))
            .collect()
    };
    let applied = async |count: i64| {
        let met = poll_until(WAIT, || async {
            let row = client.query_one("SELECT count(*) FROM t", &[]).await;
            row.is_ok_and(|row| row.get::<_, i64>(0) == count)
        });
        met.await.expect("applied");
    };
    let all = lines(0..40);
    let (first, rest) = all.split_at(10);
    send(&store, &*sink, &options(), first).await;
    applied(10).await;
    for (way, part) in [Way::Replies, Way::Requests]
        .into_iter()
        .zip(rest.chunks(15))
    {
        let before = observer.0.load(Ordering::SeqCst);
        let entries = address(&store, &*sink, part).await;
        proxy.stall(way);
        store.append(entries).await.expect("sent");
        let given_up = poll_until(WAIT, || async {
            observer.0.load(Ordering::SeqCst) > before
        });
        given_up.await.expect("given up");
        proxy.cut();
        proxy.resume();
    }
    applied(40).await;
    let ids = client
        .query_one("SELECT count(DISTINCT id) FROM t", &[])
        .await;
    assert_eq!(ids.expect("ids").get::<_, i64>(0), 40);
    stop.cancel();
    running.await.expect("no panic").expect("no error");
    assert_proved(&store, &*sink, &options()).await;
}
