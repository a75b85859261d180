//! A stale owner's transaction is rolled back inside the database, and people who retry or discard
//! dead letters don't get in the way of a running worker.

use std::sync::Arc;
use std::time::Duration;

use tidegate_drain::apply::{Context, apply_entries};
use tidegate_drain::dead_letter::LetterId;
use tidegate_drain::observer::Unobserved;
use tidegate_drain::revive::{self, Selection};
use tidegate_drain::{Error, Options, Sink};
use tidegate_store::{EntryId, Epoch, Store};
use tidegate_testkit::{PostgresServer, RedisServer};

use crate::support::{assert_proved, drain_all, open_sink, open_store, options, send};

const SCHEMA: &str = "
    CREATE TABLE account (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL);
    CREATE TABLE child (id BIGINT PRIMARY KEY, parent BIGINT NOT NULL REFERENCES account (id),
        text BIGINT NOT NULL);";

fn insert(id: i64) -> String {
    format!(
        r#"{{"op":"insert","table":"account","partition_key":"a","row":{{"id":{id},"balance":1}}}}"#
    )
}

fn update(id: i64, balance: &str) -> String {
    format!(
        r#"{{"op":"update","table":"account","partition_key":"a","key":{{"id":{id}}},"set":{{"balance":{balance}}}}}"#
    )
}

/// Store and sink of a test, and what keeps them alive.
struct Pair {
    store: Arc<dyn Store>,
    sink: Arc<dyn Sink>,
    _alive: Box<dyn std::any::Any>,
}

async fn sqlite() -> Pair {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("all.sqlite");
    rusqlite::Connection::open(&path)
        .expect("a file")
        .execute_batch(SCHEMA)
        .expect("tables");
    let url = format!("sqlite://{}", path.display());
    pair(&url, &url, Box::new(dir)).await
}

async fn redis_and_postgres() -> Pair {
    let redis = RedisServer::start().await.expect("Redis");
    let postgres = PostgresServer::shared().await.expect("PostgreSQL");
    let url = postgres.create_database().await.expect("a database").url();
    let client = tidegate_testkit::postgres_client(&url)
        .await
        .expect("a connection");
    client.batch_execute(SCHEMA).await.expect("tables");
    pair(&redis.url(), &url, Box::new(redis)).await
}

async fn pair(store_url: &str, sink_url: &str, alive: Box<dyn std::any::Any>) -> Pair {
    let (store, sink) = (open_store(store_url).await, open_sink(sink_url).await);
    sink.prepare().await.expect("tables");
    Pair {
        store,
        sink,
        _alive: alive,
    }
}

