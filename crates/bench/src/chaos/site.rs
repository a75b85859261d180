//! The site: the servers, the networks in front of them, and the workers.
//!
//! ```text
//! producer ──────────────────────── proxy ──▶ Redis (and at times a replica)
//! workers: `tidegate drain run` ──┬ proxy ──▶   "
//!                                 └ proxy ──▶ PostgreSQL ◀── the comparison
//! ```
//!
//! The proxies' ports stay the same whatever happens behind them, as an address that a failover
//! moves does. If this process dies, servers and workers die with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tidegate_testkit::{Database, FaultProxy, PostgresServer, Process, RedisServer};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::load::SHARDS;
use super::plan::{Link, WORKERS};
use crate::error::{Error, Result};
use crate::servers::connect;

/// The stream's name.
pub(super) const STREAM: &str = "CHAOS";
/// Short, so that a killed worker's shards are soon taken over; a freeze may outlast it.
const LEASE_TTL: &str = "1s";
/// Small, so that a fault mostly finds several batches to come.
const BATCH_MAX: &str = "100";
/// Longer than all that can happen in a round: a posting's account always comes.
const PARENT_WAIT: &str = "600s";
/// How often it is looked whether each worker still runs.
const WATCH_PAUSE: Duration = Duration::from_millis(100);
/// How long a worker may take to end when it is asked to.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// What a worker logs once it has reached both servers.
const STARTED: &str = "draining";

/// The tables of the load. Each change of two of them is noted by a trigger, in the transaction that
/// makes it and in its order. The history has no key: what is doubled must be seen.
const TABLES: &str = "
    CREATE TABLE account (id BIGINT PRIMARY KEY, version BIGINT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount >= 0), note VARCHAR(40));
    CREATE TABLE posting (id BIGINT PRIMARY KEY, version BIGINT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount >= 0), note VARCHAR(40),
        parent BIGINT NOT NULL REFERENCES account);
    CREATE TABLE wallet (id BIGINT PRIMARY KEY, version BIGINT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount >= 0), note VARCHAR(40));
    CREATE TABLE history (operation BIGINT NOT NULL, wallet BIGINT NOT NULL,
        version BIGINT NOT NULL);
    CREATE TABLE marker (id BIGINT PRIMARY KEY, round BIGINT NOT NULL);
    CREATE TABLE noted (position BIGSERIAL PRIMARY KEY, of TEXT NOT NULL, id BIGINT NOT NULL,
        verb TEXT NOT NULL, version BIGINT NOT NULL);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO noted (of, id, verb, version) VALUES (TG_TABLE_NAME,
            coalesce(NEW.id, OLD.id), left(TG_OP, 1), coalesce(NEW.version, OLD.version));
        RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON account
        FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON posting
        FOR EACH ROW EXECUTE FUNCTION note();";
/// Empties the tables of the load; what the drain itself keeps stays.
const EMPTY: &str = "TRUNCATE account, posting, wallet, history, marker, noted";

/// Servers, networks and workers.
pub(super) struct Site {
    pub(super) redis: Mutex<RedisServer>,
    pub(super) postgres: Mutex<PostgresServer>,
    pub(super) workers: Vec<Mutex<Worker>>,
    /// Between the producer and Redis.
    pub(super) producer_link: FaultProxy,
    redis_link: FaultProxy,
    postgres_link: FaultProxy,
    database: Database,
    program: PathBuf,
    dir: PathBuf,
}

/// One of the workers: a process, and the next one when it is gone.
pub(super) struct Worker {
    number: usize,
    starts: u32,
    process: Option<Process>,
}

impl Site {
    /// Starts everything; the workers write their logs into `dir`.
    pub(super) async fn start(program: PathBuf, dir: &Path) -> Result<Self> {
        let redis = RedisServer::builder().aof(true).start().await?;
        let postgres = PostgresServer::start().await?;
        let database = postgres.create_database().await?;
        connect(&database.url())
            .await?
            .batch_execute(TABLES)
            .await?;
        let site = Self {
            producer_link: FaultProxy::start(redis.port()).await?,
            redis_link: FaultProxy::start(redis.port()).await?,
            postgres_link: FaultProxy::start(postgres.port()).await?,
            redis: Mutex::new(redis),
            postgres: Mutex::new(postgres),
            workers: (0..WORKERS)
                .map(|number| Mutex::new(Worker::new(number)))
                .collect(),
            database,
            program,
            dir: dir.to_owned(),
        };
        for worker in &site.workers {
            worker.lock().await.start(&site)?;
        }
        Ok(site)
    }

    /// A connection to the tables, past the network.
    pub(super) async fn tables(&self) -> Result<tokio_postgres::Client> {
        connect(&self.database.url()).await
    }

    /// Empties the tables of the load.
    pub(super) async fn empty_tables(&self) -> Result<()> {
        Ok(self.tables().await?.batch_execute(EMPTY).await?)
    }

    /// The network in front of a server.
    pub(super) fn link(&self, link: Link) -> &FaultProxy {
        match link {
            Link::Redis => &self.redis_link,
            Link::Postgres => &self.postgres_link,
        }
    }

