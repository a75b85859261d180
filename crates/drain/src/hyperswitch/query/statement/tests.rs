//! What is taken of SQL, and what is not.

use super::*;

fn bind(column: &str, place: usize) -> (String, Slot) {
    (column.to_owned(), Slot::Bind(place))
}

#[test]
fn an_insert_names_its_columns_and_binds() {
    let sql = r#"INSERT INTO "refund" ("refund_id", "note", "amount") VALUES ($1, DEFAULT, $2) RETURNING "refund"."refund_id""#;
    let statement = parse(sql).expect("taken");
    assert_eq!(statement.verb, Verb::Insert);
    assert_eq!(statement.table.name, "refund");
    let note = ("note".to_owned(), Slot::Default);
    assert_eq!(
        statement.rows,
        [vec![bind("refund_id", 0), note, bind("amount", 1)]]
    );
}

#[test]
fn several_rows_and_conflicts_that_do_nothing_are_taken() {
    let sql = r#"INSERT INTO "s"."T" ("a") VALUES ($1), ($2) ON CONFLICT DO NOTHING"#;
    let statement = parse(sql).expect("taken");
    assert_eq!(statement.table.schema.as_deref(), Some("s"));
    assert_eq!(statement.rows, [vec![bind("a", 0)], vec![bind("a", 1)]]);
}

#[test]
fn an_update_and_a_delete_name_their_row() {
    let sql = r#"UPDATE "t" SET "x" = $1, Y = NULL WHERE (("t"."a" = $2) AND ("t"."b" = $3))"#;
    let statement = parse(sql).expect("taken");
    let y = ("y".to_owned(), Slot::Json("null"));
    assert_eq!(statement.rows, [vec![bind("x", 0), y]]);
    assert_eq!(statement.key, [bind("a", 1), bind("b", 2)]);
    let statement = parse(r#"DELETE  FROM "t" WHERE ("t"."a" = $1)"#).expect("taken");
    assert_eq!(
        (statement.verb, statement.key),
        (Verb::Delete, vec![bind("a", 0)])
    );
}

#[test]
fn everything_else_is_refused() {
    for sql in [
        "",
        ";",
        "SELECT 1",
        "DROP TABLE refund",
        "TRUNCATE refund",
        "COPY refund FROM '/etc/passwd'",
        r#"DELETE FROM "t""#,
        r#"UPDATE "t" SET "a" = $1"#,
        r#"DELETE FROM "t" WHERE "a" = $1; DROP TABLE "t""#,
        r#"DELETE FROM "t" WHERE "a" = $1 OR true"#,
        r#"DELETE FROM "t" WHERE "a" = "a""#,
        r#"DELETE FROM "t" WHERE "a" <> $1"#,
        r#"DELETE FROM "t" WHERE NOT ("a" = $1)"#,
        r#"DELETE FROM "t" WHERE "a" = 1"#,
        r#"DELETE FROM "t" WHERE "u"."a" = $1"#,
        r#"DELETE FROM "t" AS x WHERE "a" = $1"#,
        r#"DELETE FROM "t" USING "u" WHERE "a" = $1"#,
        r#"DELETE FROM "t" WHERE "a" = $1 AND "b" IN (SELECT 1)"#,
        r#"DELETE FROM ONLY_T('x') WHERE "a" = $1"#,
        r#"WITH x AS (DELETE FROM "u") DELETE FROM "t" WHERE "a" = $1"#,
        r#"UPDATE "t" SET "a" = $1 FROM "u" WHERE "b" = $2"#,
        r#"UPDATE "t" SET "a" = "a" + $1 WHERE "b" = $2"#,
        r#"UPDATE "t" SET "a" = DEFAULT WHERE "b" = $1"#,
        r#"UPDATE "t" SET "a" = pg_sleep(1) WHERE "b" = $1"#,
        r#"UPDATE "t" SET ("a", "b") = ($1, $2) WHERE "b" = $1"#,
        r#"UPDATE "t" SET "a" = (SELECT $1) WHERE "b" = $2"#,
        r#"UPDATE "t", "u" SET "a" = $1 WHERE "b" = $2"#,
        r#"INSERT INTO "t" VALUES ($1)"#,
        r#"INSERT INTO "t" ("a") SELECT $1"#,
        r#"INSERT INTO "t" ("a") VALUES ($1, $2)"#,
        r#"INSERT INTO "t" ("a") VALUES ('x')"#,
        r#"INSERT INTO "t" ("a") VALUES ($0)"#,
        r#"INSERT INTO "t" ("a") VALUES (?)"#,
        r#"INSERT INTO "t" ("a") VALUES (lower($1))"#,
        r#"INSERT INTO "t" ("a") VALUES ($1::int)"#,
        r#"INSERT INTO "t" ("a") VALUES ($1) ON CONFLICT ("a") DO UPDATE SET "a" = $1"#,
        r#"INSERT INTO "t" AS x ("a") VALUES ($1)"#,
        r#"INSERT INTO "d"."s"."t" ("a") VALUES ($1)"#,
        r#"INSERT INTO "t" DEFAULT VALUES"#,
        r#"INSERT INTO "t" ("a") VALUES ($1) LIMIT 1"#,
        "/* nothing */",
        "INSERT INTO \"t",
    ] {
        let rejection = parse(sql).expect_err(sql);
        assert_eq!(rejection.code, Code::NotAllowed, "{sql}: {rejection}");
    }
}

#[test]
fn a_comment_is_no_way_around() {
    let sql = r#"DELETE FROM "t" /* " */ WHERE "a" = $1 -- OR true"#;
    assert_eq!(parse(sql).expect("taken").key, [bind("a", 0)]);
}

#[test]
fn a_text_that_would_become_a_deep_tree_is_refused_before_it_is_parsed() {
    let chain = "+1".repeat(200_000);
    let nested = format!("{}{}", "(".repeat(100_000), ")".repeat(100_000));
    let equalities = r#""a" = $1 AND "#.repeat(50_000);
    let groups = "(1)=".repeat(100_000);
    for sql in [
        format!("SELECT 1{chain}"),
        format!(r#"DELETE FROM "t" WHERE {nested}"#),
        format!(r#"DELETE FROM "t" WHERE {equalities} "a" = $1"#),
        format!(r#"DELETE FROM "t" WHERE {groups}(1)"#),
        format!("SELECT {}", "NOT ".repeat(100_000)),
    ] {
        assert!(parse(&sql).is_err());
    }
}
