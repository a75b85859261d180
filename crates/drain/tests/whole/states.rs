//! Write-behind: readers find what was put, before it is drained and after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidegate_drain::apply::Step;
use tidegate_drain::observer::Unobserved;
use tidegate_drain::write_behind::{Newest, StateKey, Write, WriteBehind};
use tidegate_drain::{Error, Options, Sink, Worker, status};
use tidegate_store::{Expected, Put, State, Store};
use tidegate_testkit::{Database, PostgresServer, RedisServer, poll_until};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::support::{assert_proved, open_sink, open_store, options, run_child};

const WAIT: Duration = Duration::from_secs(60);
const SCHEMA: &str =
    "CREATE TABLE payment (id bigint PRIMARY KEY, step bigint NOT NULL CHECK (step < 1000))";

struct World {
    redis: RedisServer,
    database: Database,
    store: Arc<dyn Store>,
    sink: Arc<dyn Sink>,
    client: Client,
    write_behind: WriteBehind,
}

impl World {
    async fn start() -> Self {
        let redis = RedisServer::start().await.expect("Redis");
        let server = PostgresServer::shared().await.expect("PostgreSQL");
        let database = server.create_database().await.expect("a database");
        let client = tidegate_testkit::postgres_client(&database.url()).await;
        let client = client.expect("a connection");
        client.batch_execute(SCHEMA).await.expect("tables");
        let store = open_store(&redis.url()).await;
        let sink = open_sink(&database.url()).await;
        sink.prepare().await.expect("tables");
        let catalog = sink.catalog().await.expect("a catalog");
        let write_behind = WriteBehind::new(store.clone(), catalog, &options());
        Self {
            redis,
            database,
            store,
            sink,
            client,
            write_behind,
        }
    }

