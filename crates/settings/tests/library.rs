//! The drain as a library: the example `drainer`, run as its users would run it.

#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that isn't as it claims"
)]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tidegate_testkit::{Process, RedisServer, poll_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const DEADLINE: Duration = Duration::from_secs(60);

/// The example's program, which is built with the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own program");
    let folder = test.ancestors().nth(2).expect("the target's folder");
    folder.join("examples/drainer")
}

fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("tidegate.sqlite");
    let database = rusqlite::Connection::open(file).expect("a database");
    let tables = "CREATE TABLE service (id INTEGER PRIMARY KEY, name TEXT)";
    database.execute_batch(tables).expect("a table");
    folder
}

fn command(folder: &TempDir, settings: &str) -> Command {
    std::fs::write(folder.path().join("t.toml"), settings).expect("a file");
    let mut command = Command::new(program());
    command.arg("t.toml").current_dir(folder.path());
    command.env("TIDEGATE__CONSOLE__LISTEN", "127.0.0.1:0");
    command
}

async fn address(process: &Process) -> String {
    let line = process.wait_for_line(|line| line.starts_with("listening on "), DEADLINE);
    let line = line.await.expect("an address");
    line.trim_start_matches("listening on ").to_owned()
}

async fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn the_example_executes_drains_tells_how_it_goes_and_stops_in_order() {
    let folder = folder();
    let mut process = Process::spawn(&command(&folder, "")).expect("the example");
    let address = address(&process).await;
    process
        .wait_for_line(|line| line.contains("Applied"), DEADLINE)
        .await
        .expect("the operation is executed");
    let database = rusqlite::Connection::open(folder.path().join("tidegate.sqlite"));
    let name = database.expect("the database").query_row(
        "SELECT name FROM service WHERE id = 1",
        [],
        |row| row.get::<_, String>(0),
    );
    assert_eq!(name.expect("the row"), "drainer");
    poll_until(DEADLINE, async || {
        let answer = get(&address, "/health/ready").await.unwrap_or_default();
        answer.ends_with(r#"{"database":true,"redis":true}"#)
    })
    .await
    .expect("it becomes ready");
    let metrics = get(&address, "/metrics").await.expect("metrics");
    assert!(metrics.contains("tidegate_drain_shards_owned"), "{metrics}");
    let status = process.terminate(DEADLINE).await.expect("it stops");
    assert!(status.success(), "{:?}", process.stderr());
    assert_eq!(process.stdout().last().map(String::as_str), Some("stopped"));
}

#[tokio::test]
async fn a_lost_store_is_waited_for_unless_it_is_to_end_the_process() {
    let mut redis = RedisServer::start().await.expect("redis");
    let (waiting, ending) = (folder(), folder());
    let settings = |choice: &str| {
        format!(
            "[store]\nurl = \"{}\"\n[drain]\npartitions = 2\nlease_ttl = \"500ms\"\n\
             grace = \"1s\"\non_store_lost = \"{choice}\"\n",
            redis.url()
        )
    };
    let mut waiting = Process::spawn(&command(&waiting, &settings("wait"))).expect("one");
    let mut ending = Process::spawn(&command(&ending, &settings("shut_down"))).expect("another");
    let address = address(&waiting).await;
    for process in [&waiting, &ending] {
        let line = process.wait_for_line(|line| line.contains("draining"), DEADLINE);
        line.await.expect("it drains");
    }
    redis.stop().await.expect("redis stops");
    let status = ending.wait(DEADLINE).await.expect("it ends by itself");
    assert_eq!(status.code(), Some(1), "{:?}", ending.stderr());
    assert!(waiting.is_running().expect("a process"));
    let away = get(&address, "/health/ready").await.expect("an answer");
    assert!(away.starts_with("HTTP/1.1 503 "), "{away}");
    assert!(away.contains(r#""database":true,"redis":false"#), "{away}");
    redis.restart().await.expect("redis is back");
    poll_until(DEADLINE, async || {
        let answer = get(&address, "/health/ready").await.unwrap_or_default();
        answer.starts_with("HTTP/1.1 200 ")
    })
    .await
    .expect("it is ready again");
    let status = waiting.terminate(DEADLINE).await.expect("it stops");
    assert!(status.success(), "{:?}", waiting.stderr());
}
