//! Several openers, dropped transactions and killed processes.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use futures::FutureExt;
use tidegate_drain::sink::{Sink as _, Unit};
use tidegate_drain::{Error, SqliteSink};
use tidegate_store::Epoch;

use crate::target::{Target, shard, units};

const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY)";

fn insert(id: usize) -> String {
    format!(r#"{{"op":"insert","table":"t","row":{{"id":{id}}}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sinks_prepare_one_file_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("target.sqlite");
    let prepare = || {
        let path = path.clone();
        tokio::spawn(async move { SqliteSink::open(&path).await?.prepare().await })
    };
    let all: Vec<_> = (0..8).map(|_| prepare()).collect();
    for one in all {
        one.await.expect("no panic").expect("prepared");
    }
    let sink = SqliteSink::open(&path).await.expect("a sink");
    sink.prepare().await.expect("prepared again");
    assert!(
        sink.ledger(&shard(0).stream)
            .await
            .expect("a ledger")
            .is_empty()
    );
}

#[tokio::test]
async fn a_file_of_a_newer_version_or_another_kind_is_refused() {
    let target = Target::with("UPDATE tidegate_sink_meta SET value = 99").await;
    let error = target.sink.prepare().await.expect_err("refused");
    assert!(error.to_string().contains("newer"), "{error}");
    let other = target.path.with_file_name("other.sqlite");
    std::fs::write(&other, [7; 9_000]).expect("a file");
    let error = SqliteSink::open(&other).await.expect_err("refused");
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
    let missing = target.path.with_file_name("missing").join("file.sqlite");
    let error = SqliteSink::open(&missing).await.expect_err("refused");
    assert!(matches!(error, Error::SinkUnavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing_and_the_sink_usable() {
    let target = Target::with(SCHEMA).await;
    let operation = insert(1);
    let units = units(&*target.catalog().await, &[&operation]);
    let mut transaction = target.sink.begin().await.expect("a transaction");
    transaction.apply(&[&units[0]]).await.expect("applied");
    drop(transaction);
    assert_eq!(target.count("SELECT count(*) FROM t"), 0);
    target.accept(&[&operation]).await;
}

#[tokio::test]
async fn a_step_that_nobody_waits_for_takes_its_transaction_along() {
    let target = Target::with(SCHEMA).await;
    let operations: Vec<_> = (0..2_000).map(insert).collect();
    let operations: Vec<_> = operations.iter().map(String::as_str).collect();
    let units = units(&*target.catalog().await, &operations);
    let refs: Vec<&Unit> = units.iter().collect();
    let mut transaction = target.sink.begin().await.expect("a transaction");
    // The step starts on its thread, and the caller gives up at the first wait. Where it was done
    // before the caller could wait at all, it is tried again.
    while transaction.apply(&refs).now_or_never().is_some() {
        drop(transaction);
        transaction = target.sink.begin().await.expect("a transaction");
    }
    assert!(
        transaction.apply(&refs).await.is_err(),
        "half a transaction must not go on"
    );
    drop(transaction);
    target.accept(&operations).await;
    assert_eq!(target.count("SELECT count(*) FROM t"), 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_several_sinks_take_turns() {
    let target = Target::with(SCHEMA).await;
    let work = |sink: SqliteSink, index: usize| async move {
        let catalog = sink.catalog().await.expect("a catalog");
        for number in 0..50 {
            let units = units(&catalog, &[&insert(index * 1_000 + number)]);
            let mut transaction = sink.begin().await.expect("a transaction");
            transaction.apply(&[&units[0]]).await.expect("applied");
            transaction.commit().await.expect("a commit");
        }
    };
    let mut workers = Vec::new();
    for index in 0..4 {
        let sink = SqliteSink::open(&target.path).await.expect("a sink");
        workers.push(tokio::spawn(work(sink, index)));
    }
    for worker in workers {
        worker.await.expect("no panic");
    }
    assert_eq!(target.count("SELECT count(*) FROM t"), 200);
}

const CHILD: &str = "durability::child_that_is_killed";

#[tokio::test]
async fn what_is_committed_survives_a_kill_and_the_rest_does_not() {
    let target = Target::with(SCHEMA).await;
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args([CHILD, "--exact", "--ignored", "--nocapture"])
        .env("TEST_SINK_PATH", &target.path)
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child");
    let output = BufReader::new(child.stderr.take().expect("a pipe"));
    let is_ready = output
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("ready to die"));
    child.kill().expect("killed");
    child.wait().expect("waited for");
    assert!(is_ready);
    let sink = SqliteSink::open(&target.path).await.expect("a sink");
    let claim = sink.claim(&shard(0), Epoch(1), 0).await.expect("a claim");
    assert_eq!(claim.position.ms, 1);
    assert_eq!(target.rows("SELECT id FROM t"), ["i:1"]);
}

#[tokio::test]
#[ignore = "the body of a child process"]
async fn child_that_is_killed() {
    let Some(path) = std::env::var_os("TEST_SINK_PATH") else {
        return;
    };
    let sink = SqliteSink::open(path.as_ref()).await.expect("a sink");
    let units = units(
        &sink.catalog().await.expect("a catalog"),
        &[&insert(1), &insert(2)],
    );
    let mut claim = sink.claim(&shard(0), Epoch(1), 0).await.expect("a claim");
    for unit in &units {
        let mut transaction = sink.begin().await.expect("a transaction");
        transaction.apply(&[unit]).await.expect("applied");
        let fence = tidegate_drain::sink::Fence {
            epoch: Epoch(1),
            position: claim.position,
            revision: claim.revision,
        };
        let to = unit.envelope.id;
        assert!(
            transaction
                .advance(&shard(0), &fence, to, 1)
                .await
                .expect("an answer")
        );
        claim.position = to;
        if to.ms == 2 {
            eprintln!("ready to die");
            std::future::pending::<()>().await;
        }
        transaction.commit().await.expect("a commit");
    }
}
