//! The catalog, and tables that are named or keyed in unusual ways.

use tidegate_drain::Code;
use tidegate_drain::catalog::Absent;
use tidegate_drain::sink::Sink as _;

use crate::target::{Target, units};

#[tokio::test]
async fn names_with_quotes_blanks_and_other_letters_work() {
    let schema = r#"CREATE TABLE "größe ""x"" []`" (
        "the id" INTEGER PRIMARY KEY, "select" TEXT, "wert;--" TEXT)"#;
    let target = Target::with(schema).await;
    let table = r#""table":"größe \"x\" []`""#;
    target
        .accept(&[
            &format!(r#"{{"op":"insert",{table},"row":{{"the id":1,"select":"a"}}}}"#),
            &format!(r#"{{"op":"upsert",{table},"row":{{"the id":1,"wert;--":"b"}}}}"#),
            &format!(r#"{{"op":"update",{table},"key":{{"the id":1}},"set":{{"select":"c"}}}}"#),
            &format!(r#"{{"op":"insert",{table},"row":{{"the id":2}}}}"#),
            &format!(r#"{{"op":"delete",{table},"key":{{"the id":2}}}}"#),
        ])
        .await;
    assert_eq!(
        target.rows(r#"SELECT * FROM "größe ""x"" []`""#),
        ["i:1 t:c t:b"]
    );
}

#[tokio::test]
async fn only_ordinary_tables_of_the_user_may_be_written() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT);
        CREATE VIEW v AS SELECT * FROM t;
        CREATE VIRTUAL TABLE words USING fts5(word);
        CREATE TABLE tidegate_entry (id INTEGER PRIMARY KEY)";
    let target = Target::with(schema).await;
    let catalog = target.catalog().await;
    let names: Vec<_> = catalog.tables().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["t"]);
    assert!(catalog.table(Some("main"), "t").is_ok());
    for (schema, name) in [
        (Some("public"), "t"),
        (None, "T"),
        (None, "v"),
        (None, "sqlite_schema"),
    ] {
        let rejection = catalog.table(schema, name).expect_err("unknown");
        assert_eq!(rejection.code, Code::UnknownTable);
    }
}

#[tokio::test]
async fn the_catalog_knows_keys_defaults_and_order() {
    let schema = "CREATE TABLE a (id INTEGER PRIMARY KEY, d TEXT DEFAULT 'x', n TEXT DEFAULT NULL);
        CREATE TABLE b (y INT, x INT NOT NULL, a_id REFERENCES a, PRIMARY KEY (x, y));
        CREATE TABLE c (k TEXT PRIMARY KEY REFERENCES a ON DELETE CASCADE) WITHOUT ROWID;
        CREATE TABLE e (id INTEGER PRIMARY KEY DESC, v ANY) STRICT;
        CREATE TABLE f (v TEXT);
        CREATE TRIGGER t AFTER INSERT ON F BEGIN DELETE FROM a; END";
    let target = Target::with(schema).await;
    let catalog = target.catalog().await;
    let table = |name| catalog.table(None, name).expect("a table");
    let absent = |name| {
        table(name)
            .columns
            .iter()
            .map(|c| c.absent)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        absent("a"),
        [Absent::Default, Absent::Default, Absent::Null]
    );
    assert_eq!(
        (&table("b").primary_key[..], table("b").rank),
        (&[1, 0][..], 1)
    );
    assert!(table("c").columns[0].is_not_null && table("c").columns[0].absent == Absent::Null);
    // SQLite's one exception: this key is no alias of the row's number and may be NULL.
    assert_eq!(absent("e"), [Absent::Null, Absent::Null]);
    let ordered = |name| table(name).is_ordered;
    let found = ["a", "b", "c", "e", "f"].map(ordered);
    assert_eq!(found, [true, false, true, false, true]);
}

#[tokio::test]
async fn a_table_without_a_primary_key_takes_inserts_only() {
    let target = Target::with("CREATE TABLE event (what TEXT)").await;
    let insert = r#"{"op":"insert","table":"event","row":{"what":"x"}}"#;
    target.accept(&[insert, insert]).await;
    assert_eq!(target.rows("SELECT what FROM event"), ["t:x", "t:x"]);
    let upsert = r#"{"op":"upsert","table":"event","row":{"what":"x"}}"#;
    assert_eq!(target.reject(upsert).await.code, Code::NoPrimaryKey);
}

#[tokio::test]
async fn keys_of_several_columns_and_moved_keys_work() {
    let target =
        Target::with("CREATE TABLE t (a TEXT, b INT, v TEXT, PRIMARY KEY (b, a)) WITHOUT ROWID")
            .await;
    target
        .accept(&[
            r#"{"op":"upsert","table":"t","row":{"a":"x","b":1,"v":"1"}}"#,
            r#"{"op":"upsert","table":"t","row":{"b":1,"a":"x","v":"2"}}"#,
            r#"{"op":"upsert","table":"t","row":{"b":1,"a":"x"}}"#,
            r#"{"op":"update","table":"t","key":{"a":"x","b":1},"set":{"b":2,"v":"3"}}"#,
            r#"{"op":"insert","table":"t","row":{"a":"x","b":1}}"#,
            r#"{"op":"delete","table":"t","key":{"b":1,"a":"x"}}"#,
        ])
        .await;
    assert_eq!(target.rows("SELECT * FROM t"), ["t:x i:2 t:3"]);
}

#[tokio::test]
async fn rows_may_be_left_to_their_defaults() {
    let target = Target::with("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT DEFAULT 'x')").await;
    target
        .accept(&[
            r#"{"op":"insert","table":"t","row":{}}"#,
            r#"{"op":"upsert","table":"t","row":{}}"#,
            r#"{"op":"upsert","table":"t","row":{"v":"y"}}"#,
        ])
        .await;
    assert_eq!(
        target.rows("SELECT * FROM t"),
        ["i:1 t:x", "i:2 t:x", "i:3 t:y"]
    );
}

#[tokio::test]
async fn the_statements_are_explained_and_equal_ones_folded() {
    let target = Target::with("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)").await;
    let units = units(
        &*target.catalog().await,
        &[
            r#"{"op":"insert","table":"t","row":{"id":1,"v":"a"}}"#,
            r#"{"op":"insert","table":"t","row":{"id":2,"v":"b"}}"#,
            r#"{"op":"upsert","table":"t","row":{"id":2,"v":"b"}}"#,
            r#"{"op":"update","table":"t","key":{"id":2},"set":{"v":"c"}}"#,
            r#"{"op":"delete","table":"t","key":{"id":2}}"#,
        ],
    );
    let expected = [
        r#"INSERT OR ABORT INTO "main"."t" ("id", "v") VALUES (?1, ?2) -- 2 rows"#,
        r#"INSERT OR ABORT INTO "main"."t" ("id", "v") VALUES (?1, ?2) ON CONFLICT ("id") DO UPDATE SET "v" = excluded."v""#,
        r#"UPDATE OR ABORT "main"."t" SET "v" = ?2 WHERE "t"."id" = ?1"#,
        r#"DELETE FROM "main"."t" WHERE "t"."id" = ?1"#,
    ];
    assert_eq!(target.sink.explain(&units), expected);
    assert!(target.sink.describe().starts_with("sqlite:///"));
}
