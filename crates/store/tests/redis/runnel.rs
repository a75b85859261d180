//! The keys of an app's stream, as runnel's users know them.

use std::collections::BTreeSet;

use tidegate_store::{
    EntryId, Epoch, Fetch, NewEntry, ParkedEntry, Store as _, StreamName, WorkerId,
};
use tidegate_testkit::RedisServer;

use crate::site::{LIMIT, TTL, group, open, stranger};

#[tokio::test]
async fn no_key_of_an_app_is_written_but_the_documented_ones() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let stream = StreamName::of_app("shop", "orders").unwrap();
    let (settle, worker) = (group("settle"), WorkerId::random());
    let partition = stream.partition(5);
    let fields = vec![("data".into(), "{}".into())];
    let sent = NewEntry::new(partition.clone(), fields.clone());
    let id = store.append(vec![sent]).await.unwrap()[0];
    store.beat(&stream, &settle, worker, TTL).await.unwrap();
    let lease = async |partition| {
        store
            .try_acquire_lease(&settle, &partition, worker, TTL, Epoch(0))
            .await
            .unwrap()
            .unwrap()
    };
    let owned = lease(partition).await;
    store.fetch(&owned, Fetch::New, LIMIT).await.unwrap();
    let parked = ParkedEntry {
        id,
        key: "7".into(),
        reason: "no".into(),
        fields,
    };
    store.park(&owned, vec![parked]).await.unwrap();
    store
        .put_mark(&owned, "quarantine", Some("x".into()))
        .await
        .unwrap();
    store
        .acknowledge_through(&owned, EntryId::ZERO)
        .await
        .unwrap();
    store.trim(&owned, 0).await.unwrap();
    let leadership = StreamName::leadership("shop").unwrap();
    let led = lease(leadership.partition(0)).await;
    store.put_mark(&led, "ran", Some("1".into())).await.unwrap();
    store.beat(&leadership, &settle, worker, TTL).await.unwrap();

    let keys: BTreeSet<_> = stranger(&server, "KEYS *").await.into_iter().collect();
    let expected = [
        "__strm:shop.orders.5",
        "__lock:shop.orders.settle.5",
        "__epch:shop.orders.settle.5",
        "__mark:shop.orders.settle.5",
        "__park:shop.orders.settle.5",
        "__memb:shop.orders.settle",
        "__ctrl:shop.orders.settle",
        "__lead:shop",
        "__epch:shop",
        "__mark:shop",
        "__memb:shop.settle",
        "__ctrl:shop.settle",
    ];
    let mut expected: BTreeSet<String> = expected.map(str::to_owned).into();
    expected.insert(format!("__beat:shop.orders.settle.{worker}"));
    expected.insert(format!("__beat:shop.settle.{worker}"));
    assert_eq!(keys, expected);
    let lock = stranger(&server, "GET __lock:shop.orders.settle.5").await;
    assert_eq!(lock, [worker.to_string()]);
}

#[tokio::test]
async fn members_are_listed_with_their_partitions_as_runnel_lists_them() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let stream = StreamName::of_app("shop", "orders").unwrap();
    let (settle, worker) = (group("settle"), WorkerId::random());
    let beat = async || store.beat(&stream, &settle, worker, TTL).await.unwrap();
    let listed = async || {
        stranger(&server, "GET __memb:shop.orders.settle")
            .await
            .remove(0)
    };

    beat().await;
    let first = listed().await;
    let head = format!("{{\"{worker}\":{{\"joined_at\":\"20");
    assert!(first.starts_with(&head), "{first}");
    assert!(first.ends_with("+00:00\",\"partitions\":[]}}"), "{first}");

    let mut leases = Vec::new();
    for index in [2, 10] {
        let partition = stream.partition(index);
        let lease = store.try_acquire_lease(&settle, &partition, worker, TTL, Epoch(0));
        leases.extend(lease.await.unwrap());
    }
    beat().await;
    assert_eq!(listed().await, first.replace("[]", "[2,10]"));
    store.release_lease(&leases[1]).await.unwrap();
    beat().await;
    assert_eq!(listed().await, first.replace("[]", "[2]"));

    store.leave(&stream, &settle, worker).await.unwrap();
    assert_eq!(listed().await, "nil");
    let beats = stranger(&server, "KEYS __beat:*").await;
    assert!(beats.is_empty());
}

#[tokio::test]
async fn a_runnel_worker_is_a_member_and_a_holder() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let stream = StreamName::of_app("shop", "orders").unwrap();
    let (settle, ours, theirs) = (group("settle"), WorkerId::random(), WorkerId::random());
    // A stranger's command has no quotes, and blanks would end an argument.
    let member =
        format!(r#"{{"{theirs}":{{"joined_at":"2026-11-22T04:00:00","partitions":[0]}}}}"#);
    let quoted = member.replace('"', "\\\"");
    stranger(
        &server,
        &format!("SET __memb:shop.orders.settle \"{quoted}\""),
    )
    .await;
    stranger(
        &server,
        &format!("SET __beat:shop.orders.settle.{theirs} beat PX 60000"),
    )
    .await;
    stranger(
        &server,
        &format!("SET __lock:shop.orders.settle.0 {theirs} PX 60000"),
    )
    .await;

    let alive = store.beat(&stream, &settle, ours, TTL).await.unwrap();
    assert_eq!(BTreeSet::from_iter(alive), BTreeSet::from([ours, theirs]));
    let holders = store.lease_holders(&settle, &[stream.partition(0)]).await;
    assert_eq!(holders.unwrap()[0].unwrap().worker, Some(theirs));
    let taken = store
        .try_acquire_lease(&settle, &stream.partition(0), ours, TTL, Epoch(0))
        .await;
    assert_eq!(taken.unwrap(), None);

    stranger(&server, &format!("DEL __beat:shop.orders.settle.{theirs}")).await;
    let alive = store.beat(&stream, &settle, ours, TTL).await.unwrap();
    assert_eq!(alive, [ours]);
}
