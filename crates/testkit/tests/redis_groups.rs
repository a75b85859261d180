//! Redis servers that belong together: a Cluster, and a master with Sentinels.

use std::net::Ipv4Addr;
use std::time::Duration;

use tidegate_testkit::{RedisCluster, RedisSentinel, RedisServer, poll_until};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const DEADLINE: Duration = Duration::from_secs(60);

/// Sends one inline command, and returns the reply's first line.
async fn first_line(command: &str, port: u16) -> std::io::Result<String> {
    let mut connection = BufReader::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?);
    connection
        .write_all(format!("{command}\r\n").as_bytes())
        .await?;
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}

/// Whether some node of a cluster takes a write of this key.
async fn is_writable(cluster: &RedisCluster, key: &str) -> bool {
    for port in cluster.ports() {
        if first_line(&format!("SET {key} value"), port)
            .await
            .is_ok_and(|reply| reply == "+OK")
        {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_killed_master_of_a_cluster_is_replaced_and_comes_back() {
    let mut cluster = RedisCluster::start().await.unwrap();
    assert!(is_writable(&cluster, "key").await);
    let killed = cluster.kill_master_of("key").await.unwrap();
    assert!(first_line("PING", killed).await.is_err());
    let failed_over = poll_until(DEADLINE, async || is_writable(&cluster, "key").await);
    failed_over.await.unwrap();
    cluster.restart(killed).await.unwrap();
    assert_eq!(first_line("PING", killed).await.unwrap(), "+PONG");
}

#[tokio::test]
async fn a_killed_master_is_replaced_by_the_sentinels() {
    let mut sentinel = RedisSentinel::start().await.unwrap();
    let before = sentinel.master_port().await.unwrap();
    assert_eq!(first_line("SET k v", before).await.unwrap(), "+OK");
    sentinel.kill_master().await.unwrap();
    let failed_over = poll_until(DEADLINE, async || {
        // While the Sentinels change their minds one by one, they name no master together.
        let now = sentinel.master_port().await.unwrap_or(before);
        now != before && first_line("SET k v", now).await.is_ok_and(|it| it == "+OK")
    });
    failed_over.await.unwrap();
    sentinel.restart(before).await.unwrap();
    let role = async || first_line("SET k v", before).await.unwrap();
    assert!(
        role().await.starts_with("-READONLY"),
        "it came back as a replica"
    );
    // The next master dies only when its replica is ready, so the first one is there again.
    sentinel.kill_master().await.unwrap();
    let back = poll_until(DEADLINE, async || {
        sentinel.master_port().await.is_ok_and(|it| it == before)
    });
    back.await.unwrap();
    assert_eq!(first_line("STRLEN k", before).await.unwrap(), ":1");
}

#[tokio::test]
async fn a_server_with_tls_has_a_port_and_an_authority_for_it() {
    let server = RedisServer::builder().tls(true).start().await.unwrap();
    let url = server.tls_url("").unwrap();
    let (address, authority) = url
        .strip_prefix("rediss://")
        .unwrap()
        .split_once("?ca=")
        .unwrap();
    let pem = std::fs::read_to_string(authority).unwrap();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
    // A greeting in plain text is answered with a TLS alert, or with nothing.
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"PING\r\n").await.unwrap();
    let mut reply = Vec::new();
    connection.read_to_end(&mut reply).await.ok();
    assert!(!reply.starts_with(b"+PONG"));
    assert_eq!(first_line("PING", server.port()).await.unwrap(), "+PONG");
}
