//! A master that dies: its replica takes over, behind Sentinels and in a Cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use tidegate_store::{AppendOptions, Durability, Epoch, Error, RedisStore, Store, WorkerId};
use tidegate_testkit::{RedisCluster, RedisSentinel};
use tokio::sync::Notify;

use crate::site::{TTL, acquire, drain, entry, open, read_all, shard, until_available};

fn on_a_replica() -> AppendOptions {
    AppendOptions {
        durability: Durability::Replicated { replicas: 1 },
        idempotence: Some(TTL),
        ..AppendOptions::default()
    }
}

/// Appends entries one by one, each until it is known to be on a replica, as a careful producer
/// does through a failover.
async fn append_surely(store: &RedisStore, texts: &[String]) {
    for text in texts {
        until_available(async || {
            let sent = entry(0, text).with_request_id(text.clone());
            match store.append_with(vec![sent], &on_a_replica()).await.pop() {
                Some(Err(Error::NotDurable { reason, .. })) => {
                    Err(Error::Unavailable(reason.into()))
                }
                Some(result) => result,
                None => panic!("no result"),
            }
        })
        .await;
    }
}

fn numbered(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Each text is there once; where one was sent again after a failover it may be there a second
/// time only if the first was never confirmed.
async fn texts(store: &RedisStore) -> Vec<String> {
    let entries = until_available(async || read_all(store, &shard(0)).await).await;
    entries
        .iter()
        .map(|entry| String::from_utf8(entry.field(b"typed_sql").unwrap().to_vec()).unwrap())
        .collect()
}

#[tokio::test]
async fn what_a_replica_confirmed_survives_a_sentinel_failover() {
    let mut sentinel = RedisSentinel::start().await.unwrap();
    let store = open(&sentinel.url()).await.unwrap();
    append_surely(&store, &numbered(0..19)).await;
    let lease = acquire(&store, &drain(), &shard(0)).await.unwrap();
    // Its replica has the lease as well when it has what came after.
    append_surely(&store, &numbered(19..20)).await;

    sentinel.kill_master().await.unwrap();
    until_available(async || store.append(vec![entry(0, "20")]).await).await;

    assert_eq!(texts(&store).await, numbered(0..21));
    // The lease was replicated as well, and the epochs go on from it.
    assert!(acquire(&store, &drain(), &shard(0)).await.is_none());
    store.release_lease(&lease).await.unwrap();
    let next = acquire(&store, &drain(), &shard(0)).await.unwrap();
    assert!(next.epoch > lease.epoch);
    // No replica is left to confirm anything.
    let alone = until_available(async || {
        let sent = vec![entry(0, "21")];
        match store.append_with(sent, &on_a_replica()).await.pop() {
            Some(Err(Error::NotDurable { reason, .. })) => Ok(reason),
            Some(Err(error)) => Err(error),
            other => panic!("{other:?}"),
        }
    });
    let reason = alone.await;
    assert!(!reason.is_empty());
}

#[tokio::test]
async fn a_cluster_goes_on_after_a_master_was_killed() {
    let mut cluster = RedisCluster::start().await.unwrap();
    let store = open(&cluster.url()).await.unwrap();
    append_surely(&store, &numbered(0..19)).await;
    let lease = acquire(&store, &drain(), &shard(0)).await.unwrap();
    // Its replica has the lease as well when it has what came after.
    append_surely(&store, &numbered(19..20)).await;

    let killed = cluster
        .kill_master_of("{shard_0}_DRAINER_STREAM")
        .await
        .unwrap();
    // The partitions of the other masters notice nothing.
    let others = (1..60).map(|index| store.append(vec![entry(index, "x")]));
    let unharmed = join_all(others)
        .await
        .iter()
        .filter(|it| it.is_ok())
        .count();
    assert!((20..59).contains(&unharmed), "{unharmed}");
    until_available(async || store.append(vec![entry(0, "20")]).await).await;
    assert_eq!(texts(&store).await, numbered(0..21));

    let partition = shard(0);
    let stolen = until_available(async || {
        let (worker, group) = (WorkerId::random(), drain());
        store
            .try_acquire_lease(&group, &partition, worker, TTL, Epoch(0))
            .await
    });
    assert_eq!(stolen.await, None, "the lease was replicated");
    until_available(async || store.release_lease(&lease).await).await;
    let positions = [(shard(0), tidegate_store::EntryId::ZERO)];
    let news = until_available(async || {
        store
            .wait_for_entries(&positions, Duration::from_secs(1), &Notify::new())
            .await
    });
    assert_eq!(news.await, [0]);

    // With the old master back as a replica, a producer can ask for replicas again.
    cluster.restart(killed).await.unwrap();
    append_surely(&store, &numbered(21..25)).await;
    let read = texts(&store).await;
    let distinct: BTreeSet<_> = read.iter().collect();
    assert_eq!(distinct.len(), 25);
    assert_eq!(read.len(), 25, "{read:?}");
}
