//! A server that says no: to a login, to a user, to a write, to a key of another kind.

use tidegate_store::{AppendOptions, Appended, Bound, EntryId, Epoch, Error, Store as _, WorkerId};
use tidegate_testkit::RedisServer;
use tokio::sync::Notify;

use crate::site::{DEADLINE, TTL, drain, entry, open, read_all, shard, stranger};

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
async fn what_is_refused_of_one_partition_is_taken_for_the_others_in_the_same_call() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    stranger(&server, "RPUSH {shard_1}_DRAINER_STREAM a").await;
    let last = "XADD {shard_2}_DRAINER_STREAM 18446744073709551615-18446744073709551615 a a";
    stranger(&server, last).await;
    let bounded = AppendOptions {
        bound: Bound::HighWater(3),
        ..AppendOptions::default()
    };
    for (index, text) in [(3, "a"), (3, "b"), (3, "c")] {
        store.append(vec![entry(index, text)]).await.unwrap();
    }
    let sent = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5];
    let sent: Vec<_> = sent.map(|index| entry(index, "x")).into();
    let results = store.append_with(sent, &bounded).await;
    let is_as_expected = |(place, result): (usize, &Result<Appended, Error>)| match place % 5 {
        1 if place < 10 => matches!(result, Err(Error::Refused(_))),
        2 => matches!(result, Err(Error::Sealed { .. })),
        3 => matches!(result, Err(Error::Full { .. })),
        _ => matches!(result, Ok(appended) if !appended.duplicate),
    };
    assert!(
        results.iter().enumerate().all(is_as_expected),
        "{results:?}"
    );
    for (index, held) in [(0, 2), (3, 3), (4, 2), (5, 1)] {
        let entries = read_all(&store, &shard(index)).await.unwrap();
        assert_eq!(entries.len(), held, "{index}");
        let ids: Vec<_> = results.iter().flatten().map(|it| it.id).collect();
        assert!(held == 3 || entries.iter().all(|entry| ids.contains(&entry.id)));
    }
    stranger(&server, "CONFIG SET maxmemory 1").await;
    let sent = [0, 4, 0, 4].map(|index| entry(index, "x")).into();
    let results = store.append_with(sent, &AppendOptions::default()).await;
    let are_unavailable = results
        .iter()
        .all(|result| matches!(result, Err(Error::Unavailable(_))));
    assert!(are_unavailable, "{results:?}");
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
