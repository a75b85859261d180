//! The log steps back: a replica takes the place of a master that died with writes it never sent.
//!
//! Clocks: the master's is ahead of the replica's by a minute. That is done by setting the master's
//! last id (`XSETID`), from which its ids go on as they would by such a clock; the replica counts by
//! its own.
//!
//! The table has no key, so that an entry which is applied twice is two rows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_drain::observer::{StepBack, Unobserved};
use tidegate_drain::{Observer, Options, Sink, Worker, status};
use tidegate_store::{EntryId, Store};
use tidegate_testkit::{PostgresServer, RedisServer, poll_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::support::{assert_proved, drain_all, open_sink, open_store, options, send};

const SCHEMA: &str = "CREATE TABLE seen (number BIGINT NOT NULL, note TEXT NOT NULL)";
const WAIT: Duration = Duration::from_secs(30);

/// Remembers the alarms.
#[derive(Debug, Default)]
struct Alarms(Mutex<Vec<StepBack>>);

impl Observer for Alarms {
    fn stepped_back(&self, step_back: &StepBack) {
        self.0.lock().expect("a lock").push(step_back.clone());
    }
}

impl Alarms {
    fn all(&self) -> Vec<StepBack> {
        self.0.lock().expect("a lock").clone()
    }
}

fn lines(numbers: std::ops::Range<u32>) -> Vec<String> {
    let line = |number: u32| {
        format!(
            r#"{{"op":"insert","table":"seen","partition_key":"a","row":{{"number":{number},"note":"{number}"}}}}"#
        )
    };
    numbers.map(line).collect()
}

/// One shard, so that everything has one order.
fn one_shard() -> Options {
    Options {
        partitions: 1,
        ..options()
    }
}

async fn command(server: &RedisServer, words: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .expect("a connection");
    stream
        .write_all(format!("{words}\r\n").as_bytes())
        .await
        .expect("sent");
    let mut answer = [0; 256];
    let length = stream.read(&mut answer).await.expect("an answer");
    let text = String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).into_owned();
    assert!(text.starts_with("+OK"), "{words:?}: {text}");
}

/// A master with a replica that has caught up with it.
async fn pair() -> (RedisServer, RedisServer) {
    let master = RedisServer::start().await.expect("Redis");
    let replica = RedisServer::builder().replica_of(master.port());
    (master, replica.start().await.expect("a replica"))
}

async fn last_id(store: &dyn Store, options: &Options) -> Option<EntryId> {
    let group = tidegate_store::GroupName::new("tidegate_drain").expect("a name");
    let lags = store
        .lag(&group, &[options.stream.partition(0)])
        .await
        .ok()?;
    lags.first()
        .map(|lag| lag.last_id)
        .filter(|id| *id > EntryId::ZERO)
}

async fn caught_up(master: &dyn Store, replica: &dyn Store, options: &Options) {
    let is_same = poll_until(WAIT, || async {
        let wanted = last_id(master, options).await;
        wanted.is_some() && last_id(replica, options).await == wanted
    });
    is_same.await.expect("the replica caught up");
}

/// Lets the master's ids go on as by a clock that is a minute ahead.
async fn clock_ahead(master: &RedisServer) {
    let ahead = std::time::SystemTime::now() + Duration::from_secs(60);
    let ms = ahead
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_millis();
    command(master, &format!("XSETID {{shard_0}}_DRAINER_STREAM {ms}-0")).await;
}

