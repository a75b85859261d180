//! Values: what is stored of each type, and what is refused rather than bent.

use tidegate_drain::Code;

use crate::target::Target;

const SCHEMA: &str = "
    CREATE TABLE item (
        id INTEGER PRIMARY KEY,
        n BIGINT, f DOUBLE PRECISION, flag BOOLEAN, code VARCHAR(3), note TEXT, u UUID,
        day DATE, at_time TIME, at TIMESTAMP, at_tz TIMESTAMPTZ, doc JSON, raw BLOB,
        amount NUMERIC(12, 2), loose, odd STRING
    );
";

async fn stored(target: &Target, column: &str, json: &str) -> String {
    let operation =
        format!(r#"{{"op":"upsert","table":"item","row":{{"id":1,"{column}":{json}}}}}"#);
    target.accept(&[&operation]).await;
    target
        .rows(&format!("SELECT {column} FROM item WHERE id = 1"))
        .remove(0)
}

async fn rejected(target: &Target, column: &str, json: &str) -> Code {
    let operation =
        format!(r#"{{"op":"insert","table":"item","row":{{"id":1,"{column}":{json}}}}}"#);
    let rejection = target.reject(&operation).await;
    assert!(
        rejection.reason.contains(&format!("column \"{column}\"")),
        "{rejection}"
    );
    let value = json.trim_matches('"');
    assert!(
        value.len() < 6 || !rejection.reason.contains(value),
        "shows the value: {rejection}"
    );
    rejection.code
}

#[tokio::test]
async fn values_of_every_type_are_stored_as_they_were_sent() {
    let target = Target::with(SCHEMA).await;
    for (column, json, expected) in [
        ("n", "-9223372036854775808", "i:-9223372036854775808"),
        ("n", r#""9223372036854775807""#, "i:9223372036854775807"),
        ("n", "null", "null"),
        ("f", "0.1", "r:0.1"),
        ("f", "3", "r:3"),
        ("flag", "true", "i:1"),
        ("flag", "false", "i:0"),
        ("code", r#""äöü""#, "t:äöü"),
        ("code", r#""007""#, "t:007"),
        (
            "note",
            r#""a\n\"b\" \u00e9 \ud83c\udf0a""#,
            "t:a\n\"b\" é 🌊",
        ),
        ("note", r#""""#, "t:"),
        (
            "u",
            r#""67E55044-10B1-426F-9247-BB680E5FE0C8""#,
            "t:67e55044-10b1-426f-9247-bb680e5fe0c8",
        ),
        ("day", r#""2026-11-21""#, "t:2026-11-21"),
        ("at_time", r#""10:00""#, "t:10:00:00.000000"),
        (
            "at",
            r#""2026-11-21 10:00:00.5""#,
            "t:2026-11-21T10:00:00.500000",
        ),
        (
            "at_tz",
            r#""2026-11-21T12:00:00.123456+02:00""#,
            "t:2026-11-21T10:00:00.123456Z",
        ),
        (
            "doc",
            r#"{"b":1.10,"a":[null, "x"]}"#,
            r#"t:{"b":1.10,"a":[null, "x"]}"#,
        ),
        ("doc", r#""12""#, r#"t:"12""#),
        ("doc", "12", "i:12"),
        ("raw", r#""\\x00FFab""#, "b:[00, ff, ab]"),
        ("raw", r#""\\x""#, "b:[]"),
        ("amount", "1050", "i:1050"),
        ("amount", r#""9999999999.00""#, "i:9999999999"),
        ("loose", "1.5", "r:1.5"),
        ("loose", r#""007""#, "t:007"),
        ("loose", "true", "i:1"),
        ("odd", r#""DE007""#, "t:DE007"),
    ] {
        assert_eq!(
            stored(&target, column, json).await,
            expected,
            "{column} {json}"
        );
    }
}

#[tokio::test]
async fn values_of_the_wrong_type_are_rejected() {
    let target = Target::with(SCHEMA).await;
    for (column, json) in [
        ("n", "1.5"),
        ("n", r#""12x4567""#),
        ("n", "true"),
        ("f", r#""nan""#),
        ("flag", "1"),
        ("code", "7"),
        ("note", r#""with \u0000 inside""#),
        ("note", r#""half a pair \ud83c""#),
        ("u", r#""12345678-10b1""#),
        ("day", r#""21.11.2026""#),
        ("at", r#""2026-11-21T10:00:00+01:00""#),
        ("at_tz", r#""2025-03-04T10:00:00""#),
        ("doc", "1.10"),
        ("raw", r#""00ff00""#),
        ("raw", r#""\\x0""#),
        ("amount", r#""ten euros""#),
        ("loose", "[1,2,3]"),
        ("odd", r#""007""#),
    ] {
        assert_eq!(
            rejected(&target, column, json).await,
            Code::WrongType,
            "{column} {json}"
        );
    }
}

#[tokio::test]
async fn values_beyond_the_type_are_rejected_and_never_cut_or_rounded() {
    let target = Target::with(SCHEMA).await;
    for (column, json) in [
        ("n", "9223372036854775808"),
        ("f", "1e999"),
        ("f", "9007199254740993"),
        ("code", r#""abcd""#),
        ("day", r#""2026-02-30""#),
        ("at", r#""2026-11-21T10:00:00.1234567""#),
        ("amount", "10.50"),
        ("amount", "99999999999"),
        ("loose", "9223372036854775808"),
    ] {
        assert_eq!(
            rejected(&target, column, json).await,
            Code::OutOfRange,
            "{column} {json}"
        );
    }
    let rejection = target
        .reject(r#"{"op":"insert","table":"item","row":{"amount":10.50}}"#)
        .await;
    assert!(rejection.reason.contains("minor units"), "{rejection}");
}

#[tokio::test]
async fn nothing_where_a_value_must_be_is_rejected() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, must TEXT NOT NULL,
        may TEXT NOT NULL DEFAULT 'x', both TEXT AS (must || may))";
    let target = Target::with(schema).await;
    for row in [r#"{"id":1}"#, r#"{"id":1,"must":null}"#] {
        let operation = format!(r#"{{"op":"insert","table":"t","row":{row}}}"#);
        assert_eq!(target.reject(&operation).await.code, Code::NotNull);
    }
    let generated = r#"{"op":"insert","table":"t","row":{"must":"a","both":"b"}}"#;
    assert_eq!(target.reject(generated).await.code, Code::UnknownColumn);
    target
        .accept(&[r#"{"op":"insert","table":"t","row":{"must":"a"}}"#])
        .await;
    assert_eq!(target.rows("SELECT * FROM t"), ["i:1 t:a t:x t:ax"]);
}

#[tokio::test]
async fn all_spellings_of_a_key_find_one_row() {
    let schema = "CREATE TABLE n (id BIGINT PRIMARY KEY, v TEXT);
        CREATE TABLE u (id UUID PRIMARY KEY, v TEXT);
        CREATE TABLE c (id TEXT COLLATE NOCASE PRIMARY KEY, v TEXT)";
    let target = Target::with(schema).await;
    let catalog = target.catalog().await;
    for (table, first, second) in [
        ("n", "7", r#""007""#),
        (
            "u",
            r#""67e55044-10b1-426f-9247-bb680e5fe0c8""#,
            r#""67E5504410B1426F9247BB680E5FE0C8""#,
        ),
        ("c", r#""Anna""#, r#""ANNA""#),
    ] {
        let insert = format!(r#"{{"op":"insert","table":"{table}","row":{{"id":{first}}}}}"#);
        let update = format!(
            r#"{{"op":"update","table":"{table}","key":{{"id":{second}}},"set":{{"v":"x"}}}}"#
        );
        let units = crate::target::units(&catalog, &[&insert, &update]);
        assert_eq!(units[0].rows, units[1].rows, "{table}");
        target.accept(&[&insert, &update]).await;
        assert_eq!(target.rows(&format!("SELECT v FROM {table}")), ["t:x"]);
    }
}
