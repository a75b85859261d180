//! What only the Redis backend has to show: the ancestors' keys and locks, and a server that
//! restarts, forgets, refuses or hangs. What both backends have in common is in `conformance`.

#![cfg(test)]

use std::time::Duration;

use bytes::Bytes;
use tidegate_store::{
    Entry, EntryId, Epoch, Error, Fetch, GroupName, Lease, LeaseHolder, NewEntry, Partition,
    ReadLimit, RedisStore, Store, StreamName, WorkerId,
};
use tidegate_testkit::{RedisServer, poll_until};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use url::Url;

const LIMIT: ReadLimit = ReadLimit {
    entries: 1_000,
    bytes: 1 << 20,
};
const TTL: Duration = Duration::from_secs(60);
/// What a test waits for at most before it fails.
const DEADLINE: Duration = Duration::from_secs(20);

fn shard(index: u32) -> Partition {
    StreamName::new("DRAINER_STREAM").unwrap().partition(index)
}

fn drain() -> GroupName {
    GroupName::new("tidegate_drain").unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

fn entry(index: u32, value: &str) -> NewEntry {
    let value = Bytes::copy_from_slice(value.as_bytes());
    NewEntry {
        partition: shard(index),
        fields: vec![(Bytes::from_static(b"typed_sql"), value)],
    }
}

async fn open(url: &str) -> Result<RedisStore, Error> {
    RedisStore::connect(&Url::parse(url).unwrap()).await
}

async fn acquire(store: &RedisStore, group: &GroupName, partition: &Partition) -> Option<Lease> {
    store
        .try_acquire_lease(group, partition, WorkerId::random(), TTL, Epoch(0))
        .await
        .unwrap()
}

async fn read_all(store: &RedisStore, partition: &Partition) -> Result<Vec<Entry>, Error> {
    store.read_after(partition, EntryId::ZERO, LIMIT).await
}

/// A program that is not Tidegate: it sends one command by hand, and gets the reply's text.
async fn stranger(server: &RedisServer, command: &str) -> Vec<String> {
    let mut connection = BufReader::new(
        TcpStream::connect(("127.0.0.1", server.port()))
            .await
            .unwrap(),
    );
    connection
        .write_all(format!("{command}\r\n").as_bytes())
        .await
        .unwrap();
    reply(&mut connection).await
}

async fn reply(connection: &mut BufReader<TcpStream>) -> Vec<String> {
    let mut header = String::new();
    connection.read_line(&mut header).await.unwrap();
    let (tag, value) = header.trim_end().split_at(1);
    match tag {
        "*" => {
            let mut elements = Vec::new();
            for _ in 0..value.parse::<usize>().unwrap() {
                elements.extend(Box::pin(reply(connection)).await);
            }
            elements
        }
        "$" if value == "-1" => vec!["nil".to_owned()],
        "$" => {
            let mut text = vec![0; value.parse::<usize>().unwrap() + 2];
            connection.read_exact(&mut text).await.unwrap();
            vec![String::from_utf8_lossy(&text).trim_end().to_owned()]
        }
        _ => vec![value.to_owned()],
    }
}

/// Asks again until the store answers, as a worker does while a server restarts.
async fn until_available<T>(mut ask: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let mut answer = None;
    let available = poll_until(DEADLINE, async || match ask().await {
        Err(error) if error.is_transient() => false,
        last => {
            answer = Some(last.unwrap());
            true
        }
    });
    available.await.unwrap();
    answer.unwrap()
}

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
        store.trim(&lease).await,
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
        store.trim(&lease).await.unwrap();
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
    assert_eq!(store.trim(&lease).await.unwrap(), 2);
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

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_shown() {
    let server = RedisServer::builder()
        .setting("requirepass", "right")
        .start()
        .await
        .unwrap();
    let with = |login: &str| {
        server
            .url()
            .replace("redis://", &format!("redis://{login}"))
    };

    for login in [":wr0ng@", "nobody:wr0ng@", ""] {
        let refused = open(&with(login)).await.unwrap_err();
        assert!(
            matches!(refused, Error::Refused(_)),
            "{login:?}: {refused:?}"
        );
        assert!(!format!("{refused} {refused:?}").contains("wr0ng"));
    }
    let store = open(&with(":right@")).await.unwrap();
    store.ping().await.unwrap();
    assert!(!format!("{store:?}").contains("right"));
}

#[tokio::test]
async fn a_user_without_client_unblock_is_interrupted_late_but_is() {
    let server = RedisServer::start().await.unwrap();
    let user = "ACL SETUSER worker on >secret ~* +@all -client|unblock";
    assert_eq!(stranger(&server, user).await, ["OK"]);
    let store = open(&server.url().replace("redis://", "redis://worker:secret@"))
        .await
        .unwrap();

    let interrupt = Notify::new();
    interrupt.notify_one();
    let positions = [(shard(0), EntryId::ZERO)];
    let wait = store.wait_for_entries(&positions, DEADLINE * 10, &interrupt);
    assert_eq!(
        tokio::time::timeout(DEADLINE, wait).await.unwrap().unwrap(),
        Vec::<usize>::new()
    );
}

#[tokio::test]
async fn a_full_server_is_unavailable_and_takes_all_of_a_batch_or_nothing() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    stranger(&server, "CONFIG SET maxmemory 1").await;
    let answer = store.append(vec![entry(0, "a"), entry(0, "b")]).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");

    stranger(&server, "CONFIG SET maxmemory 0").await;
    assert_eq!(read_all(&store, &shard(0)).await.unwrap(), []);
    assert_eq!(
        store
            .append(vec![entry(0, "a"), entry(0, "b")])
            .await
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_key_of_another_kind_is_refused_and_an_epoch_that_is_none_is_corrupt() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    stranger(&server, "RPUSH {shard_0}_DRAINER_STREAM a").await;
    stranger(
        &server,
        "SET {shard_0}_DRAINER_STREAM_epoch:tidegate_drain many",
    )
    .await;

    let answer = store.append(vec![entry(0, "a"), entry(0, "b")]).await;
    assert!(matches!(answer, Err(Error::Refused(_))), "{answer:?}");
    let answer = read_all(&store, &shard(0)).await;
    assert!(matches!(answer, Err(Error::Refused(_))), "{answer:?}");
    let (group, worker) = (drain(), WorkerId::random());
    let answer = store
        .try_acquire_lease(&group, &shard(0), worker, TTL, Epoch(0))
        .await;
    assert!(matches!(answer, Err(Error::Corrupt(_))), "{answer:?}");
}

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
    assert_eq!(store.trim(&drain).await.unwrap(), 0);
    store.acknowledge_through(&drain, ids[0]).await.unwrap();
    assert_eq!(store.trim(&drain).await.unwrap(), 1);
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
    store.trim(&lease).await.unwrap();
    let lag = lag().await;
    assert_eq!((lag.appended, lag.held, lag.undelivered), (500, 200, 200));
}
