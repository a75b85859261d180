//! States: written with the entry that leads to them, in its order, and ended when it is settled.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use tidegate_store::{
    AppendOptions, Bound, Entry, EntryId, Error, Expected, NewEntry, NewState, Put, RedisStore,
    Store as _,
};
use tidegate_testkit::{RedisCluster, RedisServer};

use crate::site::{LIMIT, entry, open, read_all, shard, stranger};

fn state(name: &str, value: &str, expected: Expected) -> NewState {
    let value = Bytes::copy_from_slice(value.as_bytes());
    NewState {
        name: name.to_owned(),
        content: Some(vec![(Bytes::from_static(b"value"), value)]),
        expected,
    }
}

async fn put(store: &RedisStore, index: u32, value: &str, expected: Expected) -> Put {
    let (entry, state) = (entry(index, value), state("row", value, expected));
    let put = store.put(entry, state, &AppendOptions::default()).await;
    put.expect("put")
}

fn id(put: Put) -> EntryId {
    match put {
        Put::Done(appended) => appended.id,
        Put::Unexpected(version) => panic!("the version is {version:?}"),
    }
}

/// Two writers at once: the newest state is that of the last entry, whoever wrote it.
async fn the_last_entry_has_the_state(url: &str) {
    let writers = [open(url).await.unwrap(), open(url).await.unwrap()];
    let [one, two] = &writers;
    for index in 0..4 {
        let write = async |store: &RedisStore, name: &str| {
            for number in 0..40 {
                id(put(store, index, &format!("{name}{number}"), Expected::Anything).await);
            }
        };
        tokio::join!(write(one, "one"), write(two, "two"));
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let after = entries.last().map_or(EntryId::ZERO, |entry| entry.id);
            let page = one.read_after(&shard(index), after, LIMIT).await.unwrap();
            if page.is_empty() {
                break;
            }
            entries.extend(page);
        }
        let last = entries.last().expect("an entry");
        let state = one
            .state(&shard(index), "row")
            .await
            .unwrap()
            .expect("a state");
        assert_eq!((entries.len(), state.version), (80, last.id));
        let content = state.content.expect("fields");
        let value = |fields: &[(Bytes, Bytes)], name: &[u8]| {
            let field = fields.iter().find(|(field, _)| field == name);
            field.expect("the field").1.clone()
        };
        assert_eq!(value(&content, b"value"), value(&last.fields, b"typed_sql"));
        assert_eq!(value(&last.fields, b"state"), "row");
        let unsettled = one
            .unsettled_states(&shard(index), last.id, 0)
            .await
            .unwrap();
        assert_eq!(unsettled.len(), 1, "one of a name, however often it is put");
    }
}

#[tokio::test]
async fn the_newest_state_is_that_of_the_last_entry_whoever_writes() {
    let server = RedisServer::start().await.unwrap();
    Box::pin(the_last_entry_has_the_state(&server.url())).await;
}

#[tokio::test]
async fn a_state_is_in_the_slot_of_its_entries_on_a_cluster() {
    let cluster = RedisCluster::start().await.unwrap();
    Box::pin(the_last_entry_has_the_state(&cluster.url())).await;
}

#[tokio::test]
async fn a_writer_that_has_read_an_older_state_writes_nothing() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let none = put(&store, 0, "a", Expected::Version(EntryId::new(1, 0))).await;
    assert_eq!(none, Put::Unexpected(None));
    let first = id(put(&store, 0, "a", Expected::Nothing).await);
    let second = id(put(&store, 0, "b", Expected::Version(first)).await);
    for stale in [Expected::Nothing, Expected::Version(first)] {
        let refused = put(&store, 0, "c", stale).await;
        assert_eq!(refused, Put::Unexpected(Some(second)));
    }
    assert_eq!(read_all(&store, &shard(0)).await.unwrap().len(), 2);
    let deleted = NewState {
        content: None,
        ..state("row", "", Expected::Version(second))
    };
    let put = store
        .put(entry(0, "d"), deleted, &AppendOptions::default())
        .await;
    let state = store
        .state(&shard(0), "row")
        .await
        .unwrap()
        .expect("a state");
    assert_eq!((state.version, state.content), (id(put.unwrap()), None));
}

