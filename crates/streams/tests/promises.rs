//! What a stream can promise of the records sent to it: a bound that drops nothing, and records that
//! are appended once however often they are sent.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests end a test that can't go on"
)]

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tidegate_macros::Record;
use tidegate_store::{
    AppendOptions, EntryId, Error as Failure, ReadLimit, Store, StoreUrl, connect,
};
use tidegate_streams::{Error, Outgoing, Raw, Sender, StreamSpec};

const ALL: ReadLimit = ReadLimit {
    entries: 100_000,
    bytes: 64 << 20,
};

/// The `number`th record of a key.
#[derive(Clone, Debug, PartialEq, Record, Serialize, Deserialize)]
#[record(partition_by = "key", format = "native", crate = "tidegate_streams")]
struct Step {
    key: u32,
    number: u32,
}

async fn embedded(directory: &TempDir) -> Arc<dyn Store> {
    let file = directory.path().join("store.sqlite");
    let url = StoreUrl::Sqlite(file);
    connect(&url).await.expect("a store")
}

/// How many entries each partition holds.
async fn counts(store: &Arc<dyn Store>, spec: &StreamSpec) -> Vec<usize> {
    let name = spec.name().expect("a name");
    let mut counts = Vec::new();
    for index in 0..spec.partitions {
        let partition = name.partition(index);
        let entries = store.read_after(&partition, EntryId::ZERO, ALL).await;
        counts.push(entries.expect("entries").len());
    }
    counts
}

#[tokio::test]
async fn a_full_partition_refuses_what_is_sent_and_the_others_go_on() {
    let directory = TempDir::new().unwrap();
    let store = embedded(&directory).await;
    let spec = StreamSpec {
        partition_size: 5_000,
        ..StreamSpec::new("shop", "steps")
    };
    let sender = Sender::new(Arc::clone(&store), spec.clone()).unwrap();
    // Keys 1 and 2 go to two partitions, and one of them takes turns that fill it.
    let step = |index: u32| Step {
        key: if index.is_multiple_of(100) { 2 } else { 1 },
        number: 100 + index,
    };
    let steps: Vec<Step> = (0..10_000).map(step).collect();
    let answers = sender.send_many(steps.clone()).await;

    let mut counts = counts(&store, &spec).await;
    counts.retain(|count| *count > 0);
    counts.sort_unstable();
    assert_eq!(counts, [100, 5_000]);
    let mut is_full = false;
    for (step, answer) in steps.iter().zip(answers) {
        match answer {
            Ok(_) => assert!(step.key == 2 || !is_full, "a gap before {step:?}"),
            Err(
                Error::Store(Failure::Full {
                    high_water: 5_000, ..
                })
                | Error::NotTried,
            ) => {
                assert_eq!(step.key, 1);
                is_full = true;
            }
            Err(other) => panic!("{step:?}: {other}"),
        }
    }
    assert!(is_full);
    assert!(matches!(
        sender.send(&step(1)).await,
        Err(Error::Store(Failure::Full { .. }))
    ));
}

#[tokio::test]
async fn a_request_id_sent_twice_is_appended_once_also_without_a_key() {
    let directory = TempDir::new().unwrap();
    let store = embedded(&directory).await;
    let spec = StreamSpec {
        append: AppendOptions {
            idempotence: Some(Duration::from_secs(3_600)),
            ..AppendOptions::default()
        },
        ..StreamSpec::new("shop", "raw")
    };
    let sender = Sender::new(Arc::clone(&store), spec.clone()).unwrap();
    let outgoing = |number: u32| Outgoing {
        request_id: Some(format!("r{number}").into()),
        ..Outgoing::from(Raw {
            fields: vec![("number".into(), number.to_string().into())],
        })
    };
    let first = sender.send_each((0..50).map(outgoing).collect()).await;
    let second = sender.send_each((0..60).map(outgoing).collect()).await;

    for (number, answer) in second.iter().enumerate() {
        let answer = answer.as_ref().unwrap();
        assert_eq!(answer.duplicate, number < 50);
        if let Some(first) = first.get(number) {
            assert_eq!(first.as_ref().unwrap().id, answer.id);
        }
    }
    assert_eq!(counts(&store, &spec).await.iter().sum::<usize>(), 60);
}

#[tokio::test]
async fn a_request_id_is_refused_where_the_stream_does_not_know_it_again() {
    let directory = TempDir::new().unwrap();
    let store = embedded(&directory).await;
    let sender = Sender::new(store, StreamSpec::new("shop", "steps")).unwrap();
    let outgoing = Outgoing {
        request_id: Some("r1".into()),
        ..Outgoing::from(Step { key: 1, number: 1 })
    };
    let answers = sender.send_each(vec![outgoing]).await;
    assert!(matches!(answers.as_slice(), [Err(Error::Invalid(_))]));
}
