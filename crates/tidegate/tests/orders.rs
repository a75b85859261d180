//! The example `orders` as its users run it: a process with a command line, on the embedded store
//! and on Redis.

#![cfg(test)]
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidegate_testkit::{Process, RedisServer, poll_until};

const DEADLINE: Duration = Duration::from_secs(60);

/// The example's program, which is built with the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own program");
    let folder = test.ancestors().nth(2).expect("the target's folder");
    folder.join("examples/orders")
}

struct Shop {
    directory: TempDir,
    store_url: Option<String>,
}

impl Shop {
    fn new(store_url: Option<String>) -> Self {
        let directory = TempDir::new().expect("a folder");
        Self {
            directory,
            store_url,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.path());
        match &self.store_url {
            Some(url) => command.env("TIDEGATE__STORE__URL", url),
            None => command.env_remove("TIDEGATE__STORE__URL"),
        };
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it runs")
    }

    fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().expect("JSON lines")
    }

    /// Entries not yet acknowledged.
    fn open(&self) -> u64 {
        let rows = self.lines(&["stream", "info", "orders", "--json"]);
        let count = |row: &Value| row["waiting"].as_u64().zip(row["pending"].as_u64());
        let open = rows.iter().filter_map(count);
        open.map(|(waiting, pending)| waiting + pending).sum()
    }
}

async fn settles_sends_again_and_forgets(shop: Shop) {
    let mut worker = Process::spawn(&shop.command(&[])).expect("a worker");
    poll_until(DEADLINE, async || {
        shop.lines(&["stream", "list", "--json"])[0]["entries"] == 1_000 && shop.open() == 0
    })
    .await
    .expect("the orders are settled");

    // Three orders have a negative amount: each is a dead letter, and its neighbours are settled.
    let letters = shop.lines(&["stream", "dead", "list", "orders", "--json"]);
    assert_eq!(letters.len(), 3, "{letters:?}");
    let reason = letters[0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("negative amount"), "{reason}");

    // Sent again, it fails again.
    let id = letters[0]["id"].as_str().expect("an id");
    let retried = shop.lines(&["stream", "dead", "retry", "orders", id, "--json"]);
    assert_eq!(retried[0]["retried"], 1);
    poll_until(DEADLINE, async || {
        let letters = shop.lines(&["stream", "dead", "list", "orders", "--json"]);
        letters.len() == 3 && letters.iter().all(|letter| letter["id"] != id)
    })
    .await
    .expect("it is a dead letter again");
    let discarded = shop.lines(&["stream", "dead", "discard", "orders", "--all", "--json"]);
    assert_eq!(discarded[0]["discarded"], 3);
    assert!(
        shop.lines(&["stream", "dead", "list", "orders", "--json"])
            .is_empty()
    );

    let status = worker.terminate(DEADLINE).await.expect("an end");
    assert!(status.success(), "{status:?}: {:?}", worker.stderr());
    let rows = shop.lines(&["stream", "info", "orders", "--json"]);
    assert!(rows.iter().all(|row| row["state"] == "free"), "{rows:?}");
}

