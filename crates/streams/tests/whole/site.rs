//! What the tests share: a store of their own, a small record, and a worker that is watched.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tidegate_store::{
    Entry, EntryId, Epoch, Field, GroupName, Lag, Lease, NewEntry, Partition, ReadLimit, Store,
    StoreUrl, StreamName, WorkerId, connect,
};
use tidegate_streams::record::Compression;
use tidegate_streams::{
    BoxError, Error, Event, Events, Options, Processor, Record, Result, Settings, StreamSpec,
    Worker,
};
use tidegate_testkit::{RedisServer, poll_until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a test waits for at most before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const APP: &str = "shop";
pub(crate) const STREAM: &str = "notes";
pub(crate) const NAME: &str = "reader";

/// A record with a key: `key:number` under `data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) key: String,
    pub(crate) number: u64,
}

impl Record for Note {
    fn partition_key(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }

    fn encode(&self, _: Compression) -> Result<Vec<Field>, BoxError> {
        let text = format!("{}:{}", self.key, self.number);
        Ok(vec![(Bytes::from_static(b"data"), text.into())])
    }

    fn decode(fields: &[Field]) -> Result<Self, BoxError> {
        let text = std::str::from_utf8(&fields[0].1)?;
        let (key, number) = text.split_once(':').ok_or("a note lacks its colon")?;
        Ok(Self {
            key: key.to_owned(),
            number: number.parse()?,
        })
    }
}

/// One set of data. It is gone when it is dropped.
pub(crate) struct Site {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) url: String,
    _keeper: Keeper,
}

#[expect(dead_code, reason = "a keeper is only held, for what its drop removes")]
enum Keeper {
    Directory(TempDir),
    Server(Box<RedisServer>),
}

impl Site {
    pub(crate) async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!(
            "sqlite://{}",
            directory.path().join("store.sqlite").display()
        );
        Self::open(url, Keeper::Directory(directory)).await
    }

    pub(crate) async fn redis() -> Self {
        let server = RedisServer::start().await.unwrap();
        Self::open(server.url(), Keeper::Server(Box::new(server))).await
    }

    async fn open(url: String, keeper: Keeper) -> Self {
        Self {
            store: open(&url).await,
            url,
            _keeper: keeper,
        }
    }

    /// Appends notes of a key, with the numbers of a range, to a partition.
    pub(crate) async fn send(
        &self,
        partition: u32,
        key: &str,
        numbers: std::ops::Range<u64>,
    ) -> Vec<EntryId> {
        let texts = numbers.map(|number| format!("{key}:{number}"));
        self.send_texts(partition, texts).await
    }

    /// Appends entries with any texts to a partition.
    pub(crate) async fn send_texts(
        &self,
        partition: u32,
        texts: impl IntoIterator<Item = impl Into<Bytes>>,
    ) -> Vec<EntryId> {
        let partition = stream().partition(partition);
        let entries = texts.into_iter().map(|text| NewEntry {
            partition: partition.clone(),
            fields: vec![(Bytes::from_static(b"data"), text.into())],
            request_id: None,
        });
        self.store.append(entries.collect()).await.unwrap()
    }

    pub(crate) async fn lag(&self, partition: u32) -> Lag {
        let partition = stream().partition(partition);
        self.store
            .lag(&group(), std::slice::from_ref(&partition))
            .await
            .unwrap()[0]
    }

    /// Waits until everything in these partitions is acknowledged.
    pub(crate) async fn drained(&self, partitions: u32) {
        let waiting = poll_until(DEADLINE, async || {
            for index in 0..partitions {
                let lag = self.lag(index).await;
                if lag.pending > 0 || lag.undelivered > 0 {
                    return false;
                }
            }
            true
        });
        waiting.await.expect("everything is acknowledged in time");
    }

    /// The dead letters, as entries.
    pub(crate) async fn dead_letters(&self) -> Vec<Entry> {
        let stream = tidegate_streams::dead_letter::stream_of(&spec(1)).unwrap();
        self.read(&stream.partition(0)).await
    }

    pub(crate) async fn read(&self, partition: &Partition) -> Vec<Entry> {
        let all = ReadLimit {
            entries: 100_000,
            bytes: usize::MAX,
        };
        self.store
            .read_after(partition, EntryId::ZERO, all)
            .await
            .unwrap()
    }

    /// Takes a partition for a worker of the test's own, once it is free.
    pub(crate) async fn own(&self, partition: u32) -> Lease {
        let partition = stream().partition(partition);
        let mut lease = None;
        let waiting = poll_until(DEADLINE, async || {
            let (worker, ttl) = (WorkerId::random(), Duration::from_secs(600));
            let taken = self
                .store
                .try_acquire_lease(&group(), &partition, worker, ttl, Epoch(0))
                .await;
            lease = taken.unwrap();
            lease.is_some()
        });
        waiting.await.expect("the lease is free in time");
        lease.expect("just seen")
    }

    /// Starts a worker with one processor.
    pub(crate) fn start(&self, processor: Processor) -> Running {
        let options = Options {
            // Not so short that a busy machine loses one: then events come again.
            lease_ttl: Duration::from_secs(10),
            ..Options::default()
        };
        self.start_with(processor, options)
    }

    pub(crate) fn start_with(&self, processor: Processor, options: Options) -> Running {
        self.run(Worker::new(self.store.clone(), vec![processor], options).unwrap())
    }

    pub(crate) fn run(&self, worker: Worker) -> Running {
        let stop = CancellationToken::new();
        let metrics = worker.metrics();
        Running {
            task: tokio::spawn(worker.run(stop.clone())),
            stop,
            metrics,
        }
    }
}

