//! Every type, by every way of writing: what is sent is what is there.

use tidegate_drain::Code;

use crate::target::{Target, insert};

/// A column's type, a JSON value, and the value as PostgreSQL shows it.
const CASES: &[(&str, &str, &str)] = &[
    ("int2", "-32768", "-32768"),
    ("int4", "\"2147483647\"", "2147483647"),
    ("int8", "9223372036854775807", "9223372036854775807"),
    (
        "numeric(38,10)",
        "1234567890123456789012345678.0123456789",
        "1234567890123456789012345678.0123456789",
    ),
    ("numeric(38,10)", "\"-0.0000000001\"", "-0.0000000001"),
    ("numeric(38,10)", "1e3", "1000.0000000000"),
    ("numeric(10,2)", "99999999.990", "99999999.99"),
    ("numeric(10,2)", "\"NaN\"", "NaN"),
    ("numeric", "1.50", "1.50"),
    (
        "numeric",
        "123456789012345678901234567890.000000000000000000000001000",
        "123456789012345678901234567890.000000000000000000000001000",
    ),
    ("numeric", "12e-8", "0.00000012"),
    ("numeric(5,0)", "-10000", "-10000"),
    ("float4", "1.5", "1.5"),
    ("float8", "0.1", "0.1"),
    (
        "float8",
        "-1.7976931348623157e308",
        "-1.7976931348623157e+308",
    ),
    ("float8", "\"-Infinity\"", "-Infinity"),
    ("bool", "true", "true"),
    ("bool", "\"f\"", "false"),
    (
        "text",
        r#""äß \"quoted\" \\ \n 😀""#,
        "äß \"quoted\" \\ \n 😀",
    ),
    ("text", "\"\"", ""),
    ("text", "\"NULL\"", "NULL"),
    ("varchar(3)", "\"äöü\"", "äöü"),
    ("char(4)", "\"ab\"", "ab"),
    ("name", "\"pg\"", "pg"),
    ("\"char\"", "\"x\"", "x"),
    ("bytea", r#""\\x00fF10""#, "\\x00ff10"),
    ("bytea", r#""\\x""#, "\\x"),
    (
        "uuid",
        "\"A0EEBC999C0B4EF8BB6D6BB9BD380A11\"",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    ),
    ("date", "\"2024-02-29\"", "2024-02-29"),
    ("date", "\"0001-01-01\"", "0001-01-01"),
    ("date", "\"infinity\"", "infinity"),
    ("time", "\"23:59:59.999999\"", "23:59:59.999999"),
    ("time(3)", "\"10:00:00.1230\"", "10:00:00.123"),
    ("timetz", "\"10:00:00+02\"", "10:00:00+02"),
    (
        "timestamp",
        "\"2024-02-29T12:00:00.000001\"",
        "2024-02-29 12:00:00.000001",
    ),
    (
        "timestamp",
        "\"1999-12-31 23:59:59Z\"",
        "1999-12-31 23:59:59",
    ),
    (
        "timestamp(0)",
        "\"9999-12-31T23:59:59.000\"",
        "9999-12-31 23:59:59",
    ),
    (
        "timestamptz",
        "\"2024-06-01T12:00:00+02:00\"",
        "2024-06-01 10:00:00+00",
    ),
    (
        "timestamptz",
        "\"1969-07-20T20:17:40.5Z\"",
        "1969-07-20 20:17:40.5+00",
    ),
    ("timestamptz", "\"-infinity\"", "-infinity"),
    (
        "interval",
        "\"1 year 2 days 03:04:05.678\"",
        "1 year 2 days 03:04:05.678",
    ),
    ("interval", "\"P1DT2H\"", "1 day 02:00:00"),
    (
        "json",
        r#"{ "b": 1.10, "a": [null, true] }"#,
        r#"{ "b": 1.10, "a": [null, true] }"#,
    ),
    ("json", "\"text\"", "\"text\""),
    (
        "jsonb",
        r#"{ "b": 1.10, "a": [null, "\u00e9\\u0000"] }"#,
        r#"{"a": [null, "é\\u0000"], "b": 1.10}"#,
    ),
    (
        "jsonb",
        "12345678901234567890.123456789",
        "12345678901234567890.123456789",
    ),
    ("jsonb", "[]", "[]"),
    ("inet", "\"10.0.0.1/8\"", "10.0.0.1/8"),
    ("cidr", "\"2001:db8::/32\"", "2001:db8::/32"),
    ("macaddr", "\"08:00:2b:01:02:03\"", "08:00:2b:01:02:03"),
    ("int4range", "\"[1,5)\"", "[1,5)"),
    ("bit(4)", "\"1010\"", "1010"),
    ("varbit(4)", "\"101\"", "101"),
    ("money", "12.50", "$12.50"),
    ("point", "\"(1,2)\"", "(1,2)"),
    ("xml", "\"<a/>\"", "<a/>"),
    ("mood", "\"it's \\\"fine\\\"\"", "it's \"fine\""),
    ("\"Short Text\"", "\"abc\"", "abc"),
    ("positive", "7", "7"),
    ("positives", "[1,2]", "{1,2}"),
    ("pair", "\"(1,\\\"a b\\\")\"", "(1,\"a b\")"),
    ("int4[]", "[1, null, -3]", "{1,NULL,-3}"),
    ("int4[]", "[]", "{}"),
    ("int8[]", "[[1,2],[3,4]]", "{{1,2},{3,4}}"),
    (
        "text[]",
        r#"["a,b", "NULL", null, "", "q\"\\", "{}"]"#,
        r#"{"a,b","NULL",NULL,"","q\"\\","{}"}"#,
    ),
    ("varchar(2)[]", "[\"ab\"]", "{ab}"),
    ("numeric(10,2)[]", "[1.10, \"-2.00\"]", "{1.10,-2.00}"),
    ("bool[]", "[true, false]", "{t,f}"),
    ("bytea[]", r#"["\\x00ff"]"#, r#"{"\\x00ff"}"#),
    (
        "uuid[]",
        "[\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"]",
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
    ),
    (
        "timestamptz[]",
        "[\"2024-06-01T12:00:00+02:00\"]",
        "{\"2024-06-01 10:00:00+00\"}",
    ),
    ("interval[]", "[\"1 day\"]", "{\"1 day\"}"),
    (
        "jsonb[]",
        r#"[{"a": [1]}, [2], "x"]"#,
        r#"{"{\"a\": [1]}",[2],"\"x\""}"#,
    ),
    ("mood[]", "[\"sad\"]", "{sad}"),
    ("float8[]", "[1.5, \"NaN\"]", "{1.5,NaN}"),
    ("box[]", "[\"(1,1),(0,0)\"]", "{(1,1),(0,0)}"),
];

/// Types of the user's own.
const OWN_TYPES: &str = r#"
    CREATE TYPE mood AS ENUM ('sad', 'it''s "fine"');
    CREATE DOMAIN "Short Text" AS varchar(3);
    CREATE DOMAIN positive AS int4 CHECK (VALUE > 0);
    CREATE DOMAIN positives AS int4[];
    CREATE TYPE pair AS (a int, b text);
"#;

async fn target() -> Target {
    let mut schema = OWN_TYPES.to_owned();
    for (number, (sql_type, ..)) in CASES.iter().enumerate() {
        schema += &format!("CREATE TABLE t{number} (id int PRIMARY KEY, v {sql_type});\n");
    }
    Target::with(&schema).await
}

/// Rows written at once, so that each way of writing has its turn.
const BATCHES: [std::ops::Range<usize>; 3] = [0..1, 100..107, 200..240];

#[tokio::test]
async fn every_type_survives_every_way_of_writing() {
    let target = target().await;
    let catalog = target.catalog().await;
    let mut methods = std::collections::BTreeMap::new();
    for (number, (sql_type, json, shown)) in CASES.iter().enumerate() {
        for ids in BATCHES {
            let operations: Vec<_> = ids
                .clone()
                .map(|id| {
                    insert(
                        &format!("t{number}"),
                        &format!(r#"{{"id":{id},"v":{json}}}"#),
                    )
                })
                .collect();
            let units = crate::target::units(&catalog, &operations);
            let method = target.methods(&operations).await.remove(0);
            *methods.entry(method).or_insert(0) += 1;
            let mut transaction = tidegate_drain::Sink::begin(&target.sink)
                .await
                .expect("a transaction");
            let refs: Vec<_> = units.iter().collect();
            let outcome = transaction.apply(&refs).await.expect("an outcome");
            let is_applied = matches!(outcome, tidegate_drain::sink::Outcome::Applied);
            assert!(is_applied, "{sql_type} {json}: {outcome:?}");
            transaction.commit().await.expect("a commit");
        }
        let rows = target.rows(&format!("SELECT v::text FROM t{number}")).await;
        assert_eq!(rows.len(), 48, "{sql_type} {json}");
        assert!(
            rows.iter().all(|row| row == shown),
            "{sql_type} {json}: {:?}",
            rows.first()
        );
    }
    // Each way had its turn; arrays and what only the server reads are not copied.
    assert_eq!(
        methods.keys().collect::<Vec<_>>(),
        ["bulk", "copy", "single"]
    );
}

#[tokio::test]
async fn every_type_survives_update_and_upsert() {
    let target = target().await;
    for (number, (sql_type, json, shown)) in CASES.iter().enumerate() {
        let table = format!("t{number}");
        let empty: Vec<_> = (0..12)
            .map(|id| insert(&table, &format!(r#"{{"id":{id}}}"#)))
            .collect();
        target.accept(&empty).await;
        let update = |id| {
            format!(
                r#"{{"op":"update","table":"{table}","key":{{"id":{id}}},"set":{{"v":{json}}}}}"#
            )
        };
        let upsert =
            |id| format!(r#"{{"op":"upsert","table":"{table}","row":{{"id":{id},"v":{json}}}}}"#);
        target.accept(&[update(0)]).await;
        target.accept(&(1..6).map(update).collect::<Vec<_>>()).await;
        target.accept(&[upsert(6)]).await;
        target
            .accept(&(7..20).map(upsert).collect::<Vec<_>>())
            .await;
        let rows = target.rows(&format!("SELECT v::text FROM {table}")).await;
        assert_eq!(rows.len(), 20, "{sql_type} {json}");
        assert!(
            rows.iter().all(|row| row == shown),
            "{sql_type} {json}: {rows:?}"
        );
    }
}

#[tokio::test]
async fn null_is_null_in_every_type() {
    let target = target().await;
    for (number, (sql_type, json, _)) in CASES.iter().enumerate() {
        let table = format!("t{number}");
        for ids in BATCHES {
            // A column of an array has NULLs beside values.
            let value = |id: usize| if id.is_multiple_of(2) { "null" } else { json };
            let operations: Vec<_> = ids
                .map(|id| insert(&table, &format!(r#"{{"id":{id},"v":{}}}"#, value(id))))
                .collect();
            target.accept(&operations).await;
        }
        let nulls = format!("SELECT count(*) FROM {table} WHERE v IS NULL AND id % 2 = 0");
        let values = format!("SELECT count(*) FROM {table} WHERE v IS NOT NULL AND id % 2 = 1");
        let counts = (target.count(&nulls).await, target.count(&values).await);
        assert_eq!(counts, (25, 23), "{sql_type}");
    }
}

#[tokio::test]
async fn a_column_left_out_gets_its_default_and_a_given_null_stays_null() {
    let schema = "
        CREATE DOMAIN answer AS int DEFAULT 42;
        CREATE TABLE t (id int PRIMARY KEY, a int DEFAULT 7, b text DEFAULT 'x',
            c int GENERATED ALWAYS AS (a * 2) STORED, d int GENERATED ALWAYS AS IDENTITY,
            e int GENERATED BY DEFAULT AS IDENTITY, f answer, g timestamptz DEFAULT now())";
    let target = Target::with(schema).await;
    for ids in BATCHES {
        let operations: Vec<_> = ids
            .map(|id| match id % 2 {
                0 => insert("t", &format!(r#"{{"id":{id}}}"#)),
                _ => insert(
                    "t",
                    &format!(
                        r#"{{"id":{id},"a":null,"b":null,"d":{},"e":{id},"f":null}}"#,
                        1_000 + id
                    ),
                ),
            })
            .collect();
        target.accept(&operations).await;
    }
    let defaults = "SELECT count(*) FROM t WHERE id % 2 = 0 AND a = 7 AND b = 'x' AND c = 14 \
        AND d < 1000 AND e IS NOT NULL AND f = 42 AND g IS NOT NULL";
    let given = "SELECT count(*) FROM t WHERE id % 2 = 1 AND a IS NULL AND b IS NULL \
        AND c IS NULL AND d = 1000 + id AND e = id AND f IS NULL AND g IS NOT NULL";
    assert_eq!(
        (target.count(defaults).await, target.count(given).await),
        (25, 23)
    );
    let rejection = target.reject(&insert("t", r#"{"id":1,"c":1}"#)).await;
    assert_eq!(rejection.code, Code::UnknownColumn);
    assert!(rejection.reason.contains("generated"), "{rejection}");
}

#[tokio::test]
async fn a_row_of_defaults_only_can_be_inserted() {
    let target = Target::with("CREATE TABLE t (id serial PRIMARY KEY, a int DEFAULT 7)").await;
    let operations: Vec<_> = (0..30).map(|_| insert("t", "{}")).collect();
    target.accept(&operations).await;
    assert_eq!(target.count("SELECT count(*) FROM t WHERE a = 7").await, 30);
}

#[tokio::test]
async fn what_would_be_cut_rounded_or_guessed_is_refused() {
    let target = target().await;
    let table_of = |wanted: &str| {
        let number = CASES.iter().position(|(sql_type, ..)| *sql_type == wanted);
        format!("t{}", number.expect("a case"))
    };
    for (sql_type, json, code) in [
        ("varchar(3)", "\"abcd\"", Code::OutOfRange),
        ("varchar(3)", "\"abc  \"", Code::OutOfRange),
        ("char(4)", "\"abcde\"", Code::OutOfRange),
        ("\"Short Text\"", "\"abcd\"", Code::OutOfRange),
        ("\"char\"", "\"xy\"", Code::OutOfRange),
        ("numeric(10,2)", "0.001", Code::OutOfRange),
        ("numeric(10,2)[]", "[0.001]", Code::OutOfRange),
        ("varchar(2)[]", "[\"abc\"]", Code::OutOfRange),
        ("int2", "32768", Code::OutOfRange),
        ("int4", "1.5", Code::WrongType),
        ("text", "12", Code::WrongType),
        ("time(3)", "\"10:00:00.1234\"", Code::OutOfRange),
        ("timestamptz", "\"2024-06-01T12:00:00\"", Code::WrongType),
        ("date", "\"2023-02-29\"", Code::OutOfRange),
        ("interval", "\"0.1234567 seconds\"", Code::OutOfRange),
        ("money", "0.123", Code::OutOfRange),
        ("mood", "\"happy\"", Code::WrongType),
        ("jsonb", "\"\\u0000\"", Code::OutOfRange),
    ] {
        let row = format!(r#"{{"id":1,"v":{json}}}"#);
        let rejection = target.reject(&insert(&table_of(sql_type), &row)).await;
        assert_eq!(rejection.code, code, "{sql_type} {json}: {rejection}");
        assert!(rejection.reason.contains("\"v\""), "{rejection}");
    }
    // What only the server can read, only the server can refuse; it never cuts either.
    for (sql_type, json, sqlstate) in [
        ("bit(4)", "\"10101\"", "22026"),
        ("varbit(4)", "\"10101\"", "22001"),
        ("inet", "\"10.0.0.300\"", "22P02"),
        ("positive", "0", "23514"),
        ("int4range", "\"[5,1)\"", "22000"),
    ] {
        let row = format!(r#"{{"id":1,"v":{json}}}"#);
        let refusal = target.refuse(&insert(&table_of(sql_type), &row)).await;
        assert_eq!(
            refusal.rejection.sqlstate.as_deref(),
            Some(sqlstate),
            "{:?}",
            refusal.rejection
        );
        assert!(
            !refusal.rejection.reason.contains("300"),
            "a reason has no values"
        );
    }
}
