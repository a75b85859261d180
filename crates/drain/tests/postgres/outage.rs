//! Lost connections, deadlocks and frozen owners: an absence, never a dead letter.

use std::time::Duration;

use futures::FutureExt;
use tidegate_drain::sink::{Outcome, Sink as _, SinkTransaction, Unit};
use tidegate_drain::{Error, PostgresOptions, PostgresSink, Result};
use tidegate_testkit::{FaultProxy, PostgresServer, poll_until};

use crate::target::{Target, insert, open, shard, units};

const SCHEMA: &str = "CREATE TABLE t (id int PRIMARY KEY, v int)";
const SOON: Duration = Duration::from_secs(20);

fn rows(ids: std::ops::Range<usize>) -> Vec<String> {
    ids.map(|id| insert("t", &format!(r#"{{"id":{id},"v":0}}"#)))
        .collect()
}

fn update(id: usize) -> String {
    format!(r#"{{"op":"update","table":"t","key":{{"id":{id}}},"set":{{"v":1}}}}"#)
}

async fn apply(transaction: &mut Box<dyn SinkTransaction>, units: &[Unit]) -> Result<Outcome> {
    let refs: Vec<&Unit> = units.iter().collect();
    transaction.apply(&refs).await
}

fn is_unavailable<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::SinkUnavailable(_)))
}

/// Ends all sessions of the drain, as an administrator would.
const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE application_name = 'tidegate' AND datname = current_database()";

#[tokio::test]
async fn a_lost_connection_is_an_absence_and_the_next_one_is_new() {
    let target = Target::with(SCHEMA).await;
    let catalog = target.catalog().await;
    for count in [1, 5, 40] {
        let units = units(&catalog, &rows(0..count));
        let mut transaction = target.sink.begin().await.expect("a transaction");
        target.run(TERMINATE).await;
        let result = apply(&mut transaction, &units).await;
        assert!(is_unavailable(&result), "{result:?}");
        let result = transaction.commit().await;
        assert!(is_unavailable(&result), "{result:?}");
    }
    // Every idle connection of the pool is dead by now, and nobody notices.
    for _ in 0..6 {
        target.run(TERMINATE).await;
        target
            .accept(&[
                insert("t", r#"{"v":1,"id":1}"#),
                r#"{"op":"delete","table":"t","key":{"id":1}}"#.to_owned(),
            ])
            .await;
    }
    let mut transaction = target.sink.begin().await.expect("a transaction");
    apply(&mut transaction, &units(&catalog, &rows(0..40)))
        .await
        .expect("applied");
    target.run(TERMINATE).await;
    let result = transaction.commit().await;
    assert!(is_unavailable(&result), "{result:?}");
    assert_eq!(target.count("SELECT count(*) FROM t").await, 0);
}

/// What the server answers is cut by the network at any place. The driver hands out each piece by
/// itself, and reads no further while nobody takes them.
#[tokio::test]
async fn answers_that_come_in_pieces_hold_nothing_up() {
    let target = Target::with(SCHEMA).await;
    let server = PostgresServer::shared().await.expect("a server");
    let proxy = FaultProxy::start(server.port()).await.expect("a proxy");
    let name = target.database.name();
    let sink = open(&format!(
        "postgres://postgres@127.0.0.1:{}/{name}",
        proxy.port()
    ))
    .await;
    let catalog = sink.catalog().await.expect("a catalog");
    // Statements that are all new, several of them refused.
    let mut operations = rows(0..2);
    operations.push(update(0));
    operations.push(update(77));
    operations.push(r#"{"op":"upsert","table":"t","row":{"id":1,"v":2}}"#.to_owned());
    operations.push(r#"{"op":"delete","table":"t","key":{"id":1}}"#.to_owned());
    let units = units(&catalog, &operations);
    for piece_bytes_max in [5, 20, 100] {
        proxy.divide(piece_bytes_max);
        let mut transaction = sink.begin().await.expect("a transaction");
        let applied = tokio::time::timeout(SOON, apply(&mut transaction, &units)).await;
        let outcome = applied.expect("in time").expect("an outcome");
        assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing_and_its_connection_is_clean() {
    let target = Target::with(SCHEMA).await;
    let options = PostgresOptions {
        connections_max: 1,
        ..PostgresOptions::default()
    };
    let sink = PostgresSink::connect(&target.database.url(), options)
        .await
        .expect("a sink");
    let catalog = sink.catalog().await.expect("a catalog");
    for count in [1, 5, 40] {
        let units = units(&catalog, &rows(0..count));
        let mut transaction = sink.begin().await.expect("a transaction");
        assert!(apply(&mut transaction, &units).await.is_ok());
        drop(transaction);
        // Dropped while it waits for its answer.
        let mut transaction = sink.begin().await.expect("a transaction");
        let answered = apply(&mut transaction, &units).now_or_never();
        assert!(answered.is_none(), "cut off");
        drop(transaction);
        // Refused, then dropped.
        let mut transaction = sink.begin().await.expect("a transaction");
        let bad = crate::target::units(&catalog, &[update(77)]);
        assert!(matches!(
            apply(&mut transaction, &bad).await,
            Ok(Outcome::Refused { .. })
        ));
        drop(transaction);
        let rest = sink.begin().await.expect("a transaction");
        rest.commit().await.expect("a commit");
        let idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidegate' \
            AND datname = current_database() AND state LIKE 'idle in%'";
        poll_until(SOON, async || target.count(idle).await == 0)
            .await
            .expect("all are rolled back");
        assert_eq!(target.count("SELECT count(*) FROM t").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_victim_of_a_deadlock_may_try_again() {
    let target = Target::with(SCHEMA).await;
    target.accept(&rows(0..2)).await;
    let catalog = target.catalog().await;
    let [first, second] = [update(0), update(1)].map(|update| units(&catalog, &[update]));
    let mut one = target.sink.begin().await.expect("a transaction");
    let mut two = target.sink.begin().await.expect("a transaction");
    apply(&mut one, &first).await.expect("applied");
    apply(&mut two, &second).await.expect("applied");
    let (one, two) = tokio::join!(apply(&mut one, &second), apply(&mut two, &first));
    let absent = [&one, &two]
        .into_iter()
        .filter(|result| is_unavailable(result))
        .count();
    assert_eq!(absent, 1, "{one:?} {two:?}");
}

#[tokio::test]
async fn a_serialization_failure_may_be_tried_again() {
    // Whatever a trigger raises with these codes means the same to us.
    let schema = "
        CREATE TABLE t (id int PRIMARY KEY, code text);
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION USING ERRCODE = NEW.code, MESSAGE = 'raised'; END $$;
        CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fail()";
    let target = Target::with(schema).await;
    let catalog = target.catalog().await;
    let attempt = async |code: &str| {
        let units = units(
            &catalog,
            &[insert("t", &format!(r#"{{"id":1,"code":"{code}"}}"#))],
        );
        let mut transaction = target.sink.begin().await.expect("a transaction");
        apply(&mut transaction, &units).await
    };
    for code in [
        "40001", "40P01", "53100", "53200", "55006", "57014", "57P03", "25006", "58030", "08006",
    ] {
        let result = attempt(code).await;
        assert!(is_unavailable(&result), "{code}: {result:?}");
    }
    for code in ["42501", "XX001"] {
        let result = attempt(code).await;
        assert!(
            matches!(result, Err(Error::SinkRefused(_))),
            "{code}: {result:?}"
        );
    }
    for code in ["P0001", "22000", "23000", "XX000", "54000", "55P03"] {
        let result = attempt(code).await;
        assert!(
            matches!(result, Ok(Outcome::Refused { .. })),
            "{code}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_silent_owner_loses_its_locks() {
    let target = Target::with(SCHEMA).await;
    target.accept(&rows(0..1)).await;
    let options = PostgresOptions {
        idle_in_transaction_timeout: Duration::from_millis(300),
        ..PostgresOptions::default()
    };
    let sink = PostgresSink::connect(&target.database.url(), options)
        .await
        .expect("a sink");
    let catalog = sink.catalog().await.expect("a catalog");
    let units = units(&catalog, &[update(0)]);
    let mut zombie = sink.begin().await.expect("a transaction");
    apply(&mut zombie, &units).await.expect("applied");
    // It is silent now, as a stopped process would be; somebody else waits for the row.
    target
        .run("SET lock_timeout = '20s'; UPDATE t SET v = 2 WHERE id = 0")
        .await;
    let result = zombie
        .advance(&shard(0), &fence(), tidegate_store::EntryId::new(1, 0), 1)
        .await;
    assert!(is_unavailable(&result), "{result:?}");
    assert!(is_unavailable(&zombie.commit().await));
    assert_eq!(target.rows("SELECT v::text FROM t").await, ["2"]);
}

fn fence() -> tidegate_drain::sink::Fence {
    tidegate_drain::sink::Fence {
        epoch: tidegate_store::Epoch(1),
        position: tidegate_store::EntryId::ZERO,
        revision: 0,
    }
}

#[tokio::test]
async fn a_locked_row_is_waited_for_and_then_left_for_later() {
    let target = Target::with(SCHEMA).await;
    target.accept(&rows(0..1)).await;
    let options = PostgresOptions {
        statement_timeout: Duration::from_millis(200),
        ..PostgresOptions::default()
    };
    let sink = PostgresSink::connect(&target.database.url(), options)
        .await
        .expect("a sink");
    let units = units(&sink.catalog().await.expect("a catalog"), &[update(0)]);
    target.run("BEGIN; UPDATE t SET v = 5 WHERE id = 0").await;
    let mut transaction = sink.begin().await.expect("a transaction");
    let result = apply(&mut transaction, &units).await;
    assert!(is_unavailable(&result), "{result:?}");
    drop(transaction);
    target.run("ROLLBACK").await;
    let mut transaction = sink.begin().await.expect("a transaction");
    assert!(matches!(
        apply(&mut transaction, &units).await,
        Ok(Outcome::Applied)
    ));
}

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    let mut server = PostgresServer::start().await.expect("a server");
    let sink = open(&server.url()).await;
    sink.prepare().await.expect("prepared");
    server.kill().await.expect("killed");
    let result = sink.prepare().await;
    assert!(is_unavailable(&result), "{result:?}");
    server.restart().await.expect("restarted");
    sink.prepare().await.expect("prepared again");
}
