//! One Redis, Python's programs, and a worker of ours with the actors that Python's have.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tidegate_dramatiq::{Client, Worker, WorkerOptions};
use tidegate_store::RedisUrl;
use tidegate_store::dramatiq::{Broker, Options, QueueName};
use tidegate_testkit::{Process, RedisServer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::actors::{Notes, actors};

/// What a test waits for at most before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// The heartbeat's timeout where a test waits for a recovery.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(3);

const URL: &str = "REDIS_URL";
const HEARTBEAT_MS: &str = "HEARTBEAT_MS";

pub(crate) fn queue() -> QueueName {
    QueueName::new("default").expect("a name")
}

/// Python's program with these words.
pub(crate) fn python(words: &[&str]) -> Command {
    let program = tidegate_testkit::python().expect("the Python of `cargo xtask setup`");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/fleet.py");
    let mut command = Command::new(program);
    command.arg(script).args(words).env("PYTHONUTF8", "1");
    command
}

/// Runs a program to its end, and returns what it printed.
pub(crate) async fn run_to_its_end(command: &Command) -> Vec<String> {
    let mut process = Process::spawn(command).expect("it starts");
    let status = process.wait(DEADLINE).await.expect("it ends by itself");
    assert!(status.success(), "{status}: {:#?}", process.stderr());
    process.stdout()
}

/// A server, and how long its brokers may be silent.
pub(crate) struct Site {
    pub(crate) redis: RedisServer,
    heartbeat: Duration,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with_heartbeat(Duration::from_secs(60)).await
    }

    pub(crate) async fn with_heartbeat(heartbeat: Duration) -> Self {
        Self {
            redis: RedisServer::start().await.expect("a server"),
            heartbeat,
        }
    }

    pub(crate) fn python(&self, words: &[&str]) -> Command {
        let mut command = python(words);
        command.env(URL, self.redis.url());
        command.env(HEARTBEAT_MS, self.heartbeat.as_millis().to_string());
        command
    }

    /// Lets Python send a scenario, and returns what it says until it is done.
    pub(crate) async fn send(&self, scenario: &str) -> Vec<String> {
        run_to_its_end(&self.python(&["send", scenario])).await
    }

    /// A worker of Python's, when it works.
    pub(crate) async fn python_worker(&self, threads: u32) -> Process {
        let command = self.python(&["work", &threads.to_string()]);
        working(&command).await
    }

    pub(crate) async fn broker(&self) -> Arc<Broker> {
        broker(&self.redis.url(), self.heartbeat).await
    }

    pub(crate) async fn client(&self) -> Client {
        Client::new(self.broker().await)
    }

    /// A worker of ours in this process.
    pub(crate) async fn worker(&self, options: WorkerOptions) -> OurWorker {
        let notes = Notes::default();
        let worker = Worker::new(self.broker().await, actors(&notes), options);
        let stop = CancellationToken::new();
        let running = tokio::spawn(worker.run(stop.clone().cancelled_owned()));
        OurWorker {
            notes,
            stop,
            running,
        }
    }

    /// A worker of ours in a process of its own, when it works.
    pub(crate) async fn worker_process(&self) -> Process {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args(["a_worker", "--exact", "--ignored", "--nocapture"]);
        command.env(URL, self.redis.url());
        command.env(HEARTBEAT_MS, self.heartbeat.as_millis().to_string());
        working(&command).await
    }
}

async fn working(command: &Command) -> Process {
    let process = Process::spawn(command).expect("it starts");
    let begun = process.wait_for_line(|it| it.contains("working as"), DEADLINE);
    begun.await.expect("it works");
    process
}

async fn broker(url: &str, heartbeat_timeout: Duration) -> Arc<Broker> {
    let url = RedisUrl::parse(url).expect("a URL");
    let options = Options {
        heartbeat_timeout,
        ..Options::default()
    };
    Arc::new(Broker::connect(&url, options).await.expect("it connects"))
}

/// A worker of ours, and what its actors have noted.
pub(crate) struct OurWorker {
    pub(crate) notes: Notes,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl OurWorker {
    /// Stops it in order.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(DEADLINE, self.running).await;
        ended.expect("it stops").expect("without a panic");
    }
}

/// The body of a worker's process.
pub(crate) async fn work_as_a_process() {
    let Ok(url) = std::env::var(URL) else { return };
    let heartbeat_ms = std::env::var(HEARTBEAT_MS).expect("a time");
    let heartbeat = Duration::from_millis(heartbeat_ms.parse().expect("a number"));
    let broker = broker(&url, heartbeat).await;
    println!("working as {}", broker.id().as_str());
    let actors = actors(&Notes::default());
    Worker::new(broker, actors, WorkerOptions::default())
        .run(std::future::pending())
        .await;
}
