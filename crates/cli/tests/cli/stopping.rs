//! Stopping: the first signal ends the worker in order, the second one at once.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tidegate_testkit::Process;

use crate::program::Place;

const TABLES: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);";
/// Far more than any of this takes.
const DEADLINE: Duration = Duration::from_secs(30);
/// A worker that has nothing in flight stops within this.
const PROMPTLY: Duration = Duration::from_secs(5);

fn pid(process: &Process) -> Pid {
    Pid::from_raw(i32::try_from(process.id()).expect("a process id"))
}

async fn start(place: &Place, line: &str) -> Process {
    let process = Process::spawn(&place.command(line)).expect("the program");
    process
        .wait_for_line(|line| line.contains("draining"), DEADLINE)
        .await
        .expect("it starts");
    process
}

#[tokio::test]
async fn an_idle_worker_stops_promptly() {
    let place = Place::with_tables(TABLES);
    let mut worker = start(&place, "drain run").await;
    let asked = Instant::now();
    let status = worker.terminate(DEADLINE).await.expect("it stops");
    assert_eq!(status.code(), Some(0), "{:?}", worker.stderr());
    assert!(asked.elapsed() < PROMPTLY, "{:?}", asked.elapsed());
    assert!(worker.stdout().join("\n").contains("Applied 0 operations"));
}

#[tokio::test]
async fn a_busy_worker_finishes_its_batches_and_gives_its_shards_back() {
    let place = Place::with_tables(TABLES);
    let lines: String = (0..10_000)
        .map(|id| format!("{{\"op\":\"insert\",\"table\":\"item\",\"row\":{{\"id\":{id}}}}}\n"))
        .collect();
    place
        .run_fed("drain send -", lines.as_bytes())
        .succeeded("send");
    place.write("tidegate.toml", "[drain]\nbatch_max = 10\n");
    let mut worker = start(&place, "drain run --json").await;
    worker
        .wait_for_line(|line| line.contains("delays_ms"), DEADLINE)
        .await
        .expect("a batch");
    let status = worker.terminate(DEADLINE).await.expect("it stops");
    assert_eq!(status.code(), Some(0), "{:?}", worker.stderr());

    // Every batch that was told is in the table, and every row of the table was told.
    let told: u64 = worker
        .stdout()
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line))
        .filter_map(|line| line["applied"].as_u64())
        .sum();
    assert_eq!(
        i64::try_from(told).ok(),
        Some(place.number("SELECT count(*) FROM item"))
    );
    let status = place.json("drain status --json");
    let owners = status["shards"]
        .as_array()
        .expect("shards")
        .iter()
        .map(|shard| &shard["owner"]);
    assert!(
        owners.into_iter().all(serde_json::Value::is_null),
        "{status}"
    );
    assert_eq!(place.json("drain verify --json")["proved"], true);
    std::fs::remove_file(place.path("tidegate.toml")).expect("removed");
    place.done("drain run --once");
    assert_eq!(place.number("SELECT count(*) FROM item"), 10_000);
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let place = Place::with_tables(TABLES);
    place.write(
        "tidegate.toml",
        "[drain]\ngrace = \"5m\"\nlease_ttl = \"5m\"\n",
    );
    let mut worker = start(&place, "drain run").await;
    // With the database locked by somebody else the worker can't give anything back.
    let database = place.database();
    database.execute_batch("BEGIN EXCLUSIVE").expect("a lock");
    kill(pid(&worker), Signal::SIGINT).expect("a signal");
    worker
        .wait_for_line(|line| line.contains("stopping"), DEADLINE)
        .await
        .expect("it hears");
    let asked = Instant::now();
    kill(pid(&worker), Signal::SIGINT).expect("a signal");
    let status = worker.wait(DEADLINE).await.expect("it stops");
    assert_eq!(status.code(), Some(130), "{:?}", worker.stderr());
    assert!(asked.elapsed() < PROMPTLY, "{:?}", asked.elapsed());
}
