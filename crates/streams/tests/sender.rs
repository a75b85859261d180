//! What a sender promises of the records that it is given, and of those that it can't send.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests end a test that can't go on"
)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use tidegate_store::{EntryId, Field, ReadLimit, Store, StoreUrl, connect};
use tidegate_streams::{BoxError, Compression, Error, Raw, Record, Sender, StreamSpec};
use tidegate_testkit::RedisServer;

const ALL: ReadLimit = ReadLimit {
    entries: 100_000,
    bytes: 64 << 20,
};

/// The `number`th record of a key; those of number 13 can't be encoded.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    key: u32,
    number: u32,
}

impl Record for Step {
    fn partition_key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Owned(self.key.to_string()))
    }

    fn encode(&self, _: Compression) -> Result<Vec<Field>, BoxError> {
        if self.number == 13 {
            return Err("an unlucky number".into());
        }
        let (key, number) = (self.key.to_string(), self.number.to_string());
        Ok(vec![(key.into(), number.into())])
    }

    fn decode(fields: &[Field]) -> Result<Self, BoxError> {
        let (key, number) = fields.first().ok_or("no field")?;
        let read = |text: &Bytes| Ok::<_, BoxError>(std::str::from_utf8(text)?.parse()?);
        Ok(Self {
            key: read(key)?,
            number: read(number)?,
        })
    }
}

async fn embedded(directory: &TempDir) -> Arc<dyn Store> {
    let file = directory.path().join("store.sqlite");
    let url = StoreUrl::Sqlite(file);
    connect(&url).await.expect("a store")
}

/// What each partition holds, in its order.
async fn held<R: Record>(store: &Arc<dyn Store>, spec: &StreamSpec) -> Vec<Vec<(EntryId, R)>> {
    let name = spec.name().expect("a name");
    let mut partitions = Vec::new();
    for index in 0..spec.partitions {
        let partition = name.partition(index);
        let entries = store.read_after(&partition, EntryId::ZERO, ALL).await;
        let read = |entry: tidegate_store::Entry| {
            let record = R::decode(&entry.fields).expect("a record");
            (entry.id, record)
        };
        let entries = entries.expect("entries");
        partitions.push(entries.into_iter().map(read).collect());
    }
    partitions
}

#[tokio::test]
async fn records_of_one_key_are_in_one_partition_in_their_order() {
    let directory = TempDir::new().unwrap();
    let store = embedded(&directory).await;
    let spec = StreamSpec::new("shop", "steps");
    let sender = Sender::new(Arc::clone(&store), spec.clone()).unwrap();
    // More than a chunk, with the keys taking turns.
    let step = |index: u32| Step {
        key: index % 50,
        number: 100 + index / 50,
    };
    let steps: Vec<Step> = (0..10_000).map(step).collect();
    let answers = sender.send_many(steps.clone()).await;

    let partitions = held::<Step>(&store, &spec).await;
    let mut next = BTreeMap::new();
    for (index, partition) in partitions.iter().enumerate() {
        for (_, step) in partition {
            let expected = next.entry(step.key).or_insert((index, 100));
            assert_eq!(*expected, (index, step.number), "key {}", step.key);
            expected.1 += 1;
        }
    }
    assert!(next.values().all(|(_, number)| *number == 300), "{next:?}");
    assert_eq!(next.len(), 50);
    let ids: BTreeMap<(u32, u32), EntryId> = partitions
        .iter()
        .flatten()
        .map(|(id, step)| ((step.key, step.number), *id))
        .collect();
    for (step, id) in steps.iter().zip(answers) {
        assert_eq!(ids.get(&(step.key, step.number)), Some(&id.unwrap()));
    }
}

#[tokio::test]
async fn records_without_a_key_are_spread_evenly() {
    let directory = TempDir::new().unwrap();
    let store = embedded(&directory).await;
    let spec = StreamSpec::new("shop", "raw");
    let sender = Sender::new(Arc::clone(&store), spec.clone()).unwrap();
    let raw = Raw {
        fields: vec![("a".into(), "b".into())],
    };
    for answer in sender.send_many(vec![raw.clone(); 159]).await {
        answer.unwrap();
    }
    sender.send(&raw).await.unwrap();
    let partitions = held::<Raw>(&store, &spec).await;
    let counts: Vec<usize> = partitions.iter().map(Vec::len).collect();
    assert_eq!(counts, [10; 16]);
}

#[tokio::test]
async fn a_record_that_cannot_be_encoded_is_left_out_and_the_others_are_sent() {
    let directory = TempDir::new().unwrap();
    let store = embedded(&directory).await;
    let spec = StreamSpec::new("shop", "steps");
    let sender = Sender::new(Arc::clone(&store), spec.clone()).unwrap();
    // More than a chunk, so that what is left out of one doesn't hold up the next.
    let steps = (10..6_000).map(|number| Step { key: 1, number });
    let answers = sender.send_many(steps.collect()).await;

    for (number, answer) in (10..6_000).zip(&answers) {
        match answer {
            Err(Error::Unencodable(_)) => assert_eq!(number, 13),
            sent => assert!(sent.is_ok() && number != 13, "{number}: {sent:?}"),
        }
    }
    let partitions = held::<Step>(&store, &spec).await;
    let sent: Vec<u32> = partitions
        .iter()
        .flatten()
        .map(|(_, it)| it.number)
        .collect();
    let expected: Vec<u32> = (10..6_000).filter(|number| *number != 13).collect();
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn when_the_store_is_away_each_record_says_so_and_later_ones_are_not_tried() {
    let mut server = RedisServer::start().await.unwrap();
    let url = StoreUrl::parse(&server.url()).unwrap();
    let store = connect(&url).await.unwrap();
    let sender = Sender::new(store, StreamSpec::new("shop", "steps")).unwrap();
    server.stop().await.unwrap();
    let steps = (0..10_000).map(|key| Step { key, number: 1 });
    let answers = sender.send_many(steps.collect()).await;

    assert_eq!(answers.len(), 10_000);
    let failed =
        |it: &Result<EntryId, Error>| matches!(it, Err(Error::Store(it)) if it.is_transient());
    let tried = answers.iter().take_while(|it| failed(it)).count();
    assert!(tried > 0 && tried < 10_000, "{tried}");
    let rest = answers.get(tried..).unwrap();
    assert!(rest.iter().all(|it| matches!(it, Err(Error::NotTried))));
}
