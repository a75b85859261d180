//! The worker program: each event leaves an unfenced effect in a file and a fenced one in
//! PostgreSQL, and a schedule says who leads.
//!
//! It has the events of a batch in hand while both effects happen. If the process dies between
//! them, or before the acknowledgement, the next owner repeats the unfenced effect and the
//! database refuses to repeat the other one.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tidegate_store::{Field, Store, StoreUrl, StreamName, connect};
use tidegate_streams::record::Compression;
use tidegate_streams::schedule::{self, Scheduler};
use tidegate_streams::{
    BoxError, Event, Events, Options, Policy, Processor, Record, Schedule, ScheduledRun, Settings,
    StateMap, StreamSpec, When, Worker,
};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::effects::{self, Sink};

pub(crate) const APP: &str = "bank";
pub(crate) const NAME: &str = "book";
/// What the worker says when it begins, followed by its id.
pub(crate) const WORKING: &str = "working as ";
/// What the leader says at each run, followed by its epoch.
pub(crate) const LEADING: &str = "leading under ";

pub(crate) const STORE: &str = "TIDEGATE_TEST_STORE";
pub(crate) const SINK: &str = "TIDEGATE_TEST_SINK";
pub(crate) const FOLDER: &str = "TIDEGATE_TEST_FOLDER";
pub(crate) const LEASE_MS: &str = "TIDEGATE_TEST_LEASE_MS";
pub(crate) const LINGER_MS: &str = "TIDEGATE_TEST_LINGER_MS";
/// What becomes of events that fail: [`DEAD_LETTERS`] or [`PARKED`]; otherwise the worker halts.
pub(crate) const ON_ERROR: &str = "TIDEGATE_TEST_ON_ERROR";
pub(crate) const DEAD_LETTERS: &str = "dead letters";
pub(crate) const PARKED: &str = "parked";
/// How many keys of a partition are processed at a time, where it is not one.
pub(crate) const LANES: &str = "TIDEGATE_TEST_LANES";
/// Set, for a function that blocks while it has events in hand.
pub(crate) const BLOCKING: &str = "TIDEGATE_TEST_BLOCKING";
pub(crate) const TICK_MS: &str = "TIDEGATE_TEST_TICK_MS";

/// As long as this file is in the folder, events of keys that [`is_bad`] fail.
pub(crate) const POISON: &str = "poison";

/// Whether the events of a key fail while there is poison: a tenth of them.
pub(crate) fn is_bad(key: &str) -> bool {
    key.ends_with('7')
}

/// How many events are in hand at once.
const BATCH_MAX: usize = 50;

/// A numbered step of a key: `key:number`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Step {
    pub(crate) key: String,
    pub(crate) number: u64,
}

impl Record for Step {
    fn partition_key(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }

    fn encode(&self, _: Compression) -> tidegate_streams::Result<Vec<Field>, BoxError> {
        let text = format!("{}:{}", self.key, self.number);
        Ok(vec![(Bytes::from_static(b"step"), text.into())])
    }

    fn decode(fields: &[Field]) -> tidegate_streams::Result<Self, BoxError> {
        let text = std::str::from_utf8(&fields[0].1)?;
        let (key, number) = text.split_once(':').ok_or("a step lacks its colon")?;
        Ok(Self {
            key: key.to_owned(),
            number: number.parse()?,
        })
    }
}