#[tokio::test]
async fn a_put_is_known_by_its_request_id_and_refused_where_the_shard_is_full() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let options = AppendOptions {
        bound: Bound::HighWater(1),
        idempotence: Some(Duration::from_secs(60)),
        ..AppendOptions::default()
    };
    let named = |name: &str| NewEntry {
        request_id: Some(Bytes::copy_from_slice(name.as_bytes())),
        ..entry(0, name)
    };
    let write = async |name| {
        let state = state("row", name, Expected::Anything);
        store.put(named(name), state, &options).await
    };
    let first = id(write("a").await.unwrap());
    let Ok(Put::Done(again)) = write("a").await else {
        panic!("the shard is full, but this one is known");
    };
    assert!(again.duplicate && again.id == first);
    let full = write("b").await;
    assert!(matches!(full, Err(Error::Full { held: 1, .. })), "{full:?}");
    let state = store
        .state(&shard(0), "row")
        .await
        .unwrap()
        .expect("a state");
    assert_eq!(state.version, first, "nothing of what was refused is there");
    let reserved = NewState {
        content: Some(vec![(Bytes::from_static(b"__id"), Bytes::new())]),
        ..state_of("row")
    };
    let refused = store.put(entry(1, "c"), reserved, &options).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
}

fn state_of(name: &str) -> NewState {
    state(name, "", Expected::Anything)
}

#[tokio::test]
async fn a_settled_state_ends_unless_it_was_put_again() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server.url()).await.unwrap();
    let first = id(put(&store, 0, "a", Expected::Anything).await);
    let settled = store.unsettled_states(&shard(0), first, 0).await.unwrap();
    let second = id(put(&store, 0, "b", Expected::Anything).await);
    let keep = Duration::from_secs(100);
    assert_eq!(
        store
            .settle_states(&shard(0), &settled, keep)
            .await
            .unwrap(),
        0
    );
    let ttl = "PTTL __state:{shard_0}_DRAINER_STREAM:row";
    assert_eq!(stranger(&server, ttl).await, ["-1"]);
    let settled = store.unsettled_states(&shard(0), second, 0).await.unwrap();
    assert_eq!(
        store
            .settle_states(&shard(0), &settled, keep)
            .await
            .unwrap(),
        1
    );
    let left: i64 = stranger(&server, ttl)
        .await
        .concat()
        .parse()
        .expect("a number");
    assert!((1..=100_000).contains(&left), "{left}");
    assert!(
        store
            .unsettled_states(&shard(0), second, 0)
            .await
            .unwrap()
            .is_empty()
    );
    // Whoever puts it anew takes the end away.
    put(&store, 0, "c", Expected::Version(second)).await;
    assert_eq!(stranger(&server, ttl).await, ["-1"]);
}

/// The command of docs/write-behind.md.
#[tokio::test]
async fn a_program_in_another_language_puts_by_the_same_script() {
    let server = RedisServer::start().await.unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/redis/scripts/put.lua");
    let operation = r#"{"op":"insert","table":"payment","row":{"id":7,"status":"paid"}}"#;
    let port = server.port().to_string();
    let to = ["-p", &port];
    let arguments = [
        to.as_slice(),
        &["--eval", script],
        &["{shard_41}_DRAINER_STREAM"],
        &["__state:{shard_41}_DRAINER_STREAM:payment:7"],
        &["__states:{shard_41}_DRAINER_STREAM", ","],
        &["payment:7", "-", "0", "", "4", "id", "7", "status", "paid"],
        &["request_id", "req_1", "global_id", "pay_1"],
        &["typed_sql", operation, "pushed_at", "1700000000"],
    ];
    let output = Command::new("redis-cli").args(arguments.concat()).output();
    let output = output.expect("redis-cli");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("put\n"), "{text}");
    let store = open(&server.url()).await.unwrap();
    let state = store
        .state(&shard(41), "payment:7")
        .await
        .unwrap()
        .expect("a state");
    assert!(text.contains(&state.version.to_string()), "{text}");
    assert_eq!(state.content.expect("fields").len(), 2);
    let entries = read_all(&store, &shard(41)).await.unwrap();
    let fields = &entries.first().expect("an entry").fields;
    assert_eq!(fields.len(), 5);
}
