//! What the database refuses: which unit it was, why, and that nothing else suffers.

use tidegate_drain::Code;
use tidegate_drain::sink::{Outcome, Sink as _};

use crate::target::{Target, units};

const SCHEMA: &str = "
    CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
    CREATE TABLE child (
        id INTEGER PRIMARY KEY,
        parent_id INTEGER NOT NULL REFERENCES parent,
        amount INTEGER CONSTRAINT positive CHECK (amount > 0)
    );
";

#[tokio::test]
async fn a_bad_row_in_the_middle_leaves_the_others() {
    let target = Target::with(SCHEMA).await;
    let (index, refusal) = target
        .refuse(&[
            r#"{"op":"insert","table":"parent","row":{"id":1,"name":"secret-name"}}"#,
            r#"{"op":"insert","table":"parent","row":{"id":2,"name":"secret-name"}}"#,
            r#"{"op":"insert","table":"parent","row":{"id":3,"name":"c"}}"#,
        ])
        .await;
    assert_eq!((index, refusal.rejection.code), (1, Code::Refused));
    assert_eq!(
        refusal.rejection.sqlstate.as_deref(),
        Some("SQLITE_CONSTRAINT_UNIQUE")
    );
    assert!(
        refusal.rejection.reason.contains("parent.name"),
        "{}",
        refusal.rejection
    );
    assert!(
        !refusal.rejection.reason.contains("secret"),
        "{}",
        refusal.rejection
    );
    assert_eq!(target.rows("SELECT id FROM parent"), ["i:1"]);
}

#[tokio::test]
async fn the_rest_follows_in_the_same_transaction_after_a_refusal() {
    let target = Target::with(SCHEMA).await;
    let units = units(
        &*target.catalog().await,
        &[
            r#"{"op":"insert","table":"parent","row":{"id":1}}"#,
            r#"{"op":"insert","table":"parent","row":{"id":1}}"#,
            r#"{"op":"insert","table":"parent","row":{"id":3}}"#,
        ],
    );
    let mut transaction = target.sink.begin().await.expect("a transaction");
    let refs: Vec<_> = units.iter().collect();
    let outcome = transaction.apply(&refs).await.expect("an outcome");
    assert!(
        matches!(outcome, Outcome::Refused { applied: 1, .. }),
        "{outcome:?}"
    );
    let outcome = transaction.apply(&refs[2..]).await.expect("an outcome");
    assert!(matches!(outcome, Outcome::Applied), "{outcome:?}");
    transaction.commit().await.expect("a commit");
    assert_eq!(target.rows("SELECT id FROM parent"), ["i:1", "i:3"]);
}

#[tokio::test]
async fn a_transaction_unit_takes_place_whole_or_not_at_all() {
    let target = Target::with(SCHEMA).await;
    let whole = r#"{"op":"transaction","operations":[
        {"op":"insert","table":"parent","row":{"id":1}},
        {"op":"insert","table":"child","row":{"id":1,"parent_id":1,"amount":5}}]}"#;
    let broken = r#"{"op":"transaction","operations":[
        {"op":"insert","table":"parent","row":{"id":2}},
        {"op":"delete","table":"child","key":{"id":1}},
        {"op":"insert","table":"child","row":{"id":2,"parent_id":2,"amount":-5}}]}"#;
    let (index, refusal) = target.refuse(&[whole, broken]).await;
    assert_eq!(index, 1);
    assert!(
        refusal.rejection.reason.contains("positive"),
        "{}",
        refusal.rejection
    );
    assert_eq!(target.rows("SELECT id FROM parent"), ["i:1"]);
    assert_eq!(target.rows("SELECT id FROM child"), ["i:1"]);
}

