//! One file of operations gives the same tables on the embedded default and on Redis and
//! PostgreSQL.

use crate::support::{Load, Servers, Target, seeded};

const ACCOUNTS: &str = "SELECT id, name, balance, is_open, opened_at FROM account ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn one_file_gives_the_same_tables_on_both_backends() {
    let servers = Servers::start().await;
    let (on_servers, (embedded, tables)) = (servers.target(), Target::embedded());
    let (mut random, mut load) = (seeded(40), Load::default());
    let lines = load.next(&mut random, 5_000);
    for target in [&on_servers, &embedded] {
        target.send(&lines);
        target.finish();
    }
    let client = servers.client().await;
    load.assert_equal(&client).await;

    let rows = client
        .query(
            &format!("SELECT row_to_json(a)::text FROM ({ACCOUNTS}) a"),
            &[],
        )
        .await
        .expect("rows");
    let on_servers: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| serde_json::from_str(&row.get::<_, String>(0)).expect("JSON"))
        .map(|mut row: serde_json::Value| {
            // The same instant in the spelling that the embedded sink stores.
            let instant: jiff::Timestamp = row["opened_at"]
                .as_str()
                .expect("text")
                .parse()
                .expect("an instant");
            row["opened_at"] = instant.to_string().into();
            row
        })
        .collect();
    let mut statement = tables.prepare(ACCOUNTS).expect("SQL");
    let embedded: Vec<serde_json::Value> = statement
        .query_map([], |row| {
            Ok(serde_json::json!({
                "id": row.get::<_, i64>(0)?, "name": row.get::<_, String>(1)?,
                "balance": row.get::<_, i64>(2)?, "is_open": row.get::<_, bool>(3)?,
                "opened_at": row.get::<_, String>(4)?,
            }))
        })
        .expect("rows")
        .map(|row| with_instant(row.expect("a row")))
        .collect();
    assert_eq!(embedded, on_servers);
    let count = "SELECT count(*) || ':' || sum(account * 1000 + step) FROM history";
    let on_servers: String = client
        .query_one(&format!("SELECT ({count})::text"), &[])
        .await
        .expect("a sum")
        .get(0);
    let embedded: String = tables
        .query_row(count, [], |row| row.get(0))
        .expect("a sum");
    assert_eq!(embedded, on_servers);
}

/// The row with its instant in one spelling: the two databases show the same one differently.
fn with_instant(mut row: serde_json::Value) -> serde_json::Value {
    let opened_at = row.get_mut("opened_at").expect("a column");
    let instant: jiff::Timestamp = opened_at
        .as_str()
        .expect("text")
        .parse()
        .expect("an instant");
    *opened_at = instant.to_string().into();
    row
}
