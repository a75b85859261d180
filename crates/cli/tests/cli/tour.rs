//! The tour: from a file to rows, with nothing configured and nothing installed.

use crate::program::Place;

const TABLES: &str = "
    CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE invoice (
        id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer, amount TEXT, status TEXT);
";

const OPERATIONS: &str = r#"{"op":"insert","table":"customer","row":{"id":1,"name":"Ann"}}
{"op":"insert","table":"invoice","row":{"id":10,"customer_id":1,"amount":"9.90","status":"new"}}
{"op":"update","table":"invoice","key":{"id":10},"set":{"status":"paid"}}
{"op":"upsert","table":"customer","row":{"id":2,"name":"Bo"}}
{"op":"transaction","operations":[{"op":"insert","table":"customer","row":{"id":3,"name":"Cy"}},{"op":"delete","table":"customer","key":{"id":2}}],"partition_key":"2"}
"#;

#[test]
fn a_file_becomes_rows() {
    let place = Place::with_tables(TABLES);
    place.write("operations.jsonl", OPERATIONS);

    let sent = place.done("drain send operations.jsonl");
    assert!(sent.contains("Sent 5 operations"), "{sent}");
    let status = place.done("drain status");
    assert!(status.contains("no worker is running"), "{status}");

    let ran = place.done("drain run --once");
    assert!(ran.contains("Applied 5 operations"), "{ran}");
    assert_eq!(place.number("SELECT count(*) FROM customer"), 2);
    assert_eq!(
        place.number("SELECT count(*) FROM invoice WHERE status = 'paid'"),
        1
    );

    let status = place.json("drain status --json");
    assert_eq!(status["stream"], "DRAINER_STREAM");
    assert_eq!(status["totals"]["applied"], 5);
    assert_eq!(status["totals"]["pending"], 0);
    assert_eq!(status["shards"].as_array().map(Vec::len), Some(64));

    let proof = place.done("drain verify");
    assert!(proof.ends_with("proved: sent 5 = applied 5\n"), "{proof}");
    let proof = place.json("drain verify --json");
    assert_eq!(
        (&proof["proved"], &proof["totals"]["sent"]),
        (&true.into(), &5.into())
    );
}

#[test]
fn commands_that_only_look_work_before_anything_was_done() {
    let place = Place::empty();
    assert!(place.done("drain status").contains("Nothing has been sent"));
    assert_eq!(
        place.json("drain status --all --json")["totals"]["applied"],
        0
    );
    assert!(place.done("drain status --all").contains("total"));
    assert!(
        place
            .done("drain verify")
            .contains("proved: sent 0 = applied 0")
    );
    assert!(
        place
            .done("drain dead list")
            .contains("Nothing is dead, waiting, parked.")
    );
    assert!(
        place
            .done("drain dead retry --all")
            .contains("no dead letters")
    );
    assert!(
        place
            .done("drain run --once")
            .contains("Applied 0 operations")
    );
}

#[test]
fn each_committed_batch_is_a_line_of_json() {
    let place = Place::with_tables(TABLES);
    place.write("operations.jsonl", OPERATIONS);
    place.done("drain send operations.jsonl");
    let out = place.done("drain run --once --json");
    let lines: Vec<serde_json::Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let (summary, batches) = lines.split_last().expect("a summary");
    assert_eq!(summary["summary"]["applied"], 5, "{out}");
    let sum = |key: &str| {
        batches
            .iter()
            .map(|b| b[key].as_u64().expect(key))
            .sum::<u64>()
    };
    assert_eq!((sum("applied"), sum("dead")), (5, 0), "{out}");
    let delays: u64 = batches
        .iter()
        .flat_map(|batch| batch["delays_ms"].as_object().expect("an object").values())
        .map(|count| count.as_u64().expect("a number"))
        .sum();
    assert_eq!(delays, 5, "{out}");
    assert!(batches.iter().all(|batch| batch["shard"].is_u64()), "{out}");
}

#[test]
fn a_diff_shows_rows_as_they_are_and_as_they_would_become() {
    let place = Place::with_tables(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, n INTEGER);
         INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3);",
    );
    let lines = r#"{"op":"insert","table":"t","row":{"id":9,"v":"nine"}}
{"op":"update","table":"t","key":{"id":1},"set":{"v":"uno","n":1}}
{"op":"update","table":"t","key":{"id":1},"set":{"n":5}}
{"op":"delete","table":"t","key":{"id":2}}
{"op":"insert","table":"t","row":{"id":3,"v":"other"}}
{"op":"update","table":"t","key":{"id":7},"set":{"v":"x"}}
{"op":"insert","table":"nope","row":{}}
"#;
    let ran = place.run_fed("drain plan --diff - --json", lines.as_bytes());
    assert_eq!(ran.code, 1, "{}", ran.err);
    let json = ran.json();
    let effects: Vec<&str> = json["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["effect"].as_str().expect("a text"))
        .collect();
    assert_eq!(
        effects,
        ["insert", "update", "delete", "conflict", "missing"]
    );
    assert_eq!(json["rows"][1]["row"]["v"], "one");
    assert_eq!(json["rows"][1]["given"]["v"], "uno");
    assert_eq!(json["rows"][1]["given"]["n"], "5");
    assert_eq!(json["rows"][0]["row"], serde_json::Value::Null);
    assert_eq!(json["dead_letters"][0]["line"], 7);
    let text = place.run_fed("drain plan --diff -", lines.as_bytes()).out;
    assert!(
        text.contains(r#"v: "one" -> "uno", n: "1" -> "5""#),
        "{text}"
    );
    assert!(text.contains("nothing was changed"), "{text}");
    let hidden = place.run_fed("drain plan --diff --hide-values -", lines.as_bytes());
    assert!(
        !hidden.out.contains("uno") && hidden.out.contains("v, n"),
        "{}",
        hidden.out
    );
    assert_eq!(place.number("SELECT sum(n) FROM t"), 6);
}

#[test]
fn a_plan_is_printed_and_not_run() {
    let place = Place::with_tables(TABLES);
    let lines = format!("{OPERATIONS}\n{{\"op\":\"insert\",\"table\":\"nope\",\"row\":{{}}}}\nx\n");
    place.write("operations.jsonl", &lines);
    let ran = place.run("drain plan operations.jsonl");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.to_uppercase().contains("INSERT"), "{}", ran.out);
    assert!(
        ran.out
            .contains("line 7 would be a dead letter: unknown_table"),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .contains("line 8 would be a dead letter: invalid_json"),
        "{}",
        ran.out
    );
    assert_eq!(place.number("SELECT count(*) FROM customer"), 0);

    let json = place
        .run_fed("drain plan - --json", lines.as_bytes())
        .json();
    assert_eq!(json["operations"], 5);
    assert!(
        json["statements"]
            .as_array()
            .is_some_and(|all| !all.is_empty()),
        "{json}"
    );
    assert_eq!(json["dead_letters"][1]["line"], 8);
    assert_eq!(json["dead_letters"][1]["code"], "invalid_json");
    assert_eq!(place.run_fed("drain plan -", OPERATIONS.as_bytes()).code, 0);
}
