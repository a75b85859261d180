//! Every kind of bad input becomes a dead letter whose reason tells a person what to do, and the
//! entries before and after it are applied; on both pairs of backends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::support::{assert_proved, drain_all, open_sink, open_store, options};
use bytes::Bytes;
use tidegate_drain::dead_letter::DeadLetterFilter;
use tidegate_drain::observer::Unobserved;
use tidegate_drain::{Options, envelope};
use tidegate_store::NewEntry;
use tidegate_store::entry::Field;
use tidegate_testkit::{PostgresServer, RedisServer};

const SCHEMA: &str = r#"
    CREATE TABLE invoice (id BIGINT PRIMARY KEY, amount BIGINT NOT NULL, note VARCHAR(10));
    CREATE TABLE line (invoice BIGINT NOT NULL REFERENCES invoice (id), text TEXT);
    CREATE TABLE "order ""q"" größe" ("the id" BIGINT PRIMARY KEY, "na""me é" TEXT);"#;

/// A bad payload: what it is, its text, the code and a part of the reason it must get.
const CASES: &[(&str, &str, &str, &str)] = &[
    (
        "invalid JSON",
        r#"{"op":"insert","#,
        "invalid_json",
        "typed_sql is not an operation",
    ),
    (
        "unknown op",
        r#"{"op":"merge","table":"invoice","row":{}}"#,
        "unknown_operation",
        "use insert",
    ),
    (
        "unknown table",
        r#"{"op":"insert","table":"nope","row":{"id":1}}"#,
        "unknown_table",
        "nope",
    ),
    (
        "SQL as a table",
        r#"{"op":"insert","table":"invoice; DROP TABLE invoice","row":{"id":1}}"#,
        "unknown_table",
        "no table",
    ),
    (
        "unknown column",
        r#"{"op":"insert","table":"invoice","row":{"id":101,"amount":1,"nope":1}}"#,
        "unknown_column",
        "it has id, amount, note",
    ),
    (
        "missing key",
        r#"{"op":"update","table":"invoice","set":{"amount":1}}"#,
        "invalid_key",
        "\"key\"",
    ),
    (
        "key that is not the primary key",
        r#"{"op":"delete","table":"invoice","key":{"amount":1}}"#,
        "invalid_key",
        "primary key is (id)",
    ),
    (
        "no value for the key",
        r#"{"op":"insert","table":"invoice","row":{"amount":1}}"#,
        "invalid_key",
        "primary key",
    ),
    (
        "wrong type",
        r#"{"op":"insert","table":"invoice","row":{"id":102,"amount":"much"}}"#,
        "wrong_type",
        "column \"amount\"",
    ),
    (
        "NULL in NOT NULL",
        r#"{"op":"insert","table":"invoice","row":{"id":103,"amount":null}}"#,
        "not_null",
        "column \"amount\"",
    ),
    (
        "no value in NOT NULL",
        r#"{"op":"insert","table":"invoice","row":{"id":104}}"#,
        "not_null",
        "column \"amount\"",
    ),
    (
        "number too large",
        r#"{"op":"insert","table":"invoice","row":{"id":105,"amount":9223372036854775808}}"#,
        "out_of_range",
        "column \"amount\"",
    ),
    (
        "text too long",
        r#"{"op":"insert","table":"invoice","row":{"id":106,"amount":1,"note":"12345678901"}}"#,
        "out_of_range",
        "column \"note\"",
    ),
    (
        "update of a missing row",
        r#"{"op":"update","table":"invoice","key":{"id":999},"set":{"amount":1}}"#,
        "no_such_row",
        "",
    ),
    (
        "a second row with the same key",
        r#"{"op":"insert","table":"invoice","row":{"id":1,"amount":1}}"#,
        "refused",
        "",
    ),
    (
        "missing parent",
        r#"{"op":"insert","table":"line","row":{"invoice":777,"text":"x"}}"#,
        "missing_parent",
        "",
    ),
    (
        "update without a primary key",
        r#"{"op":"update","table":"line","key":{"invoice":1},"set":{"text":"x"}}"#,
        "no_primary_key",
        "only insert is possible",
    ),
    (
        "the drain's own tables",
        r#"{"op":"delete","schema":"tidegate","table":"ledger","key":{"stream":"x","shard":0}}"#,
        "unknown_table",
        "no table",
    ),
    (
        "an atomic transaction with one bad row",
        r#"{"op":"transaction","operations":[
            {"op":"insert","table":"invoice","row":{"id":107,"amount":1}},
            {"op":"insert","table":"invoice","row":{"id":1,"amount":1}}]}"#,
        "refused",
        "",
    ),
];

