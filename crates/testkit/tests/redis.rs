//! The Redis servers of the testkit: their data, their ports, and their end.

use std::net::Ipv4Addr;
use std::time::Duration;

use tidegate_testkit::{Error, RedisServer};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Sends one inline command, and returns the reply's first line.
async fn reply_to(command: &str, port: u16) -> std::io::Result<String> {
    let mut connection = BufReader::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?);
    connection
        .write_all(format!("{command}\r\n").as_bytes())
        .await?;
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}

#[tokio::test]
async fn a_promoted_replica_stays_a_master_over_a_restart() {
    let master = RedisServer::start().await.unwrap();
    let replica = RedisServer::builder().replica_of(master.port());
    let mut replica = replica.start().await.unwrap();
    let refused = reply_to("SET key value", replica.port()).await.unwrap();
    assert!(refused.starts_with("-READONLY"), "{refused}");
    replica.promote().await.unwrap();
    replica.restart().await.unwrap();
    let taken = reply_to("SET key value", replica.port()).await.unwrap();
    assert_eq!(taken, "+OK");
}

#[tokio::test]
async fn with_aof_a_killed_server_keeps_its_data_over_a_restart() {
    let mut redis = RedisServer::builder().aof(true).start().await.unwrap();
    let url = redis.url();
    assert_eq!(
        reply_to("SET key value", redis.port()).await.unwrap(),
        "+OK"
    );
    redis.kill().await.unwrap();
    assert!(reply_to("PING", redis.port()).await.is_err());
    redis.restart().await.unwrap();
    assert_eq!(redis.url(), url);
    assert_eq!(reply_to("STRLEN key", redis.port()).await.unwrap(), ":5");
    redis.stop().await.unwrap();
    redis.restart().await.unwrap();
    assert_eq!(reply_to("STRLEN key", redis.port()).await.unwrap(), ":5");
}

#[tokio::test]
async fn without_aof_a_restart_begins_empty() {
    let mut redis = RedisServer::start().await.unwrap();
    assert_eq!(
        reply_to("SET key value", redis.port()).await.unwrap(),
        "+OK"
    );
    redis.restart().await.unwrap();
    assert_eq!(reply_to("DBSIZE", redis.port()).await.unwrap(), ":0");
}

#[tokio::test]
async fn a_paused_server_is_silent_until_it_is_resumed() {
    let mut redis = RedisServer::start().await.unwrap();
    redis.pause().unwrap();
    let silent = timeout(Duration::from_millis(100), reply_to("PING", redis.port())).await;
    assert!(silent.is_err());
    redis.resume().unwrap();
    assert_eq!(reply_to("PING", redis.port()).await.unwrap(), "+PONG");
    redis.pause().unwrap();
    // A stop reaches a frozen server as well.
    redis.stop().await.unwrap();
    assert!(matches!(redis.pause(), Err(Error::NotRunning { .. })));
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let redis = RedisServer::builder()
        .setting("databases", "3")
        .start()
        .await
        .unwrap();
    let port = redis.port();
    drop(redis);
    assert!(reply_to("PING", port).await.is_err());
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let error = RedisServer::builder()
        .setting("no-such-setting", "1")
        .start()
        .await
        .unwrap_err();
    let Error::EndedEarly { output, .. } = error else {
        panic!("{error}")
    };
    assert!(output.contains("no-such-setting"), "{output}");
}