    async fn put(&self, id: i64, step: i64, expected: Expected) -> Put {
        let operation = if step == 0 {
            format!(r#"{{"op":"insert","table":"payment","row":{{"id":{id},"step":0}}}}"#)
        } else {
            format!(
                r#"{{"op":"update","table":"payment","key":{{"id":{id}}},"set":{{"step":{step}}}}}"#
            )
        };
        let write = Write {
            operation: operation.into(),
            state: Some(vec![("step".into(), step.to_string().into())]),
            expected,
            ..Write::default()
        };
        self.write_behind.put(&key(id), write).await.expect("put")
    }

    /// The newest step that a reader finds: of the state, or of the row.
    async fn step(&self, id: i64) -> (Option<State>, Option<i64>) {
        let load = async || {
            let sql = "SELECT step FROM payment WHERE id = $1";
            let row = self.client.query_opt(sql, &[&id]).await.expect("a row");
            Ok::<_, Error>(row.map(|row| row.get::<_, i64>(0)))
        };
        match self
            .write_behind
            .newest(&key(id), load)
            .await
            .expect("read")
        {
            Newest::Row(step) => (None, step),
            Newest::State(state) => {
                let fields = state.content.clone().unwrap_or_default();
                let step = fields.first().map(|(_, step)| number(step));
                (Some(state), step)
            }
        }
    }

    async fn is_without_end(&self, id: i64) -> bool {
        let partition = options()
            .stream
            .partition(tidegate_drain::route::shard_of(&id.to_string(), 2));
        let all =
            self.store
                .unsettled_states(&partition, tidegate_store::EntryId::new(u64::MAX, 0), 0);
        let all = all.await.expect("states");
        all.iter().any(|state| state.name == key(id).name)
    }

    fn worker(&self, options: Options) -> (CancellationToken, Running) {
        let (store, sink) = (self.store.clone(), self.sink.clone());
        let worker = Worker::new(store, sink, options, Arc::new(Unobserved)).expect("valid");
        let stop = CancellationToken::new();
        (stop.clone(), tokio::spawn(worker.run(stop)))
    }
}

type Running = tokio::task::JoinHandle<tidegate_drain::Result<()>>;

fn key(id: i64) -> StateKey {
    StateKey {
        partition_key: id.to_string(),
        name: format!("payment:{id}"),
    }
}

fn number(text: &Bytes) -> i64 {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("a number")
}

/// States end a second after their operation was applied, so readers see all of it: no state but
/// none of the row, the state, the row. What they see only grows.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_never_goes_back_behind_what_it_has_read() {
    let world = Arc::new(World::start().await);
    let short = Options {
        state_ttl: Duration::from_millis(30),
        ..options()
    };
    let (stop, running) = world.worker(short);
    let is_enough = Arc::new(AtomicBool::new(false));
    let reader = {
        let (world, is_enough) = (world.clone(), is_enough.clone());
        tokio::spawn(async move {
            let (mut newest, mut states, mut rows) = (-1, 0_u32, 0_u32);
            while !is_enough.load(Ordering::SeqCst) {
                let (state, step) = world.step(1).await;
                let step = step.unwrap_or(-1);
                assert!(step >= newest, "{newest} was read, and then {step}");
                newest = step;
                *(if state.is_some() {
                    &mut states
                } else {
                    &mut rows
                }) += 1;
            }
            (newest, states, rows)
        })
    };
    for step in 0..60 {
        assert!(matches!(
            world.put(1, step, Expected::Anything).await,
            Put::Done(_)
        ));
        let (_, read) = world.step(1).await;
        assert_eq!(read, Some(step), "a writer reads what it has just written");
        if step % 20 == 19 {
            // The state ends while nothing comes.
            let ended = poll_until(WAIT, || async { world.step(1).await.0.is_none() });
            ended.await.expect("the state ends");
        }
    }
    is_enough.store(true, Ordering::SeqCst);
    let (newest, states, rows) = reader.await.expect("no step back");
    assert!(
        newest <= 59 && states > 0 && rows > 0,
        "{newest} {states} {rows}"
    );
    assert_eq!(world.step(1).await, (None, Some(59)));
    stop.cancel();
    running.await.expect("no panic").expect("no error");
    assert_proved(&world.store, &*world.sink, &options()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_that_name_what_they_have_read_lose_no_update() {
    let world = Arc::new(World::start().await);
    world.put(1, 0, Expected::Nothing).await;
    let (stop, running) = world.worker(options());
    let writer = |world: Arc<World>| async move {
        for _ in 0..25 {
            loop {
                let (state, step) = world.step(1).await;
                let expected = match state {
                    Some(state) => Expected::Version(state.version),
                    None => Expected::Nothing,
                };
                let put = world.put(1, step.expect("a row") + 1, expected).await;
                if matches!(put, Put::Done(_)) {
                    break;
                }
            }
        }
    };
    let one = tokio::spawn(writer(world.clone()));
    let two = tokio::spawn(writer(world.clone()));
    one.await.expect("one");
    two.await.expect("two");
    assert_eq!(world.step(1).await.1, Some(50), "each has added 25");
    let in_table = poll_until(WAIT, || async {
        let row = world
            .client
            .query_one("SELECT step FROM payment", &[])
            .await;
        row.is_ok_and(|row| row.get::<_, i64>(0) == 50)
    });
    in_table.await.expect("the row");
    stop.cancel();
    running.await.expect("no panic").expect("no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_held_operation_stays() {
    let world = World::start().await;
    world.put(1, 0, Expected::Anything).await;
    world.put(2, 0, Expected::Anything).await;
    // A dead letter: the check refuses it.
    world.put(2, 5_000, Expected::Anything).await;
    let (stop, running) = world.worker(options());
    let ended = poll_until(WAIT, || async { !world.is_without_end(1).await });
    ended.await.expect("the applied one's state ends");
    let settled = poll_until(WAIT, || async {
        status::is_drained(&*world.store, &*world.sink, &options())
            .await
            .unwrap_or(false)
    });
    settled.await.expect("drained");
    // The claim of the next owner looks at everything again.
    stop.cancel();
    running.await.expect("no panic").expect("no error");
    let (stop, running) = world.worker(options());
    world.put(1, 1, Expected::Anything).await;
    let ended = poll_until(WAIT, || async { !world.is_without_end(1).await });
    ended.await.expect("and so does the next");
    assert!(world.is_without_end(2).await);
    assert_eq!(world.step(2).await.1, Some(5_000));
    stop.cancel();
    running.await.expect("no panic").expect("no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_ends_although_its_owner_died_after_the_commit() {
    let world = World::start().await;
    for id in 1..5 {
        world.put(id, 0, Expected::Anything).await;
    }
    let urls = (world.redis.url(), world.database.url());
    assert!(
        run_child(&urls.0, &urls.1, Some((Step::Committed, 1))),
        "no crash"
    );
    for id in 1..5 {
        assert_eq!(
            world.step(id).await.1,
            Some(0),
            "nobody is without a state and a row"
        );
    }
    let (stop, running) = world.worker(options());
    let ended = poll_until(WAIT, || async {
        let mut any = false;
        for id in 1..5 {
            any |= world.is_without_end(id).await;
        }
        !any
    });
    ended.await.expect("all states end");
    stop.cancel();
    running.await.expect("no panic").expect("no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_drain_would_not_take_is_not_put() {
    let world = World::start().await;
    let shard = |key: &str| tidegate_drain::route::shard_of(key, options().partitions);
    let other = (2..100)
        .map(|id| id.to_string())
        .find(|id| shard(id) != shard("1"));
    for (partition_key, operation) in [
        ("1", r#"{"op":"insert","table":"nowhere","row":{"id":1}}"#),
        ("1", "no JSON"),
        (
            other.as_deref().expect("another shard"),
            r#"{"op":"insert","table":"payment","row":{"id":1,"step":0}}"#,
        ),
    ] {
        let key = StateKey {
            partition_key: partition_key.to_owned(),
            name: "payment:1".to_owned(),
        };
        let write = Write {
            operation: operation.into(),
            ..Write::default()
        };
        let put = world.write_behind.put(&key, write).await;
        assert!(matches!(put, Err(Error::Invalid(_))), "{put:?}");
    }
    assert_eq!(world.step(1).await, (None, None));
}
