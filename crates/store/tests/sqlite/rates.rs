//! Rates, to be read by a human: `cargo nextest run --release -p tidegate-store --test sqlite
//! --run-ignored only --no-capture rates`.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_store::{EntryId, Fetch, NewEntry, ReadLimit, SqliteStore, Store};
use tokio::sync::Notify;

use crate::words::{ALL, DEADLINE, entry, open, own, partition, place};

const CALLS: u32 = 200;
const ENTRIES_PER_CALL: u32 = 1_000;
const TOTAL: u32 = CALLS * ENTRIES_PER_CALL;
const PAGE: ReadLimit = ReadLimit {
    entries: 1_000,
    ..ALL
};

fn say(what: &str, count: u32, took: Duration) {
    let rate = f64::from(count) / took.as_secs_f64();
    writeln!(
        std::io::stdout(),
        "{what}: {rate:.0}/s ({count} in {took:.2?})"
    )
    .unwrap();
}

async fn append(store: &SqliteStore, bytes: usize, partitions: u32) -> Duration {
    let value = Bytes::from(vec![b'x'; bytes]);
    let began = Instant::now();
    for _ in 0..CALLS {
        let new = |n| {
            let fields = vec![(Bytes::from_static(b"data"), value.clone())];
            NewEntry::new(partition(n % partitions), fields)
        };
        store
            .append((0..ENTRIES_PER_CALL).map(new).collect())
            .await
            .unwrap();
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and proves nothing"]
async fn batches() {
    for (bytes, partitions) in [(300, 1), (300, 8), (1_050, 8)] {
        let (_directory, path) = place();
        let store = open(&path).await;
        let what = format!("{bytes} B, {partitions} partitions");
        say(
            &format!("append, {what}"),
            TOTAL,
            append(&store, bytes, partitions).await,
        );

        let began = Instant::now();
        for index in 0..partitions {
            let mut after = EntryId::ZERO;
            while let Some(last) = store
                .read_after(&partition(index), after, PAGE)
                .await
                .unwrap()
                .last()
            {
                after = last.id;
            }
        }
        say(&format!("read after, {what}"), TOTAL, began.elapsed());

        let began = Instant::now();
        for index in 0..partitions {
            let lease = own(&store, index, DEADLINE * 10).await;
            loop {
                let fetched = store.fetch(&lease, Fetch::New, PAGE).await.unwrap();
                let ids: Vec<_> = fetched.iter().map(|entry| entry.id).collect();
                if ids.is_empty() {
                    break;
                }
                store.acknowledge(&lease, &ids).await.unwrap();
            }
            let deleting = Instant::now();
            let deleted = store.trim(&lease, 0).await.unwrap();
            if index == 0 {
                say(
                    &format!("trim, {what}"),
                    u32::try_from(deleted).unwrap(),
                    deleting.elapsed(),
                );
            }
        }
        say(
            &format!("fetch, acknowledge and trim, {what}"),
            TOTAL,
            began.elapsed(),
        );
    }
}

/// What a drain does to the store: entries come and go, and few are held.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and proves nothing"]
async fn a_drain_that_keeps_up() {
    let (_directory, path) = place();
    let store = open(&path).await;
    let began = Instant::now();
    let callers: Vec<_> = (0..4)
        .map(|index| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let lease = own(&store, index, DEADLINE * 10).await;
                let value = "x".repeat(300);
                let mut after = EntryId::ZERO;
                for _ in 0..CALLS / 4 {
                    let entries = (0..ENTRIES_PER_CALL)
                        .map(|_| entry(index, &value))
                        .collect();
                    store.append(entries).await.unwrap();
                    let read = store
                        .read_after(&partition(index), after, PAGE)
                        .await
                        .unwrap();
                    after = read.last().unwrap().id;
                    store.acknowledge_through(&lease, after).await.unwrap();
                    store.trim(&lease, 0).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    say(
        "append, read, acknowledge through, trim, 4 callers",
        TOTAL,
        began.elapsed(),
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and proves nothing"]
async fn batches_of_four_callers() {
    let (_directory, path) = place();
    let store = open(&path).await;
    let began = Instant::now();
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { append(&store, 300, 8).await })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    say(
        "append, 300 B, 8 partitions, 4 callers",
        4 * TOTAL,
        began.elapsed(),
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and proves nothing"]
async fn single_calls() {
    let (_directory, path) = place();
    let store = open(&path).await;
    let began = Instant::now();
    for n in 0..2_000 {
        store.append(vec![entry(0, n)]).await.unwrap();
    }
    say("append one by one, 1 caller", 2_000, began.elapsed());

    let began = Instant::now();
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..200 {
                    store.append(vec![entry(caller % 8, n)]).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    say("append one by one, 64 callers", 12_800, began.elapsed());

    let other = open(&path).await;
    let mut waits = Vec::new();
    for _ in 0..100 {
        let last = store
            .lag(&crate::words::group(), &[partition(0)])
            .await
            .unwrap()[0]
            .last_id;
        let waiter = Arc::clone(&other);
        let task = tokio::spawn(async move {
            let never = Notify::new();
            waiter
                .wait_for_entries(&[(partition(0), last)], DEADLINE, &never)
                .await
                .unwrap();
            Instant::now()
        });
        // In a calm the watch looks every 20 ms.
        tokio::time::sleep(Duration::from_millis(60)).await;
        let began = Instant::now();
        store.append(vec![entry(0, "")]).await.unwrap();
        waits.push(task.await.unwrap() - began);
    }
    waits.sort();
    writeln!(
        std::io::stdout(),
        "append to wake-up of another handle in a calm: p50 {:.1?}, max {:.1?}",
        waits[50],
        waits[99]
    )
    .unwrap();
}