async fn numbers(sink_url: &str) -> Vec<i64> {
    let sql = "SELECT number FROM seen ORDER BY number";
    if let Some(path) = sink_url.strip_prefix("sqlite://") {
        let connection = rusqlite::Connection::open(path).expect("a file");
        let mut statement = connection.prepare(sql).expect("a query");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        return rows.collect::<Result<_, _>>().expect("numbers");
    }
    let client = tidegate_testkit::postgres_client(sink_url)
        .await
        .expect("a connection");
    let rows = client.query(sql, &[]).await.expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

/// What happens before the master dies: 20 entries that the replica has too, but not that they are
/// settled and trimmed; and 10 more that it never gets, settled as well, with ids ahead of its clock.
async fn settle_thirty(
    master: &RedisServer,
    replica: &RedisServer,
    store: &Arc<dyn Store>,
    sink: &Arc<dyn Sink>,
) {
    let options = one_shard();
    send(store, &**sink, &options, &lines(0..20)).await;
    let second = open_store(&replica.url()).await;
    caught_up(&**store, &*second, &options).await;
    drop(second);
    // The link between the two is cut. (A replica that is merely stopped would read on later.)
    command(replica, "REPLICAOF 127.0.0.1 1").await;
    drain_all(store, sink, &options, Arc::new(Unobserved)).await;
    clock_ahead(master).await;
    send(store, &**sink, &options, &lines(20..30)).await;
    drain_all(store, sink, &options, Arc::new(Unobserved)).await;
}

async fn promote(replica: &RedisServer) {
    command(replica, "REPLICAOF NO ONE").await;
}

async fn found_at_the_claim(sink_url: &str) {
    let sink = open_sink(sink_url).await;
    sink.prepare().await.expect("tables");
    let options = one_shard();
    let (mut master, replica) = pair().await;
    let store = open_store(&master.url()).await;
    settle_thirty(&master, &replica, &store, &sink).await;
    master.kill().await.expect("killed");
    drop(store);
    promote(&replica).await;

    let store = open_store(&replica.url()).await;
    // Some come in before anybody notices; the first of them at ids that are settled.
    send(&store, &*sink, &options, &lines(30..40)).await;
    let alarms = Arc::new(Alarms::default());
    // Only the ledger knows that not everything is drained: wait for the rows.
    let stop = CancellationToken::new();
    let worker = Worker::new(store.clone(), sink.clone(), options.clone(), alarms.clone());
    let running = tokio::spawn(worker.expect("valid").run(stop.clone()));
    let moved = poll_until(WAIT, || async { !alarms.all().is_empty() });
    moved.await.expect("an alarm");
    send(&store, &*sink, &options, &lines(40..45)).await;
    let drained = poll_until(WAIT, || async {
        status::is_drained(&*store, &*sink, &options)
            .await
            .unwrap_or(false)
    });
    drained.await.expect("drained");
    stop.cancel();
    running.await.expect("no panic").expect("no error");
    assert_eq!(numbers(sink_url).await, (0..45).collect::<Vec<_>>());
    let alarms = alarms.all();
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert_eq!(
        alarms
            .first()
            .map_or((0, 0), |it| (it.carried, it.forgotten)),
        (10, 0),
        "{alarms:?}"
    );
    assert_proved(&store, &*sink, &options).await;
    // A later owner finds nothing amiss.
    drain_all(&store, &sink, &options, Arc::new(Unobserved)).await;
    assert_eq!(numbers(sink_url).await.len(), 45);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_stepped_back_is_found_at_the_claim_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.sqlite");
    let connection = rusqlite::Connection::open(&path).expect("a file");
    connection.execute_batch(SCHEMA).expect("tables");
    found_at_the_claim(&format!("sqlite://{}", path.display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_stepped_back_is_found_at_the_claim_on_postgres() {
    let server = PostgresServer::shared().await.expect("PostgreSQL");
    let database = server.create_database().await.expect("a database");
    let client = tidegate_testkit::postgres_client(&database.url())
        .await
        .expect("a connection");
    client.batch_execute(SCHEMA).await.expect("tables");
    found_at_the_claim(&database.url()).await;
}

/// A door in front of two servers: it leads to the one or to the other, as an address does that
/// moves with a failover.
struct Door {
    port: u16,
    leads_to: Arc<Mutex<(u16, CancellationToken)>>,
}

impl Door {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let leads_to = Arc::new(Mutex::new((port, CancellationToken::new())));
        let shared = leads_to.clone();
        tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                let (port, closed) = shared.lock().expect("a lock").clone();
                tokio::spawn(async move {
                    let Ok(mut outside) = TcpStream::connect(("127.0.0.1", port)).await else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut inside, &mut outside) => {}
                        () = closed.cancelled() => {}
                    }
                });
            }
        });
        Self {
            port: own,
            leads_to,
        }
    }

    fn lead_to(&self, port: u16) {
        let next = (port, CancellationToken::new());
        let before = std::mem::replace(&mut *self.leads_to.lock().expect("a lock"), next);
        before.1.cancel();
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_steps_back_under_a_running_worker_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.sqlite");
    let connection = rusqlite::Connection::open(&path).expect("a file");
    connection.execute_batch(SCHEMA).expect("tables");
    let sink_url = format!("sqlite://{}", path.display());
    let sink = open_sink(&sink_url).await;
    sink.prepare().await.expect("tables");
    let options = one_shard();
    let (mut master, replica) = pair().await;
    let direct = open_store(&master.url()).await;
    settle_thirty(&master, &replica, &direct, &sink).await;

    let door = Door::to(master.port()).await;
    let store = open_store(&door.url()).await;
    let alarms = Arc::new(Alarms::default());
    let stop = CancellationToken::new();
    let worker = Worker::new(store.clone(), sink.clone(), options.clone(), alarms.clone());
    let running = tokio::spawn(worker.expect("valid").run(stop.clone()));
    send(&direct, &*sink, &options, &lines(30..35)).await;
    let so_far = poll_until(WAIT, || async { numbers(&sink_url).await.len() == 35 });
    so_far.await.expect("the worker is at work");

    master.kill().await.expect("killed");
    promote(&replica).await;
    let second = open_store(&replica.url()).await;
    // Before the worker is back, so that they lie among what is settled.
    send(&second, &*sink, &options, &lines(35..50)).await;
    door.lead_to(replica.port());
    let all = poll_until(WAIT, || async { numbers(&sink_url).await.len() >= 50 });
    all.await.expect("the new ones are applied");
    send(&second, &*sink, &options, &lines(50..60)).await;
    let all = poll_until(WAIT, || async { numbers(&sink_url).await.len() >= 60 });
    all.await.expect("the newest ones are applied");
    stop.cancel();
    running.await.expect("no panic").expect("no error");
    assert_eq!(numbers(&sink_url).await, (0..60).collect::<Vec<_>>());
    assert_eq!(alarms.all().len(), 1, "{:?}", alarms.all());
    assert_proved(&second, &*sink, &options).await;
}
