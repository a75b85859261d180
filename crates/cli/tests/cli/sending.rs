//! Sending: lines that are good, bad, blank, too long, or from a pipe.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use tidegate_testkit::{RedisServer, poll_until};

use crate::program::{Place, Ran};

const TABLES: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);";

fn insert(id: u32) -> String {
    format!("{{\"op\":\"insert\",\"table\":\"item\",\"row\":{{\"id\":{id}}}}}\n")
}

fn inserts(ids: std::ops::Range<u32>) -> String {
    ids.map(insert).collect()
}

#[test]
fn the_standard_input_is_sent() {
    let place = Place::with_tables(TABLES);
    let ran = place.run_fed("drain send - --json", inserts(0..5_000).as_bytes());
    let summary = ran.succeeded("send").json();
    assert_eq!(
        (&summary["sent"], &summary["malformed"]),
        (&5_000.into(), &0.into())
    );
    place.done("drain run --once");
    assert_eq!(place.number("SELECT count(*) FROM item"), 5_000);
}

#[test]
fn bad_lines_are_sent_and_warned_of_by_number() {
    let place = Place::with_tables(TABLES);
    let mut lines = format!("{}\n   \n", insert(1)).into_bytes();
    lines.extend_from_slice(b"{\"op\":\"merge\"}\n\xff\xfe\r\n");
    lines.extend_from_slice(insert(2).trim_end().as_bytes());
    place.write("lines.jsonl", &lines);
    let ran = place.run("drain send lines.jsonl").succeeded("send");
    ran.says(&[
        "line 4 will be a dead letter: unknown_operation",
        "line 5 will be",
        "invalid_utf8",
    ]);
    assert!(ran.out.contains("Sent 4 operations"), "{}", ran.out);
    assert!(
        ran.out.contains("2 of them will be dead letters"),
        "{}",
        ran.out
    );
    place.done("drain run --once");
    assert!(
        place
            .done("drain verify")
            .contains("sent 4 = applied 2 + dead 2")
    );
}

#[test]
fn warnings_are_bounded() {
    let place = Place::with_tables(TABLES);
    let ran = place
        .run_fed("drain send -", "x\n".repeat(500).as_bytes())
        .succeeded("send");
    assert_eq!(ran.err.lines().count(), 11, "{}", ran.err);
    ran.says(&["490 more lines"]);
}

#[test]
fn a_strict_send_refuses_a_file_before_anything_is_sent() {
    let place = Place::with_tables(TABLES);
    let bad_column = r#"{"op":"insert","table":"item","row":{"id":7,"colour":"red"}}"#;
    let lines = format!("{}{bad_column}\n{}", inserts(0..3), insert(9));
    place.write("lines.jsonl", &lines);
    let ran = place.run("drain send --strict lines.jsonl");
    assert_eq!(ran.code, 1);
    ran.says(&[
        "line 4: unknown_column",
        "1 line would be dead letters; nothing was sent",
    ]);
    assert!(place.done("drain status").contains("Nothing has been sent"));

    let ran = place.run_fed("drain send --strict -", lines.as_bytes());
    assert_eq!(ran.code, 1);
    ran.says(&[
        "line 4: unknown_column",
        "3 operations sent before it",
        "--skip-lines 3",
    ]);
    place.write("good.jsonl", inserts(10..20));
    place.done("drain send --strict good.jsonl");
    assert_eq!(place.json("drain verify --json")["totals"]["sent"], 13);
}

#[test]
fn a_line_that_is_too_long_is_refused_with_its_number() {
    let place = Place::with_tables(TABLES);
    let env = [("TIDEGATE__DRAIN__ENTRY_BYTES_MAX", "1024")];
    for length in [1_000, 1_025, 1_000_000] {
        let long = "x".repeat(length);
        place.write(
            "lines.jsonl",
            format!("{}{long}\n{}", inserts(0..2), insert(9)),
        );
        let ran = place.run_with("drain send lines.jsonl", &env);
        assert_eq!(ran.code, 1, "{length}");
        ran.says(&[
            "line 3 is too long",
            "1,024 bytes",
            "2 operations sent",
            "--skip-lines 2",
        ]);
    }
    assert_eq!(place.json("drain verify --json")["totals"]["sent"], 6);
}

#[test]
fn lines_can_be_skipped() {
    let place = Place::with_tables(TABLES);
    place.write("lines.jsonl", inserts(0..10));
    assert_eq!(
        place.json("drain send --json --skip-lines 7 lines.jsonl")["sent"],
        3
    );
    place.done("drain run --once");
    assert_eq!(place.number("SELECT min(id) FROM item"), 7);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let ran = Place::empty().run("drain send nowhere.jsonl");
    assert_eq!(ran.code, 1);
    ran.says(&["nowhere.jsonl", "help:"]);
}

#[test]
fn an_output_that_nobody_reads_is_no_failure() {
    let place = Place::with_tables(TABLES);
    place.write("lines.jsonl", inserts(0..10));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = place
        .command("drain send lines.jsonl")
        .stdout(writer)
        .status();
    assert_eq!(status.expect("the program").code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_leaves_no_doubt_about_what_was_sent() {
    let mut redis = RedisServer::start().await.expect("redis-server");
    let place = Place::with_tables(TABLES);
    place.write(
        "tidegate.toml",
        format!("[store]\nurl = \"{}\"\n", redis.url()),
    );
    let mut sender = place
        .command("drain send -")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut input = sender.stdin.take().expect("its input");
    input.write_all(inserts(0..3).as_bytes()).expect("written");
    let is_sent = async || place.json("drain verify --json")["totals"]["sent"] == 3;
    poll_until(Duration::from_secs(20), is_sent)
        .await
        .expect("the lines arrive");

    redis.kill().await.expect("killed");
    input.write_all(inserts(3..5).as_bytes()).expect("written");
    drop(input);
    let ran = Ran::from(sender.wait_with_output().expect("the program"));
    assert_eq!(ran.code, 1, "{}", ran.out);
    ran.says(&[
        "3 operations (through line 3) sent for sure",
        "of the next 2 (through line 5) any may",
        "--skip-lines 3",
    ]);
}