#[tokio::test]
async fn a_missing_parent_is_told_from_other_refusals() {
    let target = Target::with(SCHEMA).await;
    let orphan = r#"{"op":"insert","table":"child","row":{"id":1,"parent_id":9}}"#;
    let (_, refusal) = target.refuse(&[orphan]).await;
    assert!(refusal.is_missing_parent);
    assert_eq!(refusal.rejection.code, Code::MissingParent);
    assert_eq!(
        refusal.rejection.sqlstate.as_deref(),
        Some("SQLITE_CONSTRAINT_FOREIGNKEY")
    );
    target
        .accept(&[r#"{"op":"insert","table":"parent","row":{"id":9}}"#, orphan])
        .await;
    let (_, refusal) = target
        .refuse(&[r#"{"op":"delete","table":"parent","key":{"id":9}}"#])
        .await;
    assert!(!refusal.is_missing_parent && refusal.rejection.code == Code::Refused);
}

#[tokio::test]
async fn a_deferred_foreign_key_is_checked_before_the_unit_counts() {
    let schema = "CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (id INTEGER PRIMARY KEY,
            parent_id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)";
    let target = Target::with(schema).await;
    let orphan = r#"{"op":"insert","table":"child","row":{"id":1,"parent_id":1}}"#;
    let family = r#"{"op":"transaction","operations":[
        {"op":"insert","table":"child","row":{"id":2,"parent_id":2}},
        {"op":"insert","table":"parent","row":{"id":2}}]}"#;
    let (index, refusal) = target.refuse(&[family, orphan]).await;
    assert!(
        index == 1 && refusal.is_missing_parent,
        "{index} {refusal:?}"
    );
    let delete = r#"{"op":"delete","table":"parent","key":{"id":2}}"#;
    let (_, refusal) = target.refuse(&[delete]).await;
    assert!(!refusal.is_missing_parent);
    assert_eq!(target.rows("SELECT * FROM child"), ["i:2 i:2"]);
    assert_eq!(target.rows("SELECT * FROM parent"), ["i:2"]);
}

#[tokio::test]
async fn an_update_of_a_missing_row_is_refused_and_its_delete_is_not() {
    let target = Target::with(SCHEMA).await;
    let (_, refusal) = target
        .refuse(&[r#"{"op":"update","table":"parent","key":{"id":1},"set":{"name":"x"}}"#])
        .await;
    assert_eq!(refusal.rejection.code, Code::NoSuchRow);
    target
        .accept(&[r#"{"op":"delete","table":"parent","key":{"id":1}}"#])
        .await;
}

#[tokio::test]
async fn a_changed_schema_is_refused_and_deletes_nothing_quietly() {
    let target = Target::with("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)").await;
    target
        .accept(&[r#"{"op":"insert","table":"t","row":{"id":1,"a":"x"}}"#])
        .await;
    let stale = target.catalog().await;
    let operations = [
        r#"{"op":"delete","table":"t","key":{"id":1}}"#,
        r#"{"op":"update","table":"t","key":{"id":1},"set":{"a":"y"}}"#,
        r#"{"op":"upsert","table":"t","row":{"id":1,"a":"y"}}"#,
    ];
    for change in [
        "ALTER TABLE t RENAME COLUMN id TO number; ALTER TABLE t RENAME COLUMN a TO b",
        "ALTER TABLE t RENAME TO other",
    ] {
        target
            .connection()
            .execute_batch(change)
            .expect("a changed schema");
        for unit in units(&stale, &operations) {
            let mut transaction = target.sink.begin().await.expect("a transaction");
            let outcome = transaction.apply(&[&unit]).await.expect("an outcome");
            let Outcome::Refused { culprits, .. } = outcome else {
                panic!("applied: {unit:?}")
            };
            assert!(
                culprits[0].1.rejection.reason.contains("no "),
                "{culprits:?}"
            );
        }
    }
    assert_eq!(target.rows("SELECT * FROM other"), ["i:1 t:x"]);
}

#[tokio::test]
async fn a_trigger_leaves_nothing_of_a_refused_row_and_shows_only_its_own_words() {
    let schema = "CREATE TABLE log (id INTEGER PRIMARY KEY);
        CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
        CREATE TRIGGER t_log BEFORE INSERT ON t BEGIN INSERT INTO log VALUES (NEW.id); END;
        CREATE TRIGGER t_fixed AFTER INSERT ON t WHEN NEW.id = 1
            BEGIN SELECT RAISE(FAIL, 'it''s closed'); END;
        CREATE TRIGGER t_made AFTER INSERT ON t WHEN NEW.id = 2
            BEGIN SELECT RAISE(ABORT, 'no ' || NEW.a); END";
    let target = Target::with(schema).await;
    let insert =
        |id: u8| format!(r#"{{"op":"insert","table":"t","row":{{"id":{id},"a":"secret"}}}}"#);
    let (_, refusal) = target.refuse(&[&insert(1)]).await;
    assert!(
        refusal.rejection.reason.contains("it's closed"),
        "{}",
        refusal.rejection
    );
    let (_, refusal) = target.refuse(&[&insert(2)]).await;
    assert!(
        !refusal.rejection.reason.contains("secret"),
        "{}",
        refusal.rejection
    );
    assert_eq!(target.count("SELECT count(*) FROM log"), 0);
    target.accept(&[&insert(3)]).await;
    assert_eq!(target.rows("SELECT id FROM log"), ["i:3"]);
}

#[tokio::test]
async fn a_conflict_clause_of_the_table_loses_no_row() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE ON CONFLICT REPLACE,
        b TEXT UNIQUE ON CONFLICT IGNORE, c TEXT UNIQUE ON CONFLICT ROLLBACK)";
    let target = Target::with(schema).await;
    let row = |id: u8, column: &str| {
        format!(r#"{{"op":"insert","table":"t","row":{{"id":{id},"{column}":"x"}}}}"#)
    };
    for column in ["a", "b", "c"] {
        let first = format!(r#"{{"op":"upsert","table":"t","row":{{"id":1,"{column}":"x"}}}}"#);
        let (index, _) = target.refuse(&[&first, &row(2, column)]).await;
        assert_eq!(index, 1, "{column}");
    }
    assert_eq!(target.rows("SELECT * FROM t"), ["i:1 t:x t:x t:x"]);
}

#[tokio::test]
async fn a_trigger_that_rolls_everything_back_stops_the_drain_instead_of_losing_rows() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY);
        CREATE TRIGGER bad BEFORE INSERT ON t WHEN NEW.id = 2
            BEGIN SELECT RAISE(ROLLBACK, 'no'); END";
    let target = Target::with(schema).await;
    let operations =
        [1, 2].map(|id| format!(r#"{{"op":"insert","table":"t","row":{{"id":{id}}}}}"#));
    let units = units(&*target.catalog().await, &[&operations[0], &operations[1]]);
    let mut transaction = target.sink.begin().await.expect("a transaction");
    let error = transaction
        .apply(&[&units[0], &units[1]])
        .await
        .expect_err("an error");
    assert!(
        matches!(error, tidegate_drain::Error::SinkRefused(_)),
        "{error}"
    );
    assert!(error.to_string().contains("RAISE(ABORT"), "{error}");
    assert!(
        transaction.apply(&[&units[0]]).await.is_err(),
        "a statement would stand alone"
    );
    assert!(transaction.commit().await.is_err());
    assert_eq!(target.count("SELECT count(*) FROM t"), 0);
    target.accept(&[&operations[0]]).await;
}
