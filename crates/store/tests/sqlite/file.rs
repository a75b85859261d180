//! The file: what is in it stays, shares it, or is refused with a clear error.

use bytes::Bytes;
use rusqlite::Connection;
use tidegate_store::{EntryId, Error, GroupName, ReadLimit, SqliteStore, Store};

use crate::words::{ALL, entry, open, partition, place};

#[tokio::test]
async fn entries_outlive_the_handle() {
    let (_directory, path) = place();
    let ids = open(&path)
        .await
        .append(vec![entry(0, "one"), entry(0, "two")])
        .await
        .unwrap();
    let read = open(&path)
        .await
        .read_after(&partition(0), EntryId::ZERO, ALL)
        .await
        .unwrap();
    assert_eq!(read.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids);
}

#[tokio::test]
async fn a_file_of_an_earlier_version_is_brought_up_to_date() {
    let (_directory, path) = place();
    drop(open(&path).await);
    // Version 1 had neither marks, request ids nor tasks, and no partition could be sealed.
    let earlier = "DROP TABLE tidegate_mark;
                   DROP TABLE tidegate_sent;
                   DROP TABLE tidegate_task;
                   DROP TABLE tidegate_task_queue;
                   ALTER TABLE tidegate_partition DROP COLUMN sealed;
                   UPDATE tidegate_meta SET value = 1 WHERE key = 'schema_version'";
    Connection::open(&path)
        .unwrap()
        .execute_batch(earlier)
        .unwrap();
    for _ in 0..2 {
        let store = open(&path).await;
        let (group, partition) = (GroupName::new("g").unwrap(), partition(0));
        store
            .set_mark(&group, &partition, "m", "x".into())
            .await
            .unwrap();
        let marks = store.marks(&group, &partition).await.unwrap();
        assert_eq!(marks.len(), 1);
    }
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let (_directory, path) = place();
    drop(open(&path).await);
    Connection::open(&path)
        .unwrap()
        .execute(
            "UPDATE tidegate_meta SET value = 1000 WHERE key = 'schema_version'",
            [],
        )
        .unwrap();
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    assert!(refused.to_string().contains("version 1000"), "{refused}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_a_clear_error() {
    let (_directory, path) = place();
    let garbage = "these are not the bytes of a database\n".repeat(1_000);
    std::fs::write(&path, &garbage).unwrap();
    let corrupt = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(corrupt, Error::Corrupt(_)), "{corrupt:?}");
    assert!(corrupt.to_string().contains("not a database"), "{corrupt}");
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        garbage,
        "it was not overwritten"
    );
}

#[tokio::test]
async fn a_missing_folder_is_refused_with_the_path() {
    let (directory, _path) = place();
    let path = directory.path().join("missing").join("store.sqlite");
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    assert!(refused.to_string().contains("missing"), "{refused}");
}

#[tokio::test]
async fn an_entry_that_was_damaged_is_corrupt() {
    let (_directory, path) = place();
    let store = open(&path).await;
    store
        .append(vec![entry(0, "one"), entry(0, "two")])
        .await
        .unwrap();
    Connection::open(&path)
        .unwrap()
        .execute("UPDATE tidegate_entry SET fields = x'05'", [])
        .unwrap();
    let corrupt = store.read_after(&partition(0), EntryId::ZERO, ALL).await;
    assert!(matches!(corrupt, Err(Error::Corrupt(_))), "{corrupt:?}");
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_sink_shares_the_file() {
    let (_directory, path) = place();
    let sink = Connection::open(&path).unwrap();
    sink.execute_batch("CREATE TABLE payment (id TEXT); INSERT INTO payment VALUES ('pay_1')")
        .unwrap();
    let store = open(&path).await;
    store.append(vec![entry(0, "one")]).await.unwrap();
    sink.execute("INSERT INTO payment VALUES ('pay_2')", [])
        .unwrap();
    let rows: i64 = sink
        .query_row("SELECT count(*) FROM payment", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_handles_create_one_file_at_once() {
    let (_directory, path) = place();
    let handles: Vec<_> = (0..8)
        .map(|caller| {
            let path = path.clone();
            tokio::spawn(async move {
                open(&path)
                    .await
                    .append(vec![entry(0, caller)])
                    .await
                    .unwrap();
            })
        })
        .collect();
    for handle in handles {
        handle.await.unwrap();
    }
    let read = open(&path)
        .await
        .read_after(&partition(0), EntryId::ZERO, ALL)
        .await
        .unwrap();
    assert_eq!(read.len(), 8);
}

#[tokio::test]
async fn the_entry_that_crosses_the_limit_of_bytes_is_the_last() {
    let (_directory, path) = place();
    let store = open(&path).await;
    let value = Bytes::from(vec![b'x'; 1_000]);
    let mut entries = vec![entry(0, ""); 20];
    for new in &mut entries {
        new.fields = vec![(Bytes::new(), value.clone())];
    }
    store.append(entries).await.unwrap();
    for (bytes, expected) in [(1, 1), (900, 1), (1_500, 2), (9_900, 10), (1_000_000, 20)] {
        let limit = ReadLimit { bytes, ..ALL };
        let read = store
            .read_after(&partition(0), EntryId::ZERO, limit)
            .await
            .unwrap();
        assert_eq!(read.len(), expected, "limit of {bytes}");
    }
}

#[tokio::test]
async fn space_of_trimmed_entries_is_used_again() {
    let (_directory, path) = place();
    let store = open(&path).await;
    let lease = crate::words::own(&store, 0, crate::words::DEADLINE * 10).await;
    let mut sizes = Vec::new();
    for _ in 0..10 {
        let entries = (0..2_000).map(|_| entry(0, "x".repeat(1_000))).collect();
        let ids = store.append(entries).await.unwrap();
        store.acknowledge_through(&lease, ids[1_999]).await.unwrap();
        assert_eq!(store.trim(&lease, 0).await.unwrap(), 2_000);
        let pages: u64 = Connection::open(&path)
            .unwrap()
            .pragma_query_value(None, "page_count", |row| row.get(0).map(i64::cast_unsigned))
            .unwrap();
        sizes.push(pages);
    }
    assert!(sizes[9] <= sizes[0] * 3 / 2, "the file grows: {sizes:?}");
}
