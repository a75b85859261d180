//! What the tests of whole paths share: servers, a database with tables, workers as processes, and
//! a load with its own model of what the tables must hold in the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tidegate_testkit::{PostgresServer, Process, RedisServer};

/// Long enough for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Tables that both databases understand.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE account (id BIGINT PRIMARY KEY, name TEXT NOT NULL, balance BIGINT NOT NULL,
        is_open BOOLEAN NOT NULL, opened_at TIMESTAMPTZ NOT NULL);
    CREATE TABLE history (account BIGINT NOT NULL, step BIGINT NOT NULL, note VARCHAR(40));";

/// Where a run of `tidegate` finds its servers.
pub(crate) struct Target {
    pub(crate) store_url: String,
    pub(crate) sink_url: String,
    pub(crate) dir: tempfile::TempDir,
}

impl Target {
    pub(crate) fn new(store_url: impl Into<String>, sink_url: impl Into<String>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self {
            store_url: store_url.into(),
            sink_url: sink_url.into(),
            dir,
        }
    }

    /// Store and sink in one file, with the tables created.
    pub(crate) fn embedded() -> (Self, rusqlite::Connection) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("all.sqlite");
        let tables = rusqlite::Connection::open(&path).expect("a file");
        tables.execute_batch(SCHEMA).expect("tables");
        let url = format!("sqlite://{}", path.display());
        (
            Self {
                store_url: url.clone(),
                sink_url: url,
                dir,
            },
            tables,
        )
    }

    /// `tidegate` with these arguments, small batches and short leases.
    pub(crate) fn tidegate(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env("TIDEGATE__STORE__URL", &self.store_url)
            .env("TIDEGATE__SINK__URL", &self.sink_url)
            .env("TIDEGATE__DRAIN__PARTITIONS", "8")
            .env("TIDEGATE__DRAIN__BATCH_MAX", "50")
            .env("TIDEGATE__DRAIN__LEASE_TTL", "500ms");
        command
    }

    /// Runs `tidegate` to its end, which must be a success.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let output = self.tidegate(arguments).output().expect("tidegate runs");
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    /// A worker that drains until it is told to stop.
    pub(crate) fn worker(&self) -> Process {
        Process::spawn(&self.tidegate(&["drain", "run", "--json"])).expect("a worker")
    }

    /// Writes lines to a file and sends it.
    pub(crate) fn send(&self, lines: &[String]) {
        let path = self.file("operations.jsonl", lines);
        self.run(&["drain", "send", path.to_str().expect("a path")]);
    }

    pub(crate) fn file(&self, name: &str, lines: &[String]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, lines.join("\n")).expect("a file");
        path
    }

    /// Drains what is left, and lets `tidegate` prove the sums.
    pub(crate) fn finish(&self) {
        self.run(&["drain", "run", "--once"]);
        self.run(&["drain", "verify"]);
    }
}

/// Redis that keeps what it has acknowledged, a database on a PostgreSQL server, and a client.
pub(crate) struct Servers {
    pub(crate) redis: RedisServer,
    pub(crate) postgres: PostgresServer,
    pub(crate) database_url: String,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        let redis = RedisServer::builder()
            .aof(true)
            .start()
            .await
            .expect("Redis");
        let postgres = PostgresServer::start().await.expect("PostgreSQL");
        let database = postgres.create_database().await.expect("a database");
        let this = Self {
            redis,
            postgres,
            database_url: database.url(),
        };
        this.client()
            .await
            .batch_execute(SCHEMA)
            .await
            .expect("tables");
        this
    }

    pub(crate) fn target(&self) -> Target {
        Target::new(self.redis.url(), &self.database_url)
    }

    pub(crate) async fn client(&self) -> tokio_postgres::Client {
        connect(&self.database_url).await
    }
}

pub(crate) async fn connect(url: &str) -> tokio_postgres::Client {
    tidegate_testkit::postgres_client(url)
        .await
        .expect("a connection")
}

/// A load of changes, and what the tables must hold once all of it is drained. The model is fed
/// by the generator, never by what the drain reads.
#[derive(Default)]
pub(crate) struct Load {
    /// By id: name, balance, whether it is open.
    pub(crate) accounts: BTreeMap<i64, (String, i64, bool)>,
    /// Every step of every account, once.
    pub(crate) history: Vec<(i64, i64)>,
    steps: BTreeMap<i64, i64>,
    next_id: i64,
}

