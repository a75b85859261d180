//! How fast rows are written; run in release with `--run-ignored only`.

use std::time::Instant;

use tidegate_drain::change::{Change, resolve};
use tidegate_drain::sink::{Fence, Outcome, Sink as _, Unit};
use tidegate_drain::{Operation, plan};
use tidegate_store::{EntryId, Epoch};

use crate::target::{Target, shard, units};

const ROWS: usize = 200_000;

/// A payment table as card processors have it: 25 columns.
const SCHEMA: &str = "CREATE TABLE payment (payment_id varchar(64) PRIMARY KEY,
    merchant_id varchar(64) NOT NULL, status varchar(32) NOT NULL, amount bigint NOT NULL,
    currency varchar(3), amount_captured bigint, customer_id varchar(64), description varchar(255),
    return_url varchar(255), metadata jsonb, connector_id varchar(64), shipping_address_id varchar(64),
    billing_address_id varchar(64), statement_descriptor varchar(255), created_at timestamp NOT NULL,
    modified_at timestamp NOT NULL, last_synced timestamp, setup_future_usage varchar(32),
    off_session boolean, client_secret varchar(128), active_attempt_id varchar(64),
    business_country varchar(64), business_label varchar(64), attempt_count smallint NOT NULL,
    fee numeric(20,4))";

fn insert(id: usize) -> String {
    format!(
        r#"{{"op":"insert","table":"payment","row":{{"payment_id":"pay_{id:020}","merchant_id":"merchant_{}","status":"requires_confirmation","amount":{id},"currency":"EUR","amount_captured":null,"customer_id":"cus_{id:020}","description":"An order of several things, number {id}","return_url":"https://shop.example.com/return/{id}","metadata":{{"order_id":"{id}","channel":"web","udf1":"value1"}},"connector_id":"stripe_{id}","shipping_address_id":"add_{id:020}","billing_address_id":"add_{id:020}","statement_descriptor":"SHOP EXAMPLE","created_at":"2026-11-21T10:00:00.123456","modified_at":"2026-11-21T10:00:00.123456","last_synced":"2026-11-21T10:00:00.5Z","setup_future_usage":"off_session","off_session":true,"client_secret":"pay_{id:020}_secret_abcdefghijklmnop","active_attempt_id":"pay_{id:020}_1","business_country":"DE","business_label":"default","attempt_count":1,"fee":"12.3450"}}}}"#,
        id % 100
    )
}

fn update(id: usize) -> String {
    format!(
        r#"{{"op":"update","table":"payment","key":{{"payment_id":"pay_{id:020}"}},"set":{{"status":"succeeded","amount_captured":{id},"modified_at":"2026-11-21T10:00:01"}}}}"#
    )
}

/// Writes batches as the engine does it, and says how fast.
#[expect(clippy::print_stdout, reason = "a measurement is there to be read")]
async fn write(target: &Target, what: &str, operations: &[String], batch: usize) {
    let catalog = target.catalog().await;
    let began = Instant::now();
    let resolved = |text: &String| {
        let operation = Operation::parse(text.as_bytes()).expect("an operation");
        resolve(&catalog, &operation).expect("changes").len()
    };
    let changes: usize = operations.iter().map(resolved).sum();
    let decode = began.elapsed();
    let units = units(&catalog, operations);
    let mut claim = target
        .sink
        .claim(&shard(0), Epoch(1), 0)
        .await
        .expect("a claim");
    let began = Instant::now();
    let planned: usize = units
        .chunks(batch)
        .map(|units| plan::plan(units.iter().flat_map(|unit| -> &[Change] { &unit.changes })).len())
        .sum();
    let planning = began.elapsed();
    let began = Instant::now();
    for batch in units.chunks(batch) {
        let refs: Vec<&Unit> = batch.iter().collect();
        let mut transaction = target.sink.begin().await.expect("a transaction");
        let outcome = transaction.apply(&refs).await.expect("an outcome");
        assert!(matches!(outcome, Outcome::Applied), "{outcome:?}");
        let to = EntryId::new(claim.position.ms + 1, 0);
        let fence = Fence {
            epoch: Epoch(1),
            position: claim.position,
            revision: claim.revision,
        };
        let applied = batch.len() as u64;
        assert!(
            transaction
                .advance(&shard(0), &fence, to, applied)
                .await
                .expect("moved")
        );
        transaction.commit().await.expect("a commit");
        claim.position = to;
    }
    let took = began.elapsed();
    let per = |took: std::time::Duration| took.as_secs_f64() * 1e6 / operations.len() as f64;
    println!(
        "{what:<14} batches of {batch:>5}: {:>8.0} rows/s ({:.2} µs a row, of it planning {:.2} in {planned} steps); \
         decode {:.2} µs for {changes} changes",
        operations.len() as f64 / took.as_secs_f64(),
        per(took),
        per(planning),
        per(decode),
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rows_per_second_on_one_connection() {
    for batch in [1, 10, 100, 1_000, 4_000] {
        let target = Target::with(SCHEMA).await;
        let rows = if batch == 1 { ROWS / 20 } else { ROWS };
        write(
            &target,
            "insert",
            &(0..rows).map(insert).collect::<Vec<_>>(),
            batch,
        )
        .await;
        target.run("VACUUM ANALYZE payment").await;
        write(
            &target,
            "update",
            &(0..rows).map(update).collect::<Vec<_>>(),
            batch,
        )
        .await;
        target.run("TRUNCATE payment").await;
        target.run("VACUUM ANALYZE payment").await;
        let mixed: Vec<_> = (0..rows / 2)
            .flat_map(|id| [insert(id), update(id)])
            .collect();
        write(&target, "insert, update", &mixed, batch).await;
    }
}
