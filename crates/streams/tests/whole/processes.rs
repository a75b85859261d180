//! Workers as separate processes that are killed and stopped, with effects in PostgreSQL.
//!
//! The effects are fenced: a transaction writes what is new of a batch and moves the partition's
//! position, under the epoch of the event's lease. So whatever happens to the processes, every
//! effect is there once, and those of a key are in order.

use std::process::Command;
use std::time::Duration;

use tidegate_streams::{BoxError, Event, Events, Options, Policy, Settings, Worker};
use tidegate_testkit::{Database, PostgresServer, Process, poll_until};
use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::site::{DEADLINE, Note, Site, processor};

const CHILD: &str = "processes::child_worker";
const PARTITIONS: u32 = 8;
const LEASE_TTL: Duration = Duration::from_millis(600);
const SCHEMA: &str = "
    CREATE TABLE position (
        partition BIGINT PRIMARY KEY, epoch BIGINT NOT NULL, ms BIGINT NOT NULL,
        sequence BIGINT NOT NULL, repeated BIGINT NOT NULL);
    INSERT INTO position SELECT n, 0, 0, 0, 0 FROM generate_series(0, 7) n;
    -- Without a key, so that an effect that happens twice shows as two rows.
    CREATE TABLE effect (
        at BIGSERIAL, partition BIGINT NOT NULL, number BIGINT NOT NULL, epoch BIGINT NOT NULL);";

async fn connect(url: &str) -> Client {
    tidegate_testkit::postgres_client(url)
        .await
        .expect("connected")
}

fn number(value: u64) -> i64 {
    i64::try_from(value).expect("small enough")
}

/// Writes the effects of a batch, unless a newer owner has been there.
async fn write(client: &mut Client, batch: &[Event<Note>]) -> Result<(), BoxError> {
    let (partition, epoch) = (i64::from(batch[0].partition), number(batch[0].epoch().0));
    let transaction = client.transaction().await?;
    let position = "SELECT epoch, ms, sequence FROM position WHERE partition = $1 FOR UPDATE";
    let row = transaction.query_one(position, &[&partition]).await?;
    if row.get::<_, i64>(0) > epoch {
        return Err("a newer owner has been here".into());
    }
    let position = (row.get::<_, i64>(1), row.get::<_, i64>(2));
    let place = |event: &Event<Note>| (number(event.id.ms), number(event.id.sequence));
    let is_new = |event: &&Event<Note>| place(event) > position;
    let numbers: Vec<i64> = batch
        .iter()
        .filter(is_new)
        .map(|event| number(event.number))
        .collect();
    let repeated = number((batch.len() - numbers.len()) as u64);
    let last = batch.last().map_or(position, place).max(position);
    let effect = "INSERT INTO effect (partition, number, epoch)
                  SELECT $1, n, $3 FROM unnest($2::BIGINT[]) WITH ORDINALITY u(n, o) ORDER BY o";
    transaction
        .execute(effect, &[&partition, &numbers, &epoch])
        .await?;
    let moved = "UPDATE position SET epoch = $2, ms = $3, sequence = $4, repeated = repeated + $5
                 WHERE partition = $1";
    transaction
        .execute(moved, &[&partition, &epoch, &last.0, &last.1, &repeated])
        .await?;
    transaction.commit().await?;
    Ok(())
}

/// The child: a worker that runs until it is killed, or its parent is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the other tests of this module, as a process of its own"]
async fn child_worker() {
    let variable = |name| std::env::var(name).ok();
    let (Some(store), Some(sink)) = (variable("TEST_STORE_URL"), variable("TEST_SINK_URL")) else {
        return;
    };
    let batch_max = variable("TEST_BATCH_MAX").map_or(10, |max| max.parse().expect("a number"));
    let function = move |mut events: Events<Note>| {
        let sink = sink.clone();
        async move {
            let mut client = connect(&sink).await;
            // A process that is stopped within a transaction must not lock its successor out.
            let patience = "SET idle_in_transaction_session_timeout = '300ms'";
            client.batch_execute(patience).await?;
            while let Some(batch) = events.take(batch_max, Duration::from_millis(5)).await? {
                write(&mut client, &batch).await?;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok(())
        }
    };
    let settings = Settings {
        on_error: Policy::Halt,
        ..Settings::default()
    };
    let options = Options {
        lease_ttl: LEASE_TTL,
        ..Options::default()
    };
    let store = crate::site::open(&store).await;
    let processor = processor(PARTITIONS, settings, function);
    let worker = Worker::new(store, vec![processor], options).expect("valid options");
    println!("\nworking");
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).expect("a handler");
    let _asked = tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            terminate.recv().await;
            shutdown.cancel();
        }
    });
    worker.run(shutdown).await.expect("no failure");
}

/// A database for effects, and workers that write them.
struct Scene {
    site: Site,
    database: Database,
    client: Client,
    sent: u64,
    batch_max: usize,
}

