//! What the tests share: servers, worker processes, and the effects that they left.

use std::collections::BTreeMap;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tidegate_store::task::{Counts, QueueName};
use tidegate_store::{StoreUrl, connect_tasks};
use tidegate_tasks::{TaskClient, once, outbox};
use tidegate_testkit::{
    Database, PostgresServer, Process, RedisServer, poll_until, postgres_client,
};

use crate::worker::{self, WORKING};

/// Long enough for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(120);

pub(crate) struct Site {
    pub(crate) redis: RedisServer,
    pub(crate) client: TaskClient,
    pub(crate) sink: tokio_postgres::Client,
    database: Database,
    _postgres: PostgresServer,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let redis = RedisServer::builder().aof(true).start().await.unwrap();
        let postgres = PostgresServer::builder()
            .fsync(false)
            .start()
            .await
            .unwrap();
        let database = postgres.create_database().await.unwrap();
        let sink = postgres_client(&database.url()).await.unwrap();
        let table = "CREATE TABLE effect (kind text NOT NULL, number bigint NOT NULL)";
        sink.batch_execute(table).await.unwrap();
        once::install(&sink).await.unwrap();
        outbox::install(&sink).await.unwrap();
        let url = StoreUrl::parse(&redis.url()).unwrap();
        let store = connect_tasks(&url).await.unwrap();
        Self {
            client: TaskClient::new(store, worker::APP).unwrap(),
            redis,
            sink,
            database,
            _postgres: postgres,
        }
    }

    /// A worker that has been started.
    pub(crate) fn start(&self, variables: &[(&str, &str)]) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["a_worker", "--exact", "--ignored", "--nocapture"])
            .env(worker::STORE, self.redis.url())
            .env(worker::SINK, self.database.url())
            .envs(variables.iter().copied());
        Process::spawn(&command).unwrap()
    }

    /// A worker, once it works.
    pub(crate) async fn hire(&self) -> Process {
        let process = self.start(&[]);
        let line = process.wait_for_line(|line| line.contains(WORKING), SOON);
        line.await.unwrap();
        process
    }

    /// The numbers that had an effect of this kind, with how often.
    pub(crate) async fn effects(&self, kind: &str) -> BTreeMap<i64, i64> {
        let sql = "SELECT number, count(*) FROM effect WHERE kind = $1 GROUP BY number";
        let rows = self.sink.query(sql, &[&kind]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    pub(crate) fn queue(&self) -> QueueName {
        self.client.queue("books").unwrap()
    }

    pub(crate) async fn counts(&self) -> Counts {
        let status = self.client.store().status(&self.queue()).await.unwrap();
        assert!(status.counts.is_balanced(), "{:?}", status.counts);
        status.counts
    }

    /// Waits until nothing waits and nothing runs.
    pub(crate) async fn settled(&self) -> Counts {
        let settled = poll_until(SOON, async || {
            let counts = self.counts().await;
            counts.waiting() + counts.running == 0
        })
        .await;
        let counts = self.counts().await;
        assert!(settled.is_ok(), "{counts:?}");
        counts
    }
}

/// Ends a worker as its supervisor would, which has to go well.
pub(crate) async fn stop(mut worker: Process) {
    let ended = worker.terminate(SOON).await;
    let good = ended.as_ref().is_ok_and(ExitStatus::success);
    let said = [worker.stdout(), worker.stderr()].concat();
    assert!(good, "{ended:?}: {said:#?}");
}

/// A generator whose seed is printed, so that a failure can be seen again.
pub(crate) fn seeded(seed: u64) -> StdRng {
    eprintln!("seed {seed}");
    StdRng::seed_from_u64(seed)
}