/// What senders and workers agree on.
pub(crate) fn spec() -> StreamSpec {
    let mut spec = StreamSpec::new(APP, "steps");
    spec.append.idempotence = Some(Duration::from_secs(600));
    spec
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn milliseconds(name: &str) -> Option<Duration> {
    Some(Duration::from_millis(variable(name)?.parse().unwrap()))
}

/// Works until SIGTERM.
pub(crate) async fn run() {
    let (Some(store), Some(sink)) = (variable(STORE), variable(SINK)) else {
        return;
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let store = connect(&StoreUrl::parse(&store).unwrap()).await.unwrap();
    let lease_ttl = milliseconds(LEASE_MS).unwrap();
    let desk = Arc::new(Desk::open(&sink).await);
    let settings = Settings {
        on_error: match variable(ON_ERROR).as_deref() {
            Some(DEAD_LETTERS) => Policy::DeadLetter,
            Some(PARKED) => Policy::ParkKey,
            _ => Policy::Halt,
        },
        lanes: variable(LANES).map_or(1, |lanes| lanes.parse().unwrap()),
        ..Settings::default()
    };
    let processor = Processor::new(NAME, &spec(), move |events| work(events, desk.clone()));
    let processor = processor.unwrap().with_settings(settings).unwrap();
    let options = Options {
        lease_ttl,
        ..Options::default()
    };
    let worker = Worker::new(store.clone(), vec![processor], options).unwrap();
    let scheduler = scheduler(store, &worker, lease_ttl);
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    // From now on it can be asked to end.
    writeln!(std::io::stdout(), "{WORKING}{}", worker.id()).unwrap();
    let signalled = shutdown.clone();
    tokio::spawn(async move {
        terminate.recv().await;
        signalled.cancel();
    });
    let (worked, scheduled) = tokio::join!(
        worker.run(shutdown.clone()),
        scheduler.run(shutdown.clone())
    );
    worked.unwrap();
    scheduled.unwrap();
}

/// A schedule of the leader, where the test asks for one.
fn scheduler(store: Arc<dyn Store>, worker: &Worker, lease_ttl: Duration) -> Scheduler {
    let tick = async |run: ScheduledRun| {
        let epoch = run.lease.map(|lease| lease.epoch).unwrap_or_default();
        writeln!(std::io::stdout(), "{LEADING}{epoch}")
    };
    let every = milliseconds(TICK_MS).map(When::Every);
    let schedules = every.map(|every| Schedule::new(every, tick).named("tick").on_leader());
    let options = schedule::Options {
        leadership: StreamName::leadership(APP).unwrap(),
        lease_ttl,
        grace: Duration::from_secs(10),
    };
    let schedules = schedules.into_iter().collect();
    let state = Arc::new(StateMap::new());
    let scheduler = Scheduler::new(store, worker.id(), schedules, state, options);
    scheduler.unwrap().with_arrivals(worker.arrivals())
}

/// What the functions of all partitions share.
struct Desk {
    sink: Sink,
    /// The unfenced effects, a line for each. What is written survives the death of the process.
    file: File,
    /// How long both effects of a batch are apart.
    linger: Duration,
    is_blocking: bool,
    poison: PathBuf,
}

impl Desk {
    async fn open(sink: &str) -> Self {
        let folder = PathBuf::from(variable(FOLDER).unwrap());
        Self {
            sink: Sink::open(sink).await,
            file: File::create(folder.join(std::process::id().to_string())).unwrap(),
            linger: milliseconds(LINGER_MS).unwrap_or_default(),
            is_blocking: variable(BLOCKING).is_some(),
            poison: folder.join(POISON),
        }
    }

    fn record_unfenced(&self, batch: &[Event<Step>]) -> std::io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = now.as_millis();
        let line = |event: &Event<Step>| {
            let entry = effects::number_of(event.id);
            format!("{} {entry} {now}\n", event.partition)
        };
        let lines: String = batch.iter().map(line).collect();
        (&self.file).write_all(lines.as_bytes())
    }

    async fn record_later(&self, batch: &[Event<Step>]) -> Result<(), tokio_postgres::Error> {
        if !self.linger.is_zero() {
            tokio::time::sleep(self.linger).await;
        }
        self.sink.record(batch).await
    }
}

/// The partition and the entry of an unfenced effect, and when it happened.
pub(crate) fn parse_unfenced(line: &str) -> ((i32, i64), SystemTime) {
    let mut words = line.split(' ');
    let mut word = || words.next().expect("three words");
    let (partition, entry, ms) = (word(), word(), word());
    let since_epoch = Duration::from_millis(ms.parse().unwrap());
    let place = (partition.parse().unwrap(), entry.parse().unwrap());
    (place, UNIX_EPOCH + since_epoch)
}

async fn work(mut events: Events<Step>, desk: Arc<Desk>) -> Result<(), BoxError> {
    while let Some(batch) = events.take(BATCH_MAX, Duration::ZERO).await? {
        if batch.iter().any(|event| is_bad(&event.key)) && desk.poison.exists() {
            return Err("there is poison".into());
        }
        desk.record_unfenced(&batch)?;
        if desk.is_blocking {
            // As with a client that blocks: the function hears of nothing before it has failed.
            let record = async { desk.record_later(&batch).await };
            tokio::task::block_in_place(|| Handle::current().block_on(record))?;
        } else {
            desk.record_later(&batch).await?;
        }
    }
    Ok(())
}
