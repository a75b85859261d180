//! A group's progress, where Redis Streams have corners of their own.

use tidegate_store::{EntryId, Fetch, Store as _};
use tidegate_testkit::RedisServer;

use crate::site::{LIMIT, acquire, drain, entry, group, open, shard, stranger};

#[tokio::test]
async fn a_pending_entry_that_a_stranger_deleted_comes_without_fields() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let ids = store
        .append(vec![entry(0, "a"), entry(0, "b")])
        .await
        .unwrap();
    let lease = acquire(&store, &drain(), &shard(0)).await.unwrap();
    store.fetch(&lease, Fetch::New, LIMIT).await.unwrap();
    stranger(
        &server,
        &format!("XDEL {{shard_0}}_DRAINER_STREAM {}", ids[0]),
    )
    .await;

    let pending = store
        .fetch(&lease, Fetch::Pending(EntryId::ZERO), LIMIT)
        .await
        .unwrap();
    assert_eq!(
        pending.iter().map(|entry| entry.id).collect::<Vec<_>>(),
        ids
    );
    assert_eq!(pending[0].fields, []);
    assert_eq!(pending[1].field(b"typed_sql").unwrap(), "b");
}

#[tokio::test]
async fn a_fetch_is_one_read_that_no_script_touches() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let lease = acquire(&store, &drain(), &shard(0)).await.unwrap();
    // The first one creates the group, by a script.
    store.fetch(&lease, Fetch::New, LIMIT).await.unwrap();
    store
        .append(vec![entry(0, "a"), entry(0, "b")])
        .await
        .unwrap();
    stranger(&server, "CONFIG RESETSTAT").await;

    let fetched = store.fetch(&lease, Fetch::New, LIMIT).await.unwrap();
    assert_eq!(fetched.len(), 2);
    let calls = stranger(&server, "INFO commandstats").await.concat();
    assert!(calls.contains("cmdstat_xreadgroup:calls=1,"), "{calls}");
    assert!(!calls.contains("cmdstat_evalsha:"), "{calls}");
}

#[tokio::test]
async fn trim_waits_for_the_owners_own_group() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let ids = store
        .append(vec![entry(0, "a"), entry(0, "b")])
        .await
        .unwrap();
    let audit = acquire(&store, &group("audit"), &shard(0)).await.unwrap();
    store.acknowledge_through(&audit, ids[1]).await.unwrap();

    // The drain has not read yet; its group does not even exist.
    let drain = acquire(&store, &drain(), &shard(0)).await.unwrap();
    assert_eq!(store.trim(&drain, 0).await.unwrap(), 0);
    store.acknowledge_through(&drain, ids[0]).await.unwrap();
    assert_eq!(store.trim(&drain, 0).await.unwrap(), 1);
}

#[tokio::test]
async fn lag_is_known_after_a_position_was_moved() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let entries = (0..500)
        .map(|number| entry(0, &number.to_string()))
        .collect();
    let ids = store.append(entries).await.unwrap();
    let lease = acquire(&store, &drain(), &shard(0)).await.unwrap();
    let lag = async || store.lag(&drain(), &[shard(0)]).await.unwrap()[0];

    // The server does not know how many entries lie before a position that was set.
    for through in [299, 120, 499] {
        store
            .acknowledge_through(&lease, ids[through])
            .await
            .unwrap();
        assert_eq!(lag().await.undelivered, 499 - through as u64);
    }
    store.acknowledge_through(&lease, ids[299]).await.unwrap();
    store.trim(&lease, 0).await.unwrap();
    let lag = lag().await;
    assert_eq!((lag.appended, lag.held, lag.undelivered), (500, 200, 200));
}
