//! Data that nobody here made: what `pgbench` fills and changes, exported as operations and
//! drained into an empty copy of its schema, is equal by checksum.

use std::process::Command;

use crate::support::{Servers, Target, connect, postgres_program};

const TABLES: [&str; 4] = [
    "pgbench_accounts",
    "pgbench_branches",
    "pgbench_tellers",
    "pgbench_history",
];
const TRANSACTIONS: usize = 2_000;

fn pgbench(url: &str, arguments: &[&str]) {
    let output = Command::new(postgres_program("pgbench"))
        .args(arguments)
        .arg(url)
        .output()
        .expect("pgbench runs; `cargo xtask setup` installs it");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Each row of a table as an operation.
async fn inserts(client: &tokio_postgres::Client, table: &str) -> Vec<String> {
    let sql = format!("SELECT row_to_json(t)::text FROM {table} t");
    let rows = client.query(&sql, &[]).await.expect("rows");
    rows.iter()
        .map(|row| {
            let row: String = row.get(0);
            format!(r#"{{"op":"insert","table":"{table}","row":{row}}}"#)
        })
        .collect()
}

/// pgbench's own transactions, replayed from its history: the running balances of the account,
/// the teller and the branch, and the line of history.
async fn transactions(client: &tokio_postgres::Client) -> Vec<String> {
    let sql = "SELECT aid, tid, bid,
            sum(delta) OVER (PARTITION BY aid ORDER BY mtime, ctid),
            sum(delta) OVER (PARTITION BY tid ORDER BY mtime, ctid),
            sum(delta) OVER (PARTITION BY bid ORDER BY mtime, ctid),
            row_to_json(h)::text
        FROM pgbench_history h ORDER BY mtime, ctid";
    let rows = client.query(sql, &[]).await.expect("history");
    assert_eq!(rows.len(), TRANSACTIONS);
    let mut lines = Vec::new();
    for row in rows {
        let [aid, tid, bid] = [0, 1, 2].map(|i| row.get::<_, i32>(i));
        let [a, t, b] = [3, 4, 5].map(|i| row.get::<_, i64>(i));
        for (table, key, id, column, balance) in [
            ("pgbench_accounts", "aid", aid, "abalance", a),
            ("pgbench_tellers", "tid", tid, "tbalance", t),
            ("pgbench_branches", "bid", bid, "bbalance", b),
        ] {
            lines.push(format!(
                r#"{{"op":"update","table":"{table}","key":{{"{key}":{id}}},"set":{{"{column}":{balance}}}}}"#
            ));
        }
        let history: String = row.get(6);
        lines.push(format!(
            r#"{{"op":"insert","table":"pgbench_history","row":{history}}}"#
        ));
    }
    lines
}

async fn checksums(client: &tokio_postgres::Client) -> Vec<(String, i64, String)> {
    let mut sums = Vec::new();
    for table in TABLES {
        let sql = format!(
            "SELECT count(*), md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t"
        );
        let row = client.query_one(&sql, &[]).await.expect("a checksum");
        sums.push((table.to_owned(), row.get(0), row.get(1)));
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pgbench_wrote_is_equal_by_checksum() {
    let servers = Servers::start().await;
    let source = servers
        .postgres
        .create_database()
        .await
        .expect("a database");
    let copy = servers
        .postgres
        .create_database()
        .await
        .expect("a database");
    let (source_client, copy_client) = (connect(&source.url()).await, connect(&copy.url()).await);
    pgbench(&source.url(), &["-i", "-s", "1", "-q"]);
    // The same tables and keys, without a row.
    pgbench(&copy.url(), &["-i", "-s", "1", "-q", "-I", "dtp"]);

    let mut lines = Vec::new();
    for table in TABLES {
        lines.extend(inserts(&source_client, table).await);
    }
    assert_eq!(lines.len(), 100_000 + 1 + 10);
    let per_client = (TRANSACTIONS / 2).to_string();
    pgbench(&source.url(), &["-n", "-c", "2", "-t", &per_client]);
    lines.extend(transactions(&source_client).await);

    let target = Target::new(servers.redis.url(), copy.url());
    target.send(&lines);
    target.finish();
    let (expected, found) = (
        checksums(&source_client).await,
        checksums(&copy_client).await,
    );
    assert_eq!(found, expected);
    assert!(
        expected.iter().all(|(_, rows, _)| *rows > 0),
        "{expected:?}"
    );
}