impl Load {
    /// The next `count` operations.
    pub(crate) fn next(&mut self, random: &mut StdRng, count: usize) -> Vec<String> {
        (0..count).map(|_| self.step(random)).collect()
    }

    fn step(&mut self, random: &mut StdRng) -> String {
        let known: Vec<i64> = self.accounts.keys().copied().collect();
        let picked = if known.is_empty() {
            0
        } else {
            random.random_range(0..known.len())
        };
        let id = known.get(picked).copied();
        match (random.random_range(0..10), id) {
            (0..4, _) | (_, None) => self.open(),
            (4, Some(id)) => {
                self.accounts.remove(&id);
                format!(r#"{{"op":"delete","table":"account","key":{{"id":{id}}}}}"#)
            }
            (5, Some(id)) => {
                if let Some(account) = self.accounts.get_mut(&id) {
                    account.2 = !account.2;
                }
                let is_open = self.accounts.get(&id).is_some_and(|account| account.2);
                format!(
                    r#"{{"op":"update","table":"account","key":{{"id":{id}}},"set":{{"is_open":{is_open}}}}}"#
                )
            }
            (_, Some(id)) => self.move_balance(id),
        }
    }

    fn open(&mut self) -> String {
        self.next_id += 1;
        let (id, name) = (self.next_id, format!("Zoë \\\"{}\\\"", self.next_id));
        self.accounts.insert(id, (format!("Zoë \"{id}\""), 0, true));
        format!(
            r#"{{"op":"insert","table":"account","row":{{"id":{id},"name":"{name}","balance":0,"is_open":true,"opened_at":"2026-11-21T10:00:00.25+01:00"}}}}"#
        )
    }

    /// One transaction: the balance, and a line of history without a key.
    fn move_balance(&mut self, id: i64) -> String {
        let step = self
            .steps
            .entry(id)
            .and_modify(|step| *step += 1)
            .or_insert(1);
        let balance = *step * 100;
        self.history.push((id, *step));
        if let Some(account) = self.accounts.get_mut(&id) {
            account.1 = balance;
        }
        format!(
            r#"{{"op":"transaction","partition_key":"{id}","operations":[{{"op":"update","table":"account","key":{{"id":{id}}},"set":{{"balance":{balance}}}}},{{"op":"insert","table":"history","row":{{"account":{id},"step":{step}}}}}]}}"#
        )
    }

    /// The tables hold what they must, no more and no less.
    pub(crate) async fn assert_equal(&mut self, client: &tokio_postgres::Client) {
        let rows = client
            .query(
                "SELECT id, name, balance, is_open FROM account ORDER BY id",
                &[],
            )
            .await
            .expect("rows");
        let found: BTreeMap<i64, (String, i64, bool)> = rows
            .iter()
            .map(|r| (r.get(0), (r.get(1), r.get(2), r.get(3))))
            .collect();
        assert_eq!(found, self.accounts, "the accounts differ");
        let rows = client
            .query(
                "SELECT account, step FROM history ORDER BY account, step",
                &[],
            )
            .await
            .expect("rows");
        let found: Vec<(i64, i64)> = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
        self.history.sort_unstable();
        assert_eq!(
            found, self.history,
            "the history differs: lost or doubled operations"
        );
    }
}

/// A generator whose seed is printed, so that a failure can be seen again.
pub(crate) fn seeded(seed: u64) -> StdRng {
    eprintln!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

/// How many lines of a process's log contain `text`.
pub(crate) fn said(process: &Process, text: &str) -> usize {
    process
        .stderr()
        .iter()
        .filter(|line| line.contains(text))
        .count()
}

/// The folder of the PostgreSQL programs.
pub(crate) fn postgres_program(name: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.path().join("bin"))
                .collect()
        })
        .unwrap_or_default();
    folders.sort();
    let found = folders
        .into_iter()
        .rev()
        .map(|folder| folder.join(name))
        .find(|p| p.exists());
    found.unwrap_or_else(|| Path::new(name).to_owned())
}
