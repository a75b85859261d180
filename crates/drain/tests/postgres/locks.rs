//! Locks of others: who is held up is named, and nobody else is.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tidegate_drain::locks::Lock;
use tidegate_drain::sink::{Outcome, Sink as _, Unit};
use tidegate_drain::{Code, Error, Executor, PostgresOptions, PostgresSink};

use crate::target::{Target, insert, units};

const SCHEMA: &str = "
    CREATE TABLE t (id int PRIMARY KEY, v int);
    CREATE TABLE u (id int PRIMARY KEY, v int);
    CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES t);
    CREATE TABLE late (id int PRIMARY KEY,
        parent int REFERENCES t DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO t SELECT n, 0 FROM generate_series(1000, 1100) n;";

async fn impatient() -> Target {
    let mut target = Target::with(SCHEMA).await;
    target.sink = sink(&target).await;
    target
}

async fn sink(target: &Target) -> PostgresSink {
    let options = PostgresOptions {
        lock_timeout: Duration::from_millis(100),
        ..PostgresOptions::default()
    };
    let sink = PostgresSink::connect(&target.database.url(), options).await;
    sink.expect("a sink")
}

/// Alternately a row for either table: enough for COPY, for arrays, for single statements.
fn both(first: usize, count: usize) -> Vec<String> {
    let row = |id: usize| {
        let table = if id.is_multiple_of(2) { "t" } else { "u" };
        insert(table, &format!(r#"{{"id":{id},"v":0}}"#))
    };
    (first..first + 2 * count).map(row).collect()
}

#[tokio::test]
async fn all_units_of_a_locked_table_are_named_at_once_however_they_are_written() {
    let target = impatient().await;
    for mode in ["ACCESS EXCLUSIVE", "SHARE"] {
        for count in [1, 5, 60] {
            target
                .run(&format!("BEGIN; LOCK TABLE t IN {mode} MODE"))
                .await;
            let units = units(&*target.catalog().await, &both(0, count));
            let refs: Vec<&Unit> = units.iter().collect();
            let mut outcome = Err(Error::Invalid(String::new()));
            // COPY that is refused before it took data costs the connection, once.
            for _ in 0..2 {
                let mut transaction = target.sink.begin().await.expect("a transaction");
                outcome = transaction.apply(&refs).await;
                if !matches!(outcome, Err(Error::SinkUnavailable(_))) {
                    break;
                }
            }
            target.run("ROLLBACK").await;
            let Ok(Outcome::Refused {
                applied: 0,
                culprits,
            }) = outcome
            else {
                panic!("{mode} {count}: {outcome:?}");
            };
            let named: Vec<usize> = culprits.iter().map(|(index, _)| *index).collect();
            let expected: Vec<usize> = (0..2 * count).step_by(2).collect();
            assert_eq!(named, expected, "{mode} {count}");
            let (_, refusal) = culprits.first().expect("one");
            assert_eq!(refusal.rejection.code, Code::Locked);
            assert!(matches!(&refusal.lock, Lock::Tables(tables) if tables.len() == 1));
        }
    }
}

#[tokio::test]
async fn only_the_locked_rows_are_named_for_updates_upserts_and_deletes() {
    let target = impatient().await;
    target
        .run("BEGIN; SELECT FROM t WHERE id IN (1003, 1050) FOR UPDATE")
        .await;
    let change = |verb: &str, id: usize| match verb {
        "update" => format!(r#"{{"op":"update","table":"t","key":{{"id":{id}}},"set":{{"v":1}}}}"#),
        "upsert" => format!(r#"{{"op":"upsert","table":"t","row":{{"v":1,"id":{id}}}}}"#),
        _ => format!(r#"{{"op":"delete","table":"t","key":{{"id":{id}}}}}"#),
    };
    for verb in ["update", "upsert", "delete"] {
        let operations: Vec<String> = (1000..1100).map(|id| change(verb, id)).collect();
        let units = units(&*target.catalog().await, &operations);
        let refs: Vec<&Unit> = units.iter().collect();
        let mut transaction = target.sink.begin().await.expect("a transaction");
        let outcome = transaction.apply(&refs).await.expect("an outcome");
        let Outcome::Refused { culprits, .. } = outcome else {
            panic!("{verb}: {outcome:?}");
        };
        let named: Vec<usize> = culprits.iter().map(|(index, _)| *index).collect();
        assert_eq!(named, [3, 50], "{verb}");
        assert!(
            culprits
                .iter()
                .all(|(_, refusal)| refusal.lock == Lock::Row)
        );
    }
}

#[tokio::test]
async fn children_of_a_locked_table_wait_and_the_others_are_applied() {
    let target = impatient().await;
    target
        .run("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        .await;
    let mut operations = both(1, 20);
    for (id, table) in [(1, "child"), (2, "late"), (3, "child"), (4, "late")] {
        operations.push(insert(table, &format!(r#"{{"id":{id},"parent":1000}}"#)));
    }
    let settled = target.drain(1, &operations).await;
    assert_eq!(
        (settled.applied, settled.waiting, settled.dead),
        (20, 24, 0)
    );
    target.run("ROLLBACK").await;
    let settled = target.drain(2, &both(101, 10)).await;
    assert_eq!(
        settled.applied, 10,
        "what is new stands in line, too: {settled:?}"
    );
}

#[tokio::test]
async fn a_locked_row_is_no_answer_to_an_operation_at_once() {
    let target = impatient().await;
    target
        .run("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        .await;
    let executor = Executor::new(Arc::new(sink(&target).await), 1_000);
    let now = SystemTime::now();
    let executed = executor
        .execute(insert("t", r#"{"id":1,"v":0}"#), now)
        .await;
    assert!(
        matches!(executed, Err(Error::SinkUnavailable(_))),
        "{executed:?}"
    );
}
