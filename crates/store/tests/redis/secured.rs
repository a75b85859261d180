//! TLS with a private authority, and a user who may do little.

use tidegate_store::{AppendOptions, EntryId, Error, Fetch, Store as _};
use tidegate_testkit::RedisServer;

use crate::site::{LIMIT, TTL, acquire, drain, entry, open, shard};

/// What a worker and a producer need: nothing that administrates, and no other keys.
const RULES: &str = "~{shard_* ~{DRAINER_STREAM}_* ~__* +@all -@admin -@dangerous \
    +info +client|unblock";

async fn secured() -> RedisServer {
    let builder = RedisServer::builder().tls(true);
    let server = builder.user("worker", "s3cret", RULES).start().await;
    server.unwrap()
}

#[tokio::test]
async fn a_restricted_user_works_over_tls() {
    let server = secured().await;
    let url = server.tls_url("worker:s3cret@").unwrap();
    let store = open(&url).await.unwrap();
    let ids = store
        .append(vec![entry(0, "a"), entry(0, "b")])
        .await
        .unwrap();
    let once = AppendOptions {
        idempotence: Some(TTL),
        ..AppendOptions::default()
    };
    for duplicate in [false, true] {
        let sent = entry(0, "c").with_request_id("r");
        let results = store.append_with(vec![sent], &once).await;
        assert_eq!(results[0].as_ref().unwrap().duplicate, duplicate);
    }
    let lease = acquire(&store, &drain(), &shard(0)).await.unwrap();
    store
        .beat(&shard(0).stream, &drain(), lease.worker, TTL)
        .await
        .unwrap();
    let read = store.fetch(&lease, Fetch::New, LIMIT).await.unwrap();
    assert_eq!(read.len(), 3);
    assert_eq!(store.acknowledge(&lease, &ids).await.unwrap(), 2);
    assert_eq!(store.trim(&lease, 0).await.unwrap(), 2);
    let news = store
        .wait_for_entries(
            &[(shard(0), EntryId::ZERO)],
            TTL,
            &tokio::sync::Notify::new(),
        )
        .await;
    assert_eq!(news.unwrap(), [0]);
    store.release_lease(&lease).await.unwrap();
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_not_talked_to() {
    let (server, other) = (secured().await, secured().await);
    let (_, authority) = {
        let url = other.tls_url("").unwrap();
        let (address, authority) = url.split_once("?ca=").unwrap();
        (address.to_owned(), authority.to_owned())
    };
    let url = server.tls_url("worker:s3cret@").unwrap();
    let (address, _) = url.split_once("?ca=").unwrap();
    for url in [address.to_owned(), format!("{address}?ca={authority}")] {
        let refused = open(&url).await.unwrap_err();
        assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
        assert!(!format!("{refused} {refused:?}").contains("s3cret"));
    }
}