/// Operations that look odd and are good; the second group comes after all bad ones.
const GOOD: [&[&str]; 2] = [
    &[
        r#"{"op":"insert","table":"invoice","row":{"id":1,"amount":10}}"#,
        r#"{"op":"insert","table":"invoice","row":{"id":2,"amount":20}}"#,
        r#"{"op":"insert","table":"order \"q\" größe","row":{"the id":1,"na\"me é":"a"}}"#,
        r#"{"op":"insert","table":"line","row":{"invoice":1,"text":"a"}}"#,
        r#"{"op":"insert","table":"line","row":{"invoice":1,"text":"a"}}"#,
    ],
    &[
        r#"{"op":"update","table":"invoice","key":{"id":2},"set":{"amount":11}}"#,
        r#"{"op":"upsert","table":"order \"q\" größe","row":{"the id":1,"na\"me é":"b"}}"#,
        r#"{"op":"delete","table":"invoice","key":{"id":888}}"#,
    ],
];

fn entries(options: &Options) -> Vec<NewEntry> {
    let whole = |request: &str, payload: &[u8]| {
        envelope::fields(
            request,
            "g",
            Bytes::copy_from_slice(payload),
            SystemTime::now(),
        )
    };
    let good = |group: usize| {
        GOOD.into_iter()
            .nth(group)
            .into_iter()
            .flatten()
            .map(move |p| whole("good", p.as_bytes()))
    };
    let bad = CASES
        .iter()
        .map(|(name, payload, ..)| whole(name, payload.as_bytes()));
    let mut without_payload = whole("fields missing", b"{}");
    without_payload.retain(|(name, _)| name != envelope::TYPED_SQL);
    let large = format!(
        r#"{{"op":"insert","table":"{}","row":{{}}}}"#,
        "x".repeat(10 << 20)
    );
    let odd: [Vec<Field>; 3] = [
        without_payload,
        whole("invalid UTF-8", b"{\"op\":\"insert\xff\"}"),
        whole("10 MB", large.as_bytes()),
    ];
    let all = good(0).chain(bad).chain(odd).chain(good(1));
    all.map(|fields| NewEntry::new(options.stream.partition(0), fields))
        .collect()
}

/// Sends everything to one shard, drains it, and returns the reason of each dead letter.
async fn check(store_url: &str, sink_url: &str) {
    let options = options();
    let (store, sink) = (open_store(store_url).await, open_sink(sink_url).await);
    sink.prepare().await.expect("tables");
    let entries = entries(&options);
    let sent = entries.len();
    store.append(entries).await.expect("sent");
    drain_all(&store, &sink, &options, Arc::new(Unobserved)).await;
    assert_proved(&store, &*sink, &options).await;

    let filter = DeadLetterFilter {
        stream: options.stream.clone(),
        states: Vec::new(),
        id: None,
        count_max: 1_000,
    };
    let letters = sink.dead_letters(&filter).await.expect("letters");
    let good: usize = GOOD.iter().map(|group| group.len()).sum();
    assert_eq!(letters.len(), sent - good, "{letters:#?}");
    let by_name: HashMap<_, _> = letters
        .iter()
        .map(|letter| (letter.envelope.text(envelope::REQUEST_ID), letter))
        .collect();
    let odd = [
        ("fields missing", "missing_field", "typed_sql"),
        ("invalid UTF-8", "invalid_utf8", "byte at 13"),
        ("10 MB", "too_large", "drain.entry_bytes_max"),
    ];
    let cases = CASES
        .iter()
        .map(|(name, _, code, part)| (*name, *code, *part));
    for (name, code, part) in cases.chain(odd) {
        let letter = by_name.get(name).expect(name);
        assert_eq!(letter.code, code, "{name}: {}", letter.reason);
        assert!(letter.reason.contains(part), "{name}: {}", letter.reason);
        assert!(letter.reason.len() > 20, "{name}: {}", letter.reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_a_dead_letter_with_a_reason_on_sqlite() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("all.sqlite");
    let url = format!("sqlite://{}", path.display());
    let tables = rusqlite::Connection::open(&path).expect("a file");
    tables.execute_batch(SCHEMA).expect("tables");
    check(&url, &url).await;
    let count = |sql| {
        tables
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .expect("a count")
    };
    assert_eq!(
        count("SELECT sum(amount) * 100 + count(*) FROM invoice"),
        2_102
    );
    assert_eq!(count("SELECT count(*) FROM line"), 2);
    assert_eq!(
        count(r#"SELECT count(*) FROM "order ""q"" größe" WHERE "na""me é" = 'b'"#),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_a_dead_letter_with_a_reason_on_redis_and_postgres() {
    let redis = RedisServer::start().await.expect("Redis");
    let postgres = PostgresServer::shared().await.expect("PostgreSQL");
    let database = postgres.create_database().await.expect("a database");
    let url = database.url();
    let client = tidegate_testkit::postgres_client(&url)
        .await
        .expect("a connection");
    client.batch_execute(SCHEMA).await.expect("tables");
    check(&redis.url(), &url).await;
    let sql = r#"SELECT (SELECT sum(amount)::bigint * 100 + count(*) FROM invoice),
        (SELECT count(*) FROM line),
        (SELECT count(*) FROM "order ""q"" größe" WHERE "na""me é" = 'b')"#;
    let row = client.query_one(sql, &[]).await.expect("counts");
    let found: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
    assert_eq!(found, [2_102, 2, 1]);
}