impl Scene {
    async fn new(site: Site) -> Self {
        let server = PostgresServer::shared().await.expect("a server");
        let database = server.create_database().await.expect("a database");
        let client = connect(&database.url()).await;
        client.batch_execute(SCHEMA).await.expect("a schema");
        Self {
            site,
            database,
            client,
            sent: 0,
            batch_max: 10,
        }
    }

    async fn hire(&self) -> Process {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command
            .args([CHILD, "--exact", "--ignored", "--nocapture"])
            .env("TEST_STORE_URL", &self.site.url)
            .env("TEST_BATCH_MAX", self.batch_max.to_string())
            .env("TEST_SINK_URL", self.database.url());
        let process = Process::spawn(&command).expect("a child");
        let working = process
            .wait_for_line(|line| line.contains("working"), DEADLINE)
            .await;
        working.expect("the child works");
        process
    }

    async fn send(&mut self, count: u64) {
        for partition in 0..PARTITIONS {
            let key = partition.to_string();
            self.site
                .send(partition, &key, self.sent..self.sent + count)
                .await;
        }
        self.sent += count;
    }

    async fn effects(&self) -> i64 {
        let row = self
            .client
            .query_one("SELECT count(*) FROM effect", &[])
            .await;
        row.expect("a count").get(0)
    }

    /// Waits until at most this many of the events that were sent are left.
    async fn left(&self, count: u64) {
        let all = self.sent * u64::from(PARTITIONS);
        let done = number(all.saturating_sub(count));
        let waiting = poll_until(DEADLINE, async || self.effects().await >= done);
        waiting.await.expect("work goes on");
    }

    /// Every effect is there once, and in the order of its partition. Says how often the fence
    /// was needed.
    async fn assert_once_and_in_order(&self, what: &str) -> i64 {
        self.site.drained(PARTITIONS).await;
        let rows = self
            .client
            .query("SELECT partition, number FROM effect ORDER BY at", &[]);
        let rows = rows.await.expect("effects");
        for partition in 0..i64::from(PARTITIONS) {
            let numbers = rows.iter().filter(|row| row.get::<_, i64>(0) == partition);
            let numbers: Vec<i64> = numbers.map(|row| row.get(1)).collect();
            let expected: Vec<i64> = (0..number(self.sent)).collect();
            assert_eq!(numbers, expected, "{what}: partition {partition}");
        }
        let repeated = self
            .client
            .query_one("SELECT sum(repeated)::BIGINT FROM position", &[]);
        let repeated: i64 = repeated.await.expect("a sum").get(0);
        println!(
            "{what}: {repeated} of {} events were handed out again",
            rows.len()
        );
        repeated
    }
}

pub(crate) async fn killed_workers_lose_nothing_and_repeat_nothing_behind_a_fence(site: Site) {
    let mut scene = Scene::new(site).await;
    scene.send(100).await;
    let mut workers = vec![scene.hire().await, scene.hire().await];
    for _ in 0..3 {
        scene.left(600).await;
        workers.remove(0).kill().expect("killed");
        scene.send(100).await;
        workers.push(scene.hire().await);
    }
    scene.assert_once_and_in_order("after three kills").await;
}

pub(crate) async fn workers_that_come_and_go_in_order_repeat_nothing(site: Site) {
    let mut scene = Scene::new(site).await;
    scene.batch_max = 100;
    let mut workers = vec![scene.hire().await];
    let (rounds, count) = (10, 1_250);
    for round in 0..rounds {
        scene.send(count).await;
        // From one worker to four, and from four to two, while events flow.
        match round {
            2..=4 => workers.push(scene.hire().await),
            6..=7 => {
                let mut leaver = workers.remove(0);
                let ended = leaver.terminate(DEADLINE).await.expect("it ends");
                assert!(ended.success(), "{:?}", leaver.stderr());
            }
            _ => {}
        }
        scene.left(5_000).await;
    }
    let repeated = scene
        .assert_once_and_in_order("from one to four to two")
        .await;
    assert_eq!(repeated, 0);
    // Each of those that are left has had its part.
    let epochs = scene
        .client
        .query_one("SELECT count(DISTINCT epoch) FROM effect", &[])
        .await;
    assert!(epochs.expect("a count").get::<_, i64>(0) > 1);
}

pub(crate) async fn a_process_that_was_stopped_does_no_harm_when_it_goes_on(site: Site) {
    let mut scene = Scene::new(site).await;
    scene.send(150).await;
    let mut zombie = scene.hire().await;
    scene.left(1_100).await;
    zombie.pause().expect("stopped");
    // Another one takes everything over, and goes beyond where the first one was.
    let _other = scene.hire().await;
    scene.send(50).await;
    scene.site.drained(PARTITIONS).await;
    zombie.resume().expect("continued");
    for _ in 0..5 {
        scene.send(20).await;
        scene.left(150).await;
    }
    scene.assert_once_and_in_order("after a stop").await;
    assert!(zombie.is_running().expect("known"), "{:?}", zombie.stderr());
}
