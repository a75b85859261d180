//! The keys and locks that Tidegate shares with Hyperswitch's drainer and producers.

use tidegate_store::{EntryId, Epoch, Error, Fetch, LeaseHolder, Store as _};
use tidegate_testkit::RedisServer;

use crate::site::{LIMIT, TTL, acquire, drain, entry, group, open, read_all, shard, stranger};

#[tokio::test]
async fn the_ancestors_lock_excludes_us_and_is_shown() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let lock = "{shard_3}_DRAINER_STREAM_in_use";
    stranger(&server, &format!("SET {lock} true NX EX 300")).await;

    assert_eq!(acquire(&store, &drain(), &shard(3)).await, None);
    let holders = store
        .lease_holders(&drain(), &[shard(3), shard(4)])
        .await
        .unwrap();
    let [
        Some(LeaseHolder {
            worker: None,
            epoch: Epoch(0),
            ends_in_ms,
        }),
        None,
    ] = holders[..]
    else {
        panic!("{holders:?}")
    };
    assert!((290_000..=300_000).contains(&ends_in_ms));

    stranger(&server, &format!("DEL {lock}")).await;
    assert!(acquire(&store, &drain(), &shard(3)).await.is_some());
}

#[tokio::test]
async fn our_lease_excludes_the_ancestor() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let lease = acquire(&store, &drain(), &shard(3)).await.unwrap();

    let ancestor = "SET {shard_3}_DRAINER_STREAM_in_use true NX EX 300";
    assert_eq!(stranger(&server, ancestor).await, ["nil"]);
    store.release_lease(&lease).await.unwrap();
    assert_eq!(stranger(&server, ancestor).await, ["OK"]);

    // It may be locked by the ancestor, but it can no longer be renewed or written by us.
    assert_eq!(
        store
            .renew_leases(std::slice::from_ref(&lease), TTL)
            .await
            .unwrap(),
        [false]
    );
    assert!(matches!(
        store.trim(&lease, 0).await,
        Err(Error::LeaseLost { .. })
    ));
}

#[tokio::test]
async fn the_ancestors_producers_are_read() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let sent = "XADD {shard_9}_DRAINER_STREAM * typed_sql {} request_id r1 pushed_at 1700000000";
    let id = stranger(&server, sent).await.remove(0);

    let entries = read_all(&store, &shard(9)).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].id.to_string(), id);
    assert_eq!(entries[0].field(b"request_id").unwrap(), "r1");
    assert_eq!(entries[0].fields.len(), 3);
}

#[tokio::test]
async fn no_key_is_written_but_the_documented_ones() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    store
        .append(vec![entry(5, "a"), entry(5, "b")])
        .await
        .unwrap();
    for group in [drain(), group("audit")] {
        let lease = acquire(&store, &group, &shard(5)).await.unwrap();
        store.fetch(&lease, Fetch::New, LIMIT).await.unwrap();
        store
            .acknowledge_through(&lease, EntryId::ZERO)
            .await
            .unwrap();
        store.trim(&lease, 0).await.unwrap();
        store
            .beat(&shard(5).stream, &group, lease.worker, TTL)
            .await
            .unwrap();
    }
    let mut keys = stranger(&server, "KEYS *").await;
    keys.sort();
    assert_eq!(
        keys,
        [
            "{DRAINER_STREAM}_workers:audit",
            "{DRAINER_STREAM}_workers:tidegate_drain",
            "{shard_5}_DRAINER_STREAM",
            "{shard_5}_DRAINER_STREAM_epoch:audit",
            "{shard_5}_DRAINER_STREAM_epoch:tidegate_drain",
            "{shard_5}_DRAINER_STREAM_in_use",
            "{shard_5}_DRAINER_STREAM_in_use:audit",
        ]
    );
}
