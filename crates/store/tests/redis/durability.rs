//! Appends that wait for replicas or for the disk.

use std::cell::Cell;
use std::time::Instant;

use futures::future::join_all;
use tidegate_store::{AppendOptions, Durability, Error, Store as _};
use tidegate_testkit::{Distribution, RedisCluster, RedisServer};

use crate::site::{DEADLINE, entry, open, read_all, shard, stranger, until_available};

fn with(durability: Durability) -> AppendOptions {
    AppendOptions {
        durability,
        ..AppendOptions::default()
    }
}

fn replicated(replicas: u32) -> AppendOptions {
    with(Durability::Replicated { replicas })
}

async fn with_a_replica() -> (RedisServer, RedisServer) {
    let master = RedisServer::start().await.unwrap();
    let replica = RedisServer::builder()
        .setting("repl-diskless-sync-delay", "0")
        .replica_of(master.port());
    let replica = replica.start().await.unwrap();
    (master, replica)
}

#[tokio::test]
async fn a_replica_confirms_and_a_second_one_is_missed() {
    let (master, mut replica) = with_a_replica().await;
    let store = open(&master.url()).await.unwrap();
    // The replica may still be on its way: what is appended is then not as durable as asked.
    let began = Instant::now();
    while store.append_with(vec![entry(0, "a")], &replicated(1)).await[0].is_err() {
        assert!(began.elapsed() < DEADLINE);
    }
    let on_two = store.append_with(vec![entry(1, "b")], &replicated(2)).await;
    let Err(Error::NotDurable { id, reason }) = &on_two[0] else {
        panic!("{on_two:?}")
    };
    assert!(reason.contains("1 of 2 replicas"), "{reason}");
    assert_eq!(read_all(&store, &shard(1)).await.unwrap()[0].id, *id);

    replica.pause().unwrap();
    let silent = store
        .append_with(vec![entry(0, "c"), entry(2, "d")], &replicated(1))
        .await;
    for result in silent {
        assert!(
            matches!(result, Err(Error::NotDurable { .. })),
            "{result:?}"
        );
    }
    // Others are not held up, and the promise is kept again as soon as it can be.
    replica.resume().unwrap();
    let began = Instant::now();
    while store.append_with(vec![entry(0, "e")], &replicated(1)).await[0].is_err() {
        assert!(began.elapsed() < DEADLINE);
    }
}

#[tokio::test]
async fn many_who_wait_in_vain_share_their_waits() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let began = Instant::now();
    let calls = (0..50).map(|_| async {
        let results = store.append_with(vec![entry(0, "a")], &replicated(1)).await;
        assert!(
            matches!(results[0], Err(Error::NotDurable { .. })),
            "{results:?}"
        );
    });
    let waited = Cell::new(false);
    let all = async {
        join_all(calls).await;
        waited.set(true);
    };
    // Those in memory are appended meanwhile.
    let plain = async {
        store.append(vec![entry(1, "b")]).await.unwrap();
        assert!(!waited.get());
    };
    tokio::join!(all, plain);
    assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    assert_eq!(read_all(&store, &shard(0)).await.unwrap().len(), 50);
}

#[tokio::test]
async fn a_server_that_cannot_wait_for_its_disk_says_so_before_it_appends() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let fsynced = with(Durability::Fsynced);
    let results = store.append_with(vec![entry(0, "a")], &fsynced).await;
    let Err(refused @ Error::Refused(_)) = &results[0] else {
        panic!("{results:?}")
    };
    let text = refused.to_string();
    assert!(
        text.contains("7.2") && text.contains("appendonly"),
        "{text}"
    );
    assert!(read_all(&store, &shard(0)).await.unwrap().is_empty());
}

/// Appends on a server that fsyncs once in a second, kills it as soon as the disk has the entries,
/// and returns how many there are afterwards.
async fn left_of_two_after_a_power_cut(distribution: Distribution) -> usize {
    let builder = RedisServer::of(distribution).setting("appendonly", "yes");
    let mut server = builder
        .setting("appendfsync", "everysec")
        .start()
        .await
        .unwrap();
    let store = open(&server.url()).await.unwrap();
    let told = stranger(&server, "COMMAND INFO WAITAOF").await;
    let can_wait = told.concat().contains("waitaof");
    let entries = vec![entry(0, "a"), entry(1, "b")];
    let results = store.append_with(entries, &with(Durability::Fsynced)).await;
    if can_wait {
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        server.kill().await.unwrap();
        server.restart().await.unwrap();
    } else {
        assert!(matches!(results[0], Err(Error::Refused(_))), "{results:?}");
    }
    let first = until_available(async || read_all(&store, &shard(0)).await).await;
    let second = until_available(async || read_all(&store, &shard(1)).await).await;
    first.len() + second.len()
}

#[tokio::test]
async fn what_the_disk_confirmed_survives_a_power_cut_on_redis_8() {
    assert_eq!(
        Box::pin(left_of_two_after_a_power_cut(Distribution::Redis8)).await,
        2
    );
}

#[tokio::test]
async fn what_the_disk_confirmed_survives_a_power_cut_on_valkey_9() {
    assert_eq!(
        Box::pin(left_of_two_after_a_power_cut(Distribution::Valkey9)).await,
        2
    );
}

#[tokio::test]
async fn what_the_disk_confirmed_survives_a_power_cut_where_the_server_can_wait_for_it() {
    let left = Box::pin(left_of_two_after_a_power_cut(Distribution::System)).await;
    assert!([0, 2].contains(&left), "{left}");
}

#[tokio::test]
async fn a_cluster_says_which_master_lacks_the_replica_that_an_append_needs() {
    let mut cluster = RedisCluster::start_patient().await.unwrap();
    let store = open(&cluster.url()).await.unwrap();
    let everywhere = || (0..20).map(|index| entry(index, "a")).collect::<Vec<_>>();
    let on_replicas = store.append_with(everywhere(), &replicated(1)).await;
    assert!(on_replicas.iter().all(Result::is_ok), "{on_replicas:?}");

    let killed = cluster.kill_replica_of("{shard_0}_DRAINER_STREAM").await;
    let (master, replica) = killed.unwrap();
    let mut lacking = store.append_with(everywhere(), &replicated(1)).await;
    let Some(Err(Error::NotDurable { reason, .. })) = lacking.pop() else {
        panic!("{lacking:?}")
    };
    let place = format!("0 of 1 replicas have it at 127.0.0.1:{master}");
    assert!(reason.contains(&place), "{reason}");
    assert!(reason.contains("every master of a Cluster"), "{reason}");

    cluster.restart(replica).await.unwrap();
    let began = Instant::now();
    while store.append_with(vec![entry(0, "b")], &replicated(1)).await[0].is_err() {
        assert!(began.elapsed() < DEADLINE);
    }
}