#[tokio::test]
async fn a_worker_tells_over_http_how_it_goes() {
    let shop = Shop::new(None);
    let refused = shop.run(&["worker", "--listen", "0.0.0.0:0"]);
    let complained = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{complained}");
    assert!(complained.contains("needs a token"), "{complained}");

    let lines: String = (0..20)
        .map(|id| format!("{{\"order_id\":{id},\"amount\":5}}\n"))
        .collect();
    std::fs::write(shop.path().join("orders.jsonl"), lines).expect("written");
    let sent = shop.run(&["sendmany", "orders", "orders.jsonl"]);
    assert!(sent.status.success(), "{sent:?}");
    let worker = shop.command(&["worker", "--listen", "127.0.0.1:0"]);
    let mut worker = Process::spawn(&worker).expect("a worker");
    let line = worker.wait_for_line(|line| line.contains("the console answers"), DEADLINE);
    let line = line.await.expect("an address");
    let (_, address) = line.rsplit_once("address=").expect("an address");
    let get = |path: &str| {
        let mut stream = TcpStream::connect(address.trim()).expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    poll_until(DEADLINE, async || {
        let metrics = get("/metrics");
        let processed = metrics.lines().filter_map(|line| {
            let counted = line.strip_prefix("tidegate_streams_events_processed_total{")?;
            counted.rsplit_once(' ')?.1.parse::<u64>().ok()
        });
        processed.sum::<u64>() == 20
    })
    .await
    .expect("the orders are counted");
    assert!(get("/health/ready").ends_with(r#"{"store":true}"#));
    let status = worker.terminate(DEADLINE).await.expect("an end");
    assert!(status.success(), "{status:?}: {:?}", worker.stderr());
}

#[tokio::test]
async fn the_example_runs_on_the_embedded_store() {
    settles_sends_again_and_forgets(Shop::new(None)).await;
}

#[tokio::test]
async fn the_example_runs_unchanged_on_redis() {
    let server = RedisServer::start().await.expect("Redis");
    settles_sends_again_and_forgets(Shop::new(Some(server.url()))).await;
}

#[tokio::test]
async fn a_file_is_sent_line_by_line_and_bad_lines_are_named() {
    let shop = Shop::new(None);
    let file = shop.path().join("orders.jsonl");
    let lines =
        "{\"order_id\":1,\"amount\":5}\n\n{\"order_id\":\"x\"}\n{\"order_id\":2,\"amount\":7}\n";
    std::fs::write(&file, lines).expect("written");
    let output = shop.run(&["sendmany", "orders", "orders.jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(said.contains("sent 2 records"), "{said}");
    assert!(complained.contains("line 3:"), "{complained}");
    assert_eq!(shop.open(), 2);
}

#[tokio::test]
async fn a_reset_hands_everything_out_again() {
    let shop = Shop::new(None);
    let sent = shop.run(&["send", "orders", "{\"order_id\":1,\"amount\":5}"]);
    assert!(sent.status.success(), "{sent:?}");
    let skipped = shop.run(&["processor", "reset", "settle", "--start", "$"]);
    assert!(skipped.status.success(), "{skipped:?}");
    assert_eq!(shop.open(), 0);
    let again = shop.run(&["processor", "reset", "settle", "--start", "0"]);
    assert!(again.status.success(), "{again:?}");
    assert_eq!(shop.open(), 1);
}

#[tokio::test]
async fn an_unknown_name_is_answered_with_the_known_ones() {
    let shop = Shop::new(None);
    for arguments in [
        ["send", "order", "{}"].as_slice(),
        &["worker", "--processors", "setle"],
        &["processor", "held", "setle"],
    ] {
        let output = shop.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(complained.contains("it has: "), "{complained}");
    }
}

/// A file with orders of so many ids.
fn orders(shop: &Shop, count: u32) -> String {
    let line = |id| format!("{{\"order_id\":{id},\"amount\":5}}\n");
    let lines: String = (1..=count).map(line).collect();
    std::fs::write(shop.path().join("orders.jsonl"), lines).expect("written");
    "orders.jsonl".to_owned()
}

fn steps(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .filter_map(|line| line["step"].as_str())
        .collect()
}

#[tokio::test]
async fn a_stream_gets_other_partitions_while_it_is_used() {
    let server = RedisServer::start().await.expect("Redis");
    for shop in [Shop::new(None), Shop::new(Some(server.url()))] {
        let file = orders(&shop, 200);
        let send = || shop.lines(&["sendmany", "orders", &file, "--json"]);
        send();
        // Without a worker the old partitions stay as they are: the command is killed meanwhile.
        let change = |partitions| {
            [
                "stream",
                "repartition",
                "orders",
                "--partitions",
                partitions,
            ]
        };
        let begun = [change("4").as_slice(), &["--json"]].concat();
        let mut command = Process::spawn(&shop.command(&begun)).expect("a command");
        let waits = command.wait_for_line(|line| line.contains("catching up"), DEADLINE);
        waits.await.expect("it waits for the processors");
        command.kill().expect("killed");
        send();
        let mut worker = Process::spawn(&shop.command(&["worker"])).expect("a worker");
        poll_until(DEADLINE, async || shop.open() == 0)
            .await
            .expect("old and new orders are settled");

        let lines = shop.lines(&begun);
        assert_eq!(steps(&lines).first(), Some(&"unchanged"), "{lines:?}");
        assert_eq!(steps(&lines).last(), Some(&"done"), "{lines:?}");
        send();
        let lines = shop.lines(&[change("32").as_slice(), &["--json"]].concat());
        assert_eq!(lines[0]["before"], 4);
        assert_eq!(lines[0]["after"], 32);
        assert_eq!(steps(&lines).last(), Some(&"done"), "{lines:?}");
        send();
        poll_until(DEADLINE, async || shop.open() == 0)
            .await
            .expect("all orders are settled");
        let list = shop.lines(&["stream", "list", "--json"]);
        assert_eq!(list[0]["partitions"], 32);
        assert_eq!(
            shop.lines(&["stream", "info", "orders", "--json"]).len(),
            32
        );
        worker.terminate(DEADLINE).await.expect("an end");
    }
}

#[tokio::test]
async fn a_static_worker_keeps_its_partitions_over_a_restart() {
    let server = RedisServer::start().await.expect("Redis");
    let shop = Shop::new(Some(server.url()));
    let id = tidegate_store::WorkerId::named("node-1").to_string();
    let mut epochs = Vec::new();
    for _ in 0..2 {
        let arguments = ["worker", "--static-name", "node-1"];
        let mut worker = Process::spawn(&shop.command(&arguments)).expect("a worker");
        let mut rows = Vec::new();
        let owned = poll_until(DEADLINE, async || {
            rows = shop.lines(&["stream", "info", "orders", "--json"]);
            let epoch = |row: &Value| row["epoch"].as_u64();
            let is_new = |row: &Value| epoch(row) > epochs.last().copied();
            rows.iter().all(|row| row["owner"] == *id && is_new(row))
        });
        owned.await.expect("it owns all partitions");
        epochs.extend(rows.first().and_then(|row| row["epoch"].as_u64()));
        worker.terminate(DEADLINE).await.expect("an end");
        // They wait for it.
        rows = shop.lines(&["stream", "info", "orders", "--json"]);
        assert!(rows.iter().all(|row| row["owner"] == *id), "{rows:?}");
    }
    assert_eq!(epochs.len(), 2);
}
