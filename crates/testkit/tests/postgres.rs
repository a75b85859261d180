//! The PostgreSQL clusters of the testkit: their databases, their data, and their end.

use std::time::Duration;

use tidegate_testkit::{PostgresServer, poll_until, postgres_client};
use tokio::time::timeout;
use tokio_postgres::Client;

const SOON: Duration = Duration::from_secs(10);

async fn setting(client: &Client, name: &str) -> Result<String, tokio_postgres::Error> {
    client
        .query_one(&format!("SHOW {name}"), &[])
        .await?
        .try_get(0)
}

#[tokio::test]
async fn data_survives_a_kill_and_a_restart() {
    let mut postgres = PostgresServer::start().await.unwrap();
    let database = postgres.create_database().await.unwrap();
    let client = postgres_client(&database.url()).await.unwrap();
    client
        .batch_execute("CREATE TABLE t AS SELECT 7 AS n")
        .await
        .unwrap();
    postgres.kill().await.unwrap();
    poll_until(SOON, async || client.is_closed()).await.unwrap();
    assert!(postgres_client(&database.url()).await.is_err());
    postgres.restart().await.unwrap();
    let client = postgres_client(&database.url()).await.unwrap();
    let n: i32 = client
        .query_one("SELECT n FROM t", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(n, 7);
    // A client that is still there does not hold up an orderly stop.
    postgres.restart().await.unwrap();
    postgres_client(&database.url())
        .await
        .unwrap()
        .batch_execute("SELECT n FROM t")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_cluster_has_the_promised_settings() {
    let postgres = PostgresServer::builder()
        .setting("work_mem", "8MB")
        .start()
        .await
        .unwrap();
    let client = postgres_client(&postgres.url()).await.unwrap();
    for (name, value) in [
        ("fsync", "on"),
        ("max_connections", "200"),
        ("wal_level", "logical"),
        ("TimeZone", "UTC"),
        ("server_encoding", "UTF8"),
        ("work_mem", "8MB"),
    ] {
        assert_eq!(setting(&client, name).await.unwrap(), value, "{name}");
    }
    let fast = PostgresServer::builder()
        .fsync(false)
        .start()
        .await
        .unwrap();
    let client = postgres_client(&fast.url()).await.unwrap();
    assert_eq!(setting(&client, "fsync").await.unwrap(), "off");
}

#[tokio::test]
async fn a_pause_freezes_open_connections_as_well() {
    let mut postgres = PostgresServer::start().await.unwrap();
    let client = postgres_client(&postgres.url()).await.unwrap();
    postgres.pause().unwrap();
    let answer = client.batch_execute("SELECT 1");
    assert!(timeout(Duration::from_millis(100), answer).await.is_err());
    postgres.resume().unwrap();
    client.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn the_shared_cluster_gives_each_caller_an_empty_database() {
    let one = PostgresServer::shared().await.unwrap();
    let other = PostgresServer::shared().await.unwrap();
    assert_eq!(one.port(), other.port());
    let first = one.create_database().await.unwrap();
    let second = other.create_database().await.unwrap();
    assert_ne!(first.name(), second.name());
    for database in [first, second] {
        let client = postgres_client(&database.url()).await.unwrap();
        client
            .batch_execute("CREATE TABLE t (id int)")
            .await
            .unwrap();
    }
}
