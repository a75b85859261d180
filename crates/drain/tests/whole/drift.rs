//! Tables that change while a worker drains into them.

use std::sync::Arc;
use std::time::Duration;

use tidegate_drain::observer::Unobserved;
use tidegate_drain::{Options, Sink, Worker};
use tidegate_store::Store;
use tidegate_testkit::{PostgresServer, poll_until};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::support::{assert_proved, open_sink, open_store, options, send};

const WAIT: Duration = Duration::from_secs(30);
/// Enough for COPY.
const ROWS: u32 = 60;

struct Running {
    store: Arc<dyn Store>,
    sink: Arc<dyn Sink>,
    options: Options,
    client: Client,
    sent: u32,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Running {
    /// Sends rows with these values and waits until each is applied or a dead letter.
    async fn send(&mut self, values: impl Fn(u32) -> String) {
        let lines = (self.sent..self.sent + ROWS).map(|id| {
            format!(
                r#"{{"op":"insert","table":"t","partition_key":"a","row":{{"id":{id},{}}}}}"#,
                values(id)
            )
        });
        let lines: Vec<_> = lines.collect();
        send(&self.store, &*self.sink, &self.options, &lines).await;
        self.sent += ROWS;
        let settled = poll_until(WAIT, || async {
            let ledger = self
                .sink
                .ledger(&self.options.stream)
                .await
                .unwrap_or_default();
            ledger.iter().map(|row| row.applied + row.dead).sum::<u64>() == u64::from(self.sent)
        });
        settled.await.expect("settled");
    }

    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.expect(sql);
    }

    async fn number(&self, sql: &str) -> i64 {
        self.client.query_one(sql, &[]).await.expect(sql).get(0)
    }
}

type Task = tokio::task::JoinHandle<tidegate_drain::Result<()>>;

/// A worker that drains into an empty table.
async fn start() -> (Running, Task) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_store(&format!(
        "sqlite://{}",
        folder.path().join("s.sqlite").display()
    ))
    .await;
    let server = PostgresServer::shared().await.expect("PostgreSQL");
    let database = server.create_database().await.expect("a database");
    let client = tidegate_testkit::postgres_client(&database.url())
        .await
        .expect("a connection");
    let sink = open_sink(&database.url()).await;
    sink.prepare().await.expect("tables");
    let options = Options {
        batch_max: 1_000,
        ..options()
    };
    let stop = CancellationToken::new();
    let running = Running {
        store,
        sink,
        options,
        client,
        sent: 0,
        stop,
        _folder: folder,
    };
    running
        .run("CREATE TABLE t (id bigint PRIMARY KEY, amount bigint, note text)")
        .await;
    let worker = Worker::new(
        running.store.clone(),
        running.sink.clone(),
        running.options.clone(),
        Arc::new(Unobserved),
    );
    let task = tokio::spawn(worker.expect("valid").run(running.stop.clone()));
    (running, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_changes_while_it_is_drained_is_noticed() {
    let (mut running, task) = start().await;
    running
        .send(|id| format!(r#""amount":"{id}","note":"n""#))
        .await;

    // The same eight bytes mean something else from now on.
    running
        .run("ALTER TABLE t ALTER amount TYPE double precision")
        .await;
    running
        .send(|id| format!(r#""amount":"{id}","note":"n""#))
        .await;
    running.run("ALTER TABLE t ALTER amount TYPE text").await;
    running
        .send(|id| format!(r#""amount":"{id}","note":"n""#))
        .await;
    assert_eq!(
        running
            .number("SELECT count(*) FROM t WHERE amount::bigint = id")
            .await,
        180
    );

    running.run("ALTER TABLE t ADD COLUMN extra text").await;
    running.send(|id| format!(r#""extra":"{id}""#)).await;
    assert_eq!(
        running
            .number("SELECT count(*) FROM t WHERE extra = id::text")
            .await,
        60
    );

    running.run("ALTER TABLE t DROP COLUMN note").await;
    running
        .send(|id| match id % 2 {
            0 => r#""note":"n""#.to_owned(),
            _ => r#""extra":"x""#.to_owned(),
        })
        .await;
    assert_eq!(
        running
            .number("SELECT count(*) FROM t WHERE extra = 'x'")
            .await,
        30
    );
    let dead = "SELECT count(*) FROM tidegate.dead_letter WHERE code = 'unknown_column'";
    assert_eq!(running.number(dead).await, 30);
    assert_eq!(
        running
            .number("SELECT count(*) FROM tidegate.dead_letter")
            .await,
        30
    );
    running.stop.cancel();
    task.await.expect("no panic").expect("no error");
    assert_proved(&running.store, &*running.sink, &running.options).await;
}