/// An owner reads a batch and sleeps; a new owner claims the shard and drains it; the sleeper
/// wakes up and applies what it has read.
async fn a_sleeper_is_fenced(pair: &Pair) {
    let options = options();
    let (store, sink) = (&pair.store, &*pair.sink);
    let lines: Vec<_> = (1..=5).map(insert).collect();
    send(store, sink, &options, &lines).await;
    let index = tidegate_drain::route::shard_of("a", options.partitions);
    let shard = options.stream.partition(index);
    let limit = tidegate_store::ReadLimit {
        entries: 100,
        bytes: 1 << 20,
    };

    let mut asleep = sink.claim(&shard, Epoch(1), 0).await.expect("claimed");
    let entries = store
        .read_after(&shard, EntryId::ZERO, limit)
        .await
        .expect("entries");
    assert_eq!(entries.len(), 5);
    let mut awake = sink.claim(&shard, Epoch(2), 0).await.expect("claimed");

    let catalog = sink.catalog().await.expect("a catalog");
    let rules = tidegate_drain::apply::Rules {
        entry_bytes_max: 1 << 20,
        parent_wait_ms_max: 0,
        forms: None,
    };
    let context = Context {
        shard: &shard,
        catalog: &catalog,
        is_catalog_fresh: true,
        rules: &rules,
        now_ms: 0,
        on_step: &|_| {},
        on_held: &|_| {},
    };
    // Before the new owner has written anything, and after it.
    let refused = apply_entries(&context, sink, Epoch(1), &mut asleep, entries.clone()).await;
    assert!(
        matches!(refused, Err(Error::LedgerMoved { .. })),
        "{refused:?}"
    );
    let settled = apply_entries(&context, sink, Epoch(2), &mut awake, entries.clone()).await;
    assert_eq!(settled.expect("applied").applied, 5);
    let mut asleep = tidegate_drain::sink::Claim {
        position: EntryId::ZERO,
        revision: awake.revision,
        held: tidegate_drain::held::HeldIndex::default(),
        newest: awake.newest,
    };
    let first_two = entries.get(..2).expect("two entries");
    let refused = apply_entries(&context, sink, Epoch(1), &mut asleep, first_two.to_vec()).await;
    assert!(refused.is_err(), "{refused:?}");
    let refused = sink.claim(&shard, Epoch(1), 0).await;
    assert!(matches!(refused, Err(Error::Fenced { .. })), "{refused:?}");
    assert_proved(store, sink, &options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_owners_transaction_is_rolled_back_on_sqlite() {
    a_sleeper_is_fenced(&sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_owners_transaction_is_rolled_back_on_postgres() {
    a_sleeper_is_fenced(&redis_and_postgres().await).await;
}

/// Row 1 gets a bad update, then good ones; row 2 only good ones.
async fn a_row_waits_behind_its_dead_letter(pair: &Pair) -> (LetterId, u64) {
    let options = options();
    let lines = [
        insert(1),
        insert(2),
        update(1, "\"much\""),
        update(1, "3"),
        update(2, "5"),
        update(1, "4"),
    ];
    send(&pair.store, &*pair.sink, &options, &lines).await;
    drain_all(&pair.store, &pair.sink, &options, Arc::new(Unobserved)).await;
    assert_proved(&pair.store, &*pair.sink, &options).await;
    let ledger = pair.sink.ledger(&options.stream).await.expect("a ledger");
    let row = ledger.iter().find(|row| row.applied > 0).expect("a shard");
    assert_eq!((row.applied, row.dead, row.parked), (3, 1, 2));
    let filter = tidegate_drain::dead_letter::DeadLetterFilter {
        stream: options.stream.clone(),
        states: vec![tidegate_drain::held::HeldState::Dead],
        id: None,
        count_max: 10,
    };
    let letters = pair.sink.dead_letters(&filter).await.expect("letters");
    (letters.first().expect("one").id, letters.len() as u64)
}

async fn discarding_lets_the_parked_ones_follow(pair: &Pair) {
    let (id, dead) = a_row_waits_behind_its_dead_letter(pair).await;
    assert_eq!(dead, 1);
    let options = options();
    // The fault is in the operation itself, so another try finds it again.
    let retried = revive::retry(&*pair.sink, &options, &Selection::All)
        .await
        .expect("retried");
    assert_eq!((retried.applied, retried.dead), (0, 1));
    let selection = Selection::One(id);
    let (discarded, followed) = revive::discard(&*pair.sink, &options, &selection)
        .await
        .expect("discarded");
    assert_eq!((discarded, followed.applied), (1, 2));
    assert_proved(&pair.store, &*pair.sink, &options).await;
    let again = revive::retry(&*pair.sink, &options, &selection).await;
    assert!(matches!(again, Err(Error::Invalid(_))), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_operations_follow_a_discarded_one_on_sqlite() {
    discarding_lets_the_parked_ones_follow(&sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_operations_follow_a_discarded_one_on_postgres() {
    discarding_lets_the_parked_ones_follow(&redis_and_postgres().await).await;
}

/// A child waits for its parent with more entries behind it than one transaction tries again.
async fn a_long_line_behind_a_missing_parent_follows(pair: &Pair) {
    let behind = i64::try_from(tidegate_drain::apply::REPLAY_ENTRIES_MAX).expect("small") + 500;
    let options = Options {
        parent_wait: Duration::from_secs(60),
        batch_max: 500,
        ..options()
    };
    let child = |text: i64| {
        format!(
            r#"{{"op":"upsert","table":"child","partition_key":"a","row":{{"id":1,"parent":1,"text":{text}}}}}"#
        )
    };
    let mut lines: Vec<_> = (0..=behind).map(child).collect();
    lines.push(insert(1));
    send(&pair.store, &*pair.sink, &options, &lines).await;
    drain_all(&pair.store, &pair.sink, &options, Arc::new(Unobserved)).await;
    assert_proved(&pair.store, &*pair.sink, &options).await;
    let ledger = pair.sink.ledger(&options.stream).await.expect("a ledger");
    let total: u64 = ledger.iter().map(|row| row.applied).sum();
    assert_eq!(total, lines.len() as u64, "{ledger:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_line_behind_a_missing_parent_follows_on_sqlite() {
    a_long_line_behind_a_missing_parent_follows(&sqlite().await).await;
}
