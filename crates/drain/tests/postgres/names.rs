//! Names of all kinds, keys of all kinds.

use tidegate_drain::Code;
use tidegate_drain::sink::Outcome;

use crate::target::{Target, insert};

#[tokio::test]
async fn names_with_quotes_blanks_and_reserved_words_are_only_names() {
    let schema = r#"
        CREATE SCHEMA "Größe ""x""";
        CREATE TYPE "Größe ""x"""."my 'type'" AS ENUM ('a');
        CREATE TABLE "Größe ""x"""."select" ("from" int, "a""; DROP TABLE t; --" text,
            "Ünï cödé" "Größe ""x"""."my 'type'", "$1, ""x""" int, PRIMARY KEY ("from", "$1, ""x"""));
        CREATE TABLE t (id int PRIMARY KEY)"#;
    let target = Target::with(schema).await;
    let at = r#""schema":"Größe \"x\"","table":"select""#;
    let name = r#""a\"; DROP TABLE t; --""#;
    let row = |id: usize| format!(r#"{{"from":{id},"$1, \"x\"":1,{name}:"x","Ünï cödé":"a"}}"#);
    let verb = |verb: &str, id| format!(r#"{{"op":"{verb}",{at},"row":{}}}"#, row(id));
    for ids in [0..1, 10..17, 20..60] {
        let inserts: Vec<_> = ids.clone().map(|id| verb("insert", id)).collect();
        target.accept(&inserts).await;
        let upserts: Vec<_> = ids.clone().map(|id| verb("upsert", id)).collect();
        target.accept(&upserts).await;
        let key = |id: usize| format!(r#""key":{{"$1, \"x\"":1,"from":{id}}}"#);
        let updates: Vec<_> = ids
            .clone()
            .map(|id| format!(r#"{{"op":"update",{at},{},"set":{{{name}:"y"}}}}"#, key(id)))
            .collect();
        target.accept(&updates).await;
        let table = r#""Größe ""x"""."select""#;
        let changed =
            format!(r#"SELECT count(*) FROM {table} WHERE "a""; DROP TABLE t; --" = 'y'"#);
        assert_eq!(
            target.count(&changed).await,
            i64::try_from(ids.len()).expect("few")
        );
        let deletes: Vec<_> = ids
            .map(|id| format!(r#"{{"op":"delete",{at},{}}}"#, key(id)))
            .collect();
        target.accept(&deletes).await;
        assert_eq!(
            target.count(&format!("SELECT count(*) FROM {table}")).await,
            0
        );
    }
    let updates: Vec<_> = (0..9)
        .map(|id| {
            format!(
                r#"{{"op":"update",{at},"key":{{"$1, \"x\"":1,"from":{id}}},"set":{{{name}:"y"}}}}"#
            )
        })
        .collect();
    let Outcome::Refused { culprits, .. } = target.apply(&updates).await else {
        panic!("no such rows");
    };
    assert_eq!(culprits.len(), 9, "all are named");
    target.accept(&[insert("t", r#"{"id":1}"#)]).await;
}

#[tokio::test]
async fn the_default_schema_is_the_logins_first_or_the_one_asked_for() {
    let target = Target::with("CREATE SCHEMA pay; CREATE TABLE pay.t (id int PRIMARY KEY)").await;
    assert_eq!(
        target.reject(&insert("t", r#"{"id":1}"#)).await.code,
        Code::UnknownTable
    );
    let options = tidegate_drain::PostgresOptions {
        schema: Some("pay".to_owned()),
        ..tidegate_drain::PostgresOptions::default()
    };
    let sink = tidegate_drain::PostgresSink::connect(&target.database.url(), options).await;
    let asked = Target {
        sink: sink.expect("a sink"),
        ..target
    };
    asked.accept(&[insert("t", r#"{"id":1}"#)]).await;
    // Our own tables and the database's are none of the user's.
    for table in ["ledger", "dead_letter"] {
        let operation =
            format!(r#"{{"op":"insert","schema":"tidegate","table":"{table}","row":{{}}}}"#);
        assert_eq!(asked.reject(&operation).await.code, Code::UnknownTable);
    }
}

#[tokio::test]
async fn a_table_without_a_key_takes_inserts_only() {
    let target = Target::with("CREATE TABLE log (line text)").await;
    for count in [1, 6, 40] {
        let lines: Vec<_> = (0..count)
            .map(|n| insert("log", &format!(r#"{{"line":"{n}"}}"#)))
            .collect();
        target.accept(&lines).await;
    }
    assert_eq!(target.count("SELECT count(*) FROM log").await, 47);
    let upsert = r#"{"op":"upsert","table":"log","row":{"line":"x"}}"#;
    assert_eq!(target.reject(upsert).await.code, Code::NoPrimaryKey);
}

#[tokio::test]
async fn a_row_moves_to_another_key_in_the_streams_order() {
    let target = Target::with("CREATE TABLE t (id int PRIMARY KEY, v int)").await;
    let moved = |from: u8, to: u8| {
        format!(r#"{{"op":"update","table":"t","key":{{"id":{from}}},"set":{{"id":{to}}}}}"#)
    };
    target
        .accept(&[
            insert("t", r#"{"id":1,"v":1}"#),
            insert("t", r#"{"id":2,"v":2}"#),
            moved(1, 3),
            moved(2, 1),
            moved(3, 2),
            r#"{"op":"update","table":"t","key":{"id":2},"set":{"v":10}}"#.to_owned(),
        ])
        .await;
    assert_eq!(
        target
            .rows("SELECT id || '=' || v FROM t ORDER BY id")
            .await,
        ["1=2", "2=10"]
    );
}

#[tokio::test]
async fn deleting_what_is_gone_is_done_already() {
    let target = Target::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let delete = |id: usize| format!(r#"{{"op":"delete","table":"t","key":{{"id":{id}}}}}"#);
    target
        .accept(
            &(0..30)
                .map(|id| insert("t", &format!(r#"{{"id":{id}}}"#)))
                .collect::<Vec<_>>(),
        )
        .await;
    target.accept(&[delete(0)]).await;
    target
        .accept(&(0..40).map(delete).collect::<Vec<_>>())
        .await;
    assert_eq!(target.count("SELECT count(*) FROM t").await, 0);
}

#[tokio::test]
async fn keys_of_many_types_find_their_rows() {
    for (sql_type, key, same_key) in [
        ("numeric(10,2)", "1.5", "\"1.50\""),
        ("char(5)", "\"ab\"", "\"ab   \""),
        (
            "uuid",
            "\"A0EEBC999C0B4EF8BB6D6BB9BD380A11\"",
            "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"",
        ),
        (
            "timestamptz",
            "\"2024-06-01T12:00:00+02:00\"",
            "\"2024-06-01T10:00:00Z\"",
        ),
        ("numeric", "1.5", "1.500"),
        ("float8", "1.5", "15e-1"),
        ("inet", "\"10.0.0.1\"", "\"10.0.0.1/32\""),
        ("int4[]", "[1,2]", "[1, 2]"),
        ("bytea", r#""\\xAB""#, r#""\\xab""#),
        ("bool", "true", "\"t\""),
    ] {
        let schema = format!("CREATE TABLE t (id {sql_type} PRIMARY KEY, v int)");
        let target = Target::with(&schema).await;
        target
            .accept(&[
                insert("t", &format!(r#"{{"id":{key},"v":1}}"#)),
                format!(r#"{{"op":"upsert","table":"t","row":{{"id":{same_key},"v":2}}}}"#),
                format!(
                    r#"{{"op":"update","table":"t","key":{{"id":{same_key}}},"set":{{"v":3}}}}"#
                ),
            ])
            .await;
        assert_eq!(
            target.rows("SELECT v::text FROM t").await,
            ["3"],
            "{sql_type}"
        );
        target
            .accept(&[format!(
                r#"{{"op":"delete","table":"t","key":{{"id":{same_key}}}}}"#
            )])
            .await;
        assert_eq!(
            target.count("SELECT count(*) FROM t").await,
            0,
            "{sql_type}"
        );
    }
}
