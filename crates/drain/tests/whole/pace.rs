//! How fast the drain goes: batches that grow with the load, and shards that don't wait for others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{drain_all, open_sink, open_store, send};
use tidegate_drain::observer::{Batch, Unobserved};
use tidegate_drain::pace::ENTRIES_MIN;
use tidegate_drain::route::shard_of;
use tidegate_drain::{Observer, Options, Worker};
use tidegate_store::{EntryId, StreamName};
use tidegate_testkit::{PostgresServer, RedisServer, poll_until};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

/// More than the places at work.
const SHARDS: u32 = 8;

fn options() -> Options {
    Options::new(StreamName::new("DRAINER_STREAM").expect("a name"), SHARDS)
}

async fn connect(url: &str) -> Client {
    tidegate_testkit::postgres_client(url)
        .await
        .expect("a server")
}

/// An insert that goes to this shard.
fn insert(table: &str, id: usize, shard: u32) -> String {
    let mut keys = (0..).map(|number| format!("key_{number}"));
    let key = keys
        .find(|key| shard_of(key, SHARDS) == shard)
        .expect("a key");
    format!(r#"{{"op":"insert","partition_key":"{key}","table":"{table}","row":{{"id":{id}}}}}"#)
}

#[derive(Debug, Default)]
struct Batches(Mutex<Vec<Batch>>);

impl Observer for Batches {
    fn committed(&self, batch: &Batch) {
        self.0.lock().expect("no panic").push(batch.clone());
    }
}

#[tokio::test]
async fn every_batch_tells_how_it_was_read_and_written() {
    let (redis, postgres) = (
        RedisServer::start().await.expect("Redis"),
        PostgresServer::shared().await.expect("PostgreSQL"),
    );
    let database = postgres.create_database().await.expect("a database");
    let client = connect(&database.url()).await;
    let schema = "CREATE TABLE t (id int PRIMARY KEY)";
    client.batch_execute(schema).await.expect("a table");
    let (store, sink) = (
        open_store(&redis.url()).await,
        open_sink(&database.url()).await,
    );
    sink.prepare().await.expect("tables");
    let lines: Vec<_> = (0..3_000).map(|id| insert("t", id, 3)).collect();
    send(&store, &*sink, &options(), &lines).await;
    let batches = Arc::new(Batches::default());
    drain_all(&store, &sink, &options(), batches.clone()).await;

    let batches = batches.0.lock().expect("no panic").clone();
    let paces: Vec<_> = batches.iter().filter_map(|batch| batch.pace).collect();
    assert_eq!(paces.len(), batches.len());
    // Whether they grow depends on how quick this machine is.
    let sizes = ENTRIES_MIN..=options().batch_max;
    assert!(
        paces
            .iter()
            .all(|pace| sizes.contains(&pace.batch_entries_max)),
        "{paces:?}"
    );
    assert!(paces.iter().all(|pace| pace.took >= pace.answer
        && !pace.answer.is_zero()
        && (1..=4).contains(&pace.shards_at_work_max)));
    let mut through: HashMap<u32, EntryId> = HashMap::new();
    for batch in &batches {
        let before = through.insert(batch.shard, batch.through);
        assert!(before < Some(batch.through));
    }
    let applied: u64 = batches.iter().map(|batch| batch.settled.applied).sum();
    assert_eq!(applied, 3_000);
}

#[tokio::test]
async fn a_locked_table_holds_up_no_shard_but_those_that_write_it() {
    let (redis, postgres) = (
        RedisServer::start().await.expect("Redis"),
        PostgresServer::shared().await.expect("PostgreSQL"),
    );
    let database = postgres.create_database().await.expect("a database");
    let mut client = connect(&database.url()).await;
    let schema = "CREATE TABLE free (id int PRIMARY KEY); CREATE TABLE locked (id int PRIMARY KEY)";
    client.batch_execute(schema).await.expect("tables");
    let (store, sink) = (
        open_store(&redis.url()).await,
        open_sink(&database.url()).await,
    );
    sink.prepare().await.expect("tables");
    // As many shards wait for the lock as are let work at once; the lines of the others come later.
    let stuck = (0..3).map(|shard| insert("locked", shard as usize, shard));
    let free = (3..SHARDS).flat_map(|shard| {
        (0..50).map(move |id| insert("free", shard as usize * 1_000 + id, shard))
    });
    let lines: Vec<_> = stuck.chain(free).collect();
    send(&store, &*sink, &options(), &lines).await;

    let lock = client.transaction().await.expect("a transaction");
    lock.batch_execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("the lock");
    let worker = Worker::new(store.clone(), sink.clone(), options(), Arc::new(Unobserved));
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.expect("valid").run(stop.clone()));
    let other = connect(&database.url()).await;
    let count = "SELECT count(*) FROM free";
    poll_until(Duration::from_secs(20), || async {
        let rows: i64 = other.query_one(count, &[]).await.expect("a count").get(0);
        rows == 250
    })
    .await
    .expect("all others are drained while the table is locked");
    lock.rollback().await.expect("unlocked");
    let count = "SELECT count(*) FROM locked";
    poll_until(Duration::from_secs(20), || async {
        let rows: i64 = other.query_one(count, &[]).await.expect("a count").get(0);
        rows == 3
    })
    .await
    .expect("the locked ones follow");
    stop.cancel();
    running.await.expect("no panic").expect("no error");
}