/// Opens a store by its URL.
pub(crate) async fn open(url: &str) -> Arc<dyn Store> {
    connect(&StoreUrl::parse(url).unwrap()).await.unwrap()
}

/// A worker that runs.
pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) metrics: tidegate_streams::Metrics,
    task: JoinHandle<Result<()>>,
}

impl Running {
    /// Shuts it down, which has to go well.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.ended().await.expect("the worker ends in order");
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(self) -> Result<(), Error> {
        let ended = tokio::time::timeout(DEADLINE, self.task).await;
        ended.expect("the worker ends in time").expect("no panic")
    }
}

pub(crate) fn stream() -> StreamName {
    spec(1).name().unwrap()
}

pub(crate) fn spec(partitions: u32) -> StreamSpec {
    StreamSpec {
        partitions,
        ..StreamSpec::new(APP, STREAM)
    }
}

pub(crate) fn group() -> GroupName {
    GroupName::new(NAME).unwrap()
}

/// A processor with these settings.
pub(crate) fn processor<F, Fut>(partitions: u32, settings: Settings, function: F) -> Processor
where
    F: Fn(Events<Note>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    Processor::new(NAME, &spec(partitions), function)
        .unwrap()
        .with_settings(settings)
        .unwrap()
}

/// What functions have seen, in the order in which they saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Event<Note>>>>);

impl Seen {
    pub(crate) fn push(&self, event: &Event<Note>) {
        self.0.lock().unwrap().push(event.clone());
    }

    pub(crate) fn events(&self) -> Vec<Event<Note>> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.events().iter().map(|event| event.number).collect()
    }

    /// The numbers seen of each key, in their order.
    pub(crate) fn by_key(&self) -> BTreeMap<String, Vec<u64>> {
        let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in self.events() {
            numbers
                .entry(event.key.clone())
                .or_default()
                .push(event.number);
        }
        numbers
    }

    /// Waits until so many events were seen.
    pub(crate) async fn count(&self, count: usize) {
        let waiting = poll_until(DEADLINE, async || self.0.lock().unwrap().len() >= count);
        waiting.await.expect("the events are seen in time");
    }

    /// A function that only sees.
    pub(crate) fn all(
        &self,
    ) -> impl Fn(Events<Note>) -> futures::future::BoxFuture<'static, Result<(), BoxError>>
    + Send
    + Sync
    + 'static {
        let seen = self.clone();
        move |mut events| {
            let seen = seen.clone();
            Box::pin(async move {
                while let Some(event) = events.next().await? {
                    seen.push(&event);
                }
                Ok(())
            })
        }
    }

    /// A function that sees, and fails at events that `is_bad`.
    pub(crate) fn unless(
        &self,
        is_bad: impl Fn(&Event<Note>) -> bool + Clone + Send + Sync + 'static,
    ) -> impl Fn(Events<Note>) -> futures::future::BoxFuture<'static, Result<(), BoxError>>
    + Send
    + Sync
    + 'static {
        let seen = self.clone();
        move |mut events| {
            let (seen, is_bad) = (seen.clone(), is_bad.clone());
            Box::pin(async move {
                while let Some(event) = events.next().await? {
                    seen.push(&event);
                    if is_bad(&event) {
                        return Err(format!("note {} is bad", event.number).into());
                    }
                }
                Ok(())
            })
        }
    }
}
