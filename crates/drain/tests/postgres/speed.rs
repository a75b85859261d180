//! How fast rows are written; run in release with `--run-ignored only`.

use std::time::Instant;

use bytes::Bytes;
use futures::SinkExt;
use tidegate_drain::Operation;
use tidegate_drain::change::resolve;
use tidegate_drain::sink::{Fence, Outcome, Sink as _, Unit};
use tidegate_store::{EntryId, Epoch};

use crate::target::{Target, shard, units};

const ROWS: usize = 100_000;

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

/// Nanoseconds on a processor, of all threads of a process.
fn cpu_ns(pid: &str) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("tasks");
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.filter_map(of_task).sum()
}

/// What a measurement began with: the wall clock, our processor time, and the server's.
struct Meter {
    began: Instant,
    client_ns: u64,
    server: Vec<(String, u64)>,
}

impl Meter {
    async fn start(target: &Target) -> Self {
        let sql = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database()";
        let pids = target.rows(sql).await;
        let server = pids
            .into_iter()
            .map(|pid| (pid.clone(), cpu_ns(&pid)))
            .collect();
        Self {
            began: Instant::now(),
            client_ns: cpu_ns("self"),
            server,
        }
    }

    /// Rows per second of the wall clock, and microseconds of processor time per row.
    #[expect(clippy::print_stdout, reason = "a measurement is there to be read")]
    fn print(&self, what: &str, batch: usize, rows: usize) {
        let rows = rows as f64;
        let wall = self.began.elapsed().as_secs_f64();
        let client = (cpu_ns("self") - self.client_ns) as f64 / 1e3 / rows;
        let server: u64 = self
            .server
            .iter()
            .map(|(pid, before)| cpu_ns(pid) - before)
            .sum();
        let server = server as f64 / 1e3 / rows;
        println!(
            "{what:<15} {batch:>5} {:>9.0} rows/s, CPU µs a row: client {client:>6.2}, server {server:>6.2}",
            rows / wall
        );
    }
}

/// Writes batches as the engine does it, and says how fast.
async fn write(target: &Target, what: &str, operations: &[String], batch: usize) {
    let catalog = target.catalog().await;
    let meter = Meter::start(target).await;
    for text in operations {
        let operation = Operation::parse(text.as_bytes()).expect("an operation");
        assert_eq!(resolve(&catalog, &operation).expect("changes").len(), 1);
    }
    meter.print(&format!("decode {what}"), batch, operations.len());
    let units = units(&catalog, operations);
    let mut claim = target
        .sink
        .claim(&shard(0), Epoch(1), 0)
        .await
        .expect("a claim");
    let meter = Meter::start(target).await;
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
        let moved = transaction.advance(&shard(0), &fence, to, applied).await;
        assert!(moved.expect("an answer"));
        transaction.commit().await.expect("a commit");
        claim.position = to;
    }
    meter.print(what, batch, operations.len());
}

/// The limit: the same cells by COPY from memory, a transaction per batch, and nothing else.
async fn write_raw(target: &Target, operations: &[String], batch: usize) {
    let units = units(&*target.catalog().await, operations);
    let chunk = |units: &[Unit]| {
        let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for change in units.iter().flat_map(|unit| &unit.changes) {
            bytes.extend_from_slice(&25_i16.to_be_bytes());
            bytes.extend_from_slice(change.cells.as_bytes());
        }
        bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        Bytes::from(bytes)
    };
    let chunks: Vec<Bytes> = units.chunks(batch).map(chunk).collect();
    let copy = "COPY payment FROM STDIN (FORMAT binary)";
    let copy = target.client.prepare(copy).await.expect("a statement");
    let meter = Meter::start(target).await;
    for chunk in chunks {
        target.run("BEGIN").await;
        let sink = target
            .client
            .copy_in::<_, Bytes>(&copy)
            .await
            .expect("a copy");
        futures::pin_mut!(sink);
        sink.send(chunk).await.expect("sent");
        sink.finish().await.expect("copied");
        target.run("COMMIT").await;
    }
    meter.print("limit: raw COPY", batch, operations.len());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rows_per_second_on_one_connection() {
    for batch in [1, 10, 1_000, 4_000] {
        let target = Target::with(SCHEMA).await;
        let rows = if batch < 100 { ROWS / 20 } else { ROWS };
        let inserts: Vec<_> = (0..rows).map(insert).collect();
        for round in 0..2 {
            target.run("TRUNCATE payment").await;
            if batch > 100 {
                write_raw(&target, &inserts, batch).await;
                target.run("TRUNCATE payment").await;
            }
            write(&target, &format!("insert {round}"), &inserts, batch).await;
        }
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
