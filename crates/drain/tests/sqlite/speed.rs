//! How fast rows are written; run in release with `--run-ignored only`.

use std::time::Instant;

use tidegate_drain::apply::{Context, Rules, apply_entries};
use tidegate_drain::sink::{Fence, Sink as _, Unit};
use tidegate_store::{EntryId, Epoch};

use crate::target::{Target, entry, shard, units};

const ROWS: usize = 400_000;
const BATCH: usize = 1_000;

const SCHEMA: &str = "CREATE TABLE payment (id INTEGER PRIMARY KEY, account BIGINT NOT NULL,
    cents BIGINT NOT NULL, currency VARCHAR(3) NOT NULL, state TEXT, reference UUID,
    created_at TIMESTAMPTZ, is_test BOOLEAN)";

fn operations() -> Vec<String> {
    let operation = |id| {
        format!(
            r#"{{"op":"insert","table":"payment","row":{{"id":{id},"account":{},"cents":1050,"currency":"EUR","state":"confirmed","reference":"67e55044-10b1-426f-9247-{id:012x}","created_at":"2026-11-21T10:00:00.123456Z","is_test":false}}}}"#,
            id % 5_000
        )
    };
    (0..ROWS).map(operation).collect()
}

fn report(what: &str, began: Instant) {
    let took = began.elapsed();
    let rate = ROWS as f64 / took.as_secs_f64();
    eprintln!("{what}: {ROWS} rows in batches of {BATCH} in {took:?}, {rate:.0} rows/s");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn single_row_inserts() {
    let target = Target::with(SCHEMA).await;
    let operations = operations();
    let operations: Vec<&str> = operations.iter().map(String::as_str).collect();
    let units = units(&*target.catalog().await, &operations);
    let mut claim = target
        .sink
        .claim(&shard(0), Epoch(1), 0)
        .await
        .expect("a claim");
    let began = Instant::now();
    for batch in units.chunks(BATCH) {
        let refs: Vec<&Unit> = batch.iter().collect();
        let mut transaction = target.sink.begin().await.expect("a transaction");
        transaction.apply(&refs).await.expect("applied");
        let to = refs.last().map_or(EntryId::ZERO, |unit| unit.envelope.id);
        let fence = Fence {
            epoch: Epoch(1),
            position: claim.position,
            revision: claim.revision,
        };
        assert!(
            transaction
                .advance(&shard(0), &fence, to, 1_000)
                .await
                .expect("moved")
        );
        transaction.commit().await.expect("a commit");
        claim.position = to;
    }
    report("sink", began);
    assert_eq!(target.count("SELECT count(*) FROM payment"), 400_000);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn the_whole_engine() {
    let target = Target::with(SCHEMA).await;
    let catalog = target.catalog().await;
    let entries: Vec<_> = operations()
        .iter()
        .zip(1..)
        .map(|(operation, ms)| entry(ms, operation))
        .collect();
    let shard = shard(0);
    let rules = Rules {
        entry_bytes_max: 100_000,
        parent_wait_ms_max: 0,
        forms: None,
    };
    let context = Context {
        shard: &shard,
        catalog: &catalog,
        is_catalog_fresh: true,
        rules: &rules,
        now_ms: 1,
        on_step: &|_| {},
        on_held: &|_| {},
    };
    let mut claim = target
        .sink
        .claim(&shard, Epoch(1), 0)
        .await
        .expect("a claim");
    let began = Instant::now();
    for batch in entries.chunks(BATCH) {
        apply_entries(&context, &target.sink, Epoch(1), &mut claim, batch.to_vec())
            .await
            .expect("settled");
    }
    report("engine", began);
    assert_eq!(target.count("SELECT count(*) FROM payment"), 400_000);
}
