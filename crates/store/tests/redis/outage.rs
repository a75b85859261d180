//! A server that restarts, forgets, hangs, or is not there.

use std::time::Duration;

use tidegate_store::{EntryId, Error, Fetch, Store as _};
use tidegate_testkit::{RedisServer, poll_until};
use tokio::sync::Notify;

use crate::site::{
    DEADLINE, LIMIT, TTL, acquire, drain, entry, open, read_all, shard, stranger, until_available,
};

#[tokio::test]
async fn a_restarted_server_is_used_again_and_has_kept_everything() {
    let mut server = RedisServer::builder().aof(true).start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let ids = store
        .append(vec![entry(0, "a"), entry(0, "b")])
        .await
        .unwrap();
    let lease = acquire(&store, &drain(), &shard(0)).await.unwrap();

    server.kill().await.unwrap();
    let failed = poll_until(DEADLINE, async || {
        matches!(store.ping().await, Err(Error::Unavailable(_)))
    });
    failed.await.unwrap();
    assert!(matches!(
        read_all(&store, &shard(0)).await,
        Err(Error::Unavailable(_))
    ));

    server.restart().await.unwrap();
    let entries = until_available(async || read_all(&store, &shard(0)).await).await;
    assert_eq!(
        entries.iter().map(|entry| entry.id).collect::<Vec<_>>(),
        ids
    );
    // The scripts are gone from the server's memory, the lease and its epoch are not.
    assert_eq!(
        store
            .renew_leases(std::slice::from_ref(&lease), TTL)
            .await
            .unwrap(),
        [true]
    );
    store.release_lease(&lease).await.unwrap();
    assert!(acquire(&store, &drain(), &shard(0)).await.unwrap().epoch > lease.epoch);
}

#[tokio::test]
async fn a_wait_works_again_after_a_restart() {
    let mut server = RedisServer::builder().aof(true).start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let positions = [(shard(0), EntryId::ZERO)];
    let never = Notify::new();
    let short = Duration::from_millis(20);
    assert_eq!(
        store
            .wait_for_entries(&positions, short, &never)
            .await
            .unwrap(),
        Vec::<usize>::new()
    );

    // The server dies while a read blocks: the wait ends at once, not at its timeout.
    let waiting = async {
        let wait = store.wait_for_entries(&positions, DEADLINE * 10, &never);
        tokio::time::timeout(DEADLINE, wait).await.unwrap()
    };
    let killing = async {
        let blocked = poll_until(DEADLINE, async || {
            let clients = stranger(&server, "CLIENT LIST").await.concat();
            clients.contains("cmd=xread")
        });
        blocked.await.unwrap();
        server.restart().await.unwrap();
    };
    let (failed, ()) = tokio::join!(waiting, killing);
    assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");

    until_available(async || store.append(vec![entry(0, "a")]).await).await;
    let news = until_available(async || store.wait_for_entries(&positions, DEADLINE, &never).await);
    assert_eq!(news.await, [0]);
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_taught_them_again() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    stranger(&server, "SCRIPT FLUSH").await;

    let ids = store
        .append(vec![entry(0, "a"), entry(0, "b")])
        .await
        .unwrap();
    let lease = acquire(&store, &drain(), &shard(0)).await.unwrap();
    let entries = store.fetch(&lease, Fetch::New, LIMIT).await.unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(store.acknowledge(&lease, &ids).await.unwrap(), 2);
    assert_eq!(store.trim(&lease, 0).await.unwrap(), 2);
}

#[tokio::test]
async fn a_server_that_hangs_is_unavailable_in_bounded_time() {
    let mut server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    server.pause().unwrap();
    let answer = tokio::time::timeout(DEADLINE, store.ping()).await.unwrap();
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    server.resume().unwrap();
    until_available(async || store.ping().await).await;
}

#[tokio::test]
async fn no_server_is_unavailable() {
    let mut server = RedisServer::start().await.unwrap();
    server.stop().await.unwrap();
    let answer = open(&server.url()).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn tls_with_a_server_that_has_none_is_unavailable_in_bounded_time() {
    let server = RedisServer::start().await.unwrap();
    // It takes the greeting for the beginning of a command, and waits for the rest of it.
    let url = server.url().replace("redis://", "rediss://");
    let answer = tokio::time::timeout(DEADLINE, open(&url)).await.unwrap();
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
}
