//! The console and the log: what a running drain tells, and to whom; and tenants.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tidegate_testkit::{Process, poll_until};

use crate::program::Place;

const TABLES: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);";
/// Far more than any of this takes.
const DEADLINE: Duration = Duration::from_secs(60);

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn log_line(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_default()
}

#[tokio::test]
async fn a_running_drain_tells_how_it_goes_and_its_log_names_dead_letters() {
    let place = Place::with_tables(TABLES);
    let lines = "{\"op\":\"insert\",\"table\":\"item\",\"row\":{\"id\":1,\"name\":\"secret\"}}\n\
                 {\"op\":\"insert\",\"table\":\"itme\",\"row\":{\"id\":2,\"name\":\"secret\"}}\n";
    place
        .run_fed("drain send -", lines.as_bytes())
        .succeeded("send");
    let line = "drain run --json --listen 127.0.0.1:0 --log-format json";
    let mut worker = Process::spawn(&place.command(line)).expect("the program");
    let said = worker
        .wait_for_line(|line| line.contains("the console answers"), DEADLINE)
        .await
        .expect("it listens");
    let address = log_line(&said)["address"]
        .as_str()
        .expect("an address")
        .to_owned();

    let applied = "tidegate_drain_entries_applied_total{";
    poll_until(DEADLINE, async || {
        let metrics = get(&address, "/metrics");
        let mut applied = metrics.lines().filter(|line| line.starts_with(applied));
        let dead = r#"entries_held_total{tenant="",stream="DRAINER_STREAM",state="dead"} 1"#;
        applied.any(|line| line.ends_with(" 1")) && metrics.contains(dead)
    })
    .await
    .expect("both are counted");
    assert!(get(&address, "/health").ends_with("health is good"));
    let ready = get(&address, "/health/ready");
    assert!(
        ready.ends_with(r#"{"database":true,"redis":true}"#),
        "{ready}"
    );

    let said = worker
        .wait_for_line(|line| line.contains("an entry is a dead letter"), DEADLINE)
        .await
        .expect("the log names it");
    let line = log_line(&said);
    for (field, expected) in [("code", "unknown_table"), ("stream", "DRAINER_STREAM")] {
        assert_eq!(line[field], expected, "{line}");
    }
    for field in ["request_id", "global_id", "entry"] {
        assert!(
            line[field].as_str().is_some_and(|id| !id.is_empty()),
            "{line}"
        );
    }

    let status = worker.terminate(DEADLINE).await.expect("it stops");
    assert_eq!(status.code(), Some(0), "{:?}", worker.stderr());
    assert!(!worker.stderr().concat().contains("secret"));
    let last = worker
        .stdout()
        .last()
        .map(|line| log_line(line))
        .expect("a summary");
    assert!(last["summary"]["shutdown_ms"].is_u64(), "{last}");
}

#[test]
fn a_console_for_everybody_needs_a_token() {
    let place = Place::with_tables(TABLES);
    let refused = place.run("drain run --once --listen 0.0.0.0:0");
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("console.token"), "{}", refused.err);
    let token = [("TIDEGATE__CONSOLE__TOKEN", "0123456789abcdef")];
    let allowed = place.run_with("drain run --once --listen 0.0.0.0:0", &token);
    assert_eq!(allowed.code, 0, "{}", allowed.err);
}

#[test]
fn tenants_are_drained_together_and_shown_one_by_one() {
    let place = Place::with_tables(TABLES);
    let other = rusqlite::Connection::open(place.path("b.sqlite")).expect("a database");
    other.execute_batch(TABLES).expect("a table");
    place.write(
        "tidegate.toml",
        "[drain]\npartitions = 2\n[tenants.a]\n[tenants.b]\nsink_url = \"sqlite://b.sqlite\"\n",
    );
    let line = b"{\"op\":\"insert\",\"table\":\"item\",\"row\":{\"id\":1}}\n";
    let nobody = place.run_fed("drain send -", line);
    assert_eq!(nobody.code, 1);
    assert!(
        nobody.err.contains("the tenants are a, b"),
        "{}",
        nobody.err
    );
    let bad = b"{\"op\":\"insert\",\"table\":\"item\",\"row\":{\"id\":1,\"size\":2}}\n";
    for (tenant, line) in [("a", &line[..]), ("b", line), ("b", bad)] {
        let command = format!("drain send - --tenant {tenant}");
        place.run_fed(&command, line).succeeded("send");
    }
    place.done("drain run --once");
    let status = place.json("drain status --json");
    let totals = |tenant: &str| &status["tenants"][tenant]["totals"];
    assert_eq!(
        (&totals("a")["applied"], &totals("a")["dead"]),
        (&1.into(), &0.into())
    );
    assert_eq!(
        (&totals("b")["applied"], &totals("b")["dead"]),
        (&1.into(), &1.into())
    );
    assert_eq!(place.number("SELECT count(*) FROM item"), 1);
    let rows = other.query_row("SELECT count(*) FROM item", [], |row| row.get::<_, i64>(0));
    assert_eq!(rows.expect("a count"), 1);
    let unknown = place.run("drain verify --tenant c");
    assert_eq!(unknown.code, 1, "{}", unknown.err);
    assert_eq!(place.json("drain verify --json --tenant b")["proved"], true);
    // One that can't be asked hides no other.
    place.write(
        "tidegate.toml",
        "[drain]\npartitions = 2\n[tenants.a]\n[tenants.b]\nsink_url = \"sqlite://no/b.sqlite\"\n",
    );
    let half = place.run("drain status");
    assert_eq!(half.code, 1, "{}", half.err);
    assert!(half.out.contains("Tenant a:\n") && half.out.contains("can't be asked"));
}

#[test]
fn spans_that_nothing_would_send_are_warned_of() {
    let place = Place::with_tables(TABLES);
    let spans = [("TIDEGATE__TRACES__OTLP_URL", "http://127.0.0.1:4318")];
    let checked = place.run_with("config check", &spans);
    assert_eq!(checked.code, 0, "{}", checked.err);
    let is_warned = checked.err.contains("built without otlp");
    assert_eq!(is_warned, !cfg!(feature = "otlp"), "{}", checked.err);
    let wrong = [("TIDEGATE__TRACES__OTLP_URL", "127.0.0.1:4318")];
    let refused = place.run_with("config check", &wrong);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("use http://HOST:PORT"),
        "{}",
        refused.err
    );
}