    /// From now on another Redis answers.
    pub(super) fn point_to_redis(&self, port: u16) {
        self.producer_link.point_to(port);
        self.redis_link.point_to(port);
    }

    /// Runs a command of `tidegate` to its end, past the network, while nothing is in its way.
    pub(super) async fn ask(&self, arguments: &[&str]) -> Result<Output> {
        let redis_url = self.redis.lock().await.url();
        let mut command = self.tidegate(arguments, &redis_url, &self.database.url());
        let run = tokio::task::spawn_blocking(move || command.output());
        run.await?.map_err(Error::system("starting tidegate"))
    }

    /// Starts a worker again that has ended where none of the servers could be reached; returns
    /// only when one has ended for no such reason.
    pub(super) async fn watch(&self) -> Error {
        loop {
            for worker in &self.workers {
                // Who holds the lock knows why it does not run.
                let Ok(mut worker) = worker.try_lock() else {
                    continue;
                };
                if let Err(error) = worker.keep_running(self).await {
                    return error;
                }
            }
            sleep(WATCH_PAUSE).await;
        }
    }

    /// Ends the workers in order.
    pub(super) async fn stop_workers(&self) -> Result<()> {
        for worker in &self.workers {
            worker.lock().await.stop(self).await?;
        }
        Ok(())
    }

    /// Writes down what the workers have logged.
    pub(super) async fn save_logs(&self) -> Result<()> {
        for worker in &self.workers {
            worker.lock().await.save_log(&self.dir)?;
        }
        Ok(())
    }

    fn tidegate(&self, arguments: &[&str], redis_url: &str, postgres_url: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(&self.dir)
            .env("TIDEGATE__STORE__URL", redis_url)
            .env("TIDEGATE__SINK__URL", postgres_url)
            .env("TIDEGATE__DRAIN__STREAM", STREAM)
            .env("TIDEGATE__DRAIN__PARTITIONS", SHARDS.to_string())
            .env("TIDEGATE__DRAIN__BATCH_MAX", BATCH_MAX)
            .env("TIDEGATE__DRAIN__LEASE_TTL", LEASE_TTL)
            .env("TIDEGATE__DRAIN__PARENT_WAIT", PARENT_WAIT);
        command
    }

    fn worker_command(&self) -> Command {
        let redis_url = format!("redis://127.0.0.1:{}", self.redis_link.port());
        let (port, name) = (self.postgres_link.port(), self.database.name());
        let postgres_url = format!("postgres://postgres@127.0.0.1:{port}/{name}");
        self.tidegate(&["drain", "run"], &redis_url, &postgres_url)
    }
}

impl Worker {
    fn new(number: usize) -> Self {
        Self {
            number,
            starts: 0,
            process: None,
        }
    }

    /// Starts the next process.
    pub(super) fn start(&mut self, site: &Site) -> Result<()> {
        self.process = Some(Process::spawn(&site.worker_command())?);
        self.starts += 1;
        Ok(())
    }

    /// Kills the process, if there is one.
    pub(super) async fn kill(&mut self, site: &Site) -> Result<()> {
        if let Some(process) = &mut self.process {
            process.kill()?;
            process.wait(STOP_WITHIN).await?;
        }
        self.save_log(&site.dir)?;
        self.process = None;
        Ok(())
    }

    /// Freezes the process for a while; it is no error if it has ended.
    pub(super) async fn freeze(&mut self, time: Duration) -> Result<()> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        if !process.is_running()? {
            return Ok(());
        }
        process.pause()?;
        sleep(time).await;
        Ok(process.resume()?)
    }

    async fn keep_running(&mut self, site: &Site) -> Result<()> {
        let Some(process) = &mut self.process else {
            return self.start(site);
        };
        if process.is_running()? {
            return Ok(());
        }
        let status = process.wait(STOP_WITHIN).await?;
        let log = process.stderr();
        self.save_log(&site.dir)?;
        // Before it has reached the servers it may end: whoever starts it sees why and tries again.
        if log.iter().any(|line| line.contains(STARTED)) {
            let last = log.iter().rev().take(5).rev().cloned().collect::<Vec<_>>();
            return Err(Error::Unexpected(format!(
                "worker {} has ended by itself ({status}): {}",
                self.number,
                last.join("\n")
            )));
        }
        self.start(site)
    }

    async fn stop(&mut self, site: &Site) -> Result<()> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let status = process.terminate(STOP_WITHIN).await?;
        self.save_log(&site.dir)?;
        self.process = None;
        match status.success() {
            true => Ok(()),
            false => Err(Error::Unexpected(format!(
                "worker {} did not stop well: {status}",
                self.number
            ))),
        }
    }

    fn save_log(&self, dir: &Path) -> Result<()> {
        let Some(process) = &self.process else {
            return Ok(());
        };
        let path = dir.join(format!("worker-{}-{}.log", self.number, self.starts));
        let mut text = process.stderr().join("\n");
        text.push('\n');
        std::fs::write(path, text).map_err(Error::system("writing a worker's log"))
    }
}
