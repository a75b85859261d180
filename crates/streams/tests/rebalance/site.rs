//! What the tests share: servers, worker processes, and looks at who owns what.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tidegate_store::{GroupName, Partition, Store, StoreUrl, WorkerId, connect};
use tidegate_testkit::{Database, PostgresServer, Process, RedisServer, poll_until};

use crate::effects::{self, Effect, Sink};
use crate::feed::{Feed, KEYS};
use crate::worker::{self, NAME, WORKING, spec};

/// Long enough for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// How long the partitions of a worker that dies stand still.
pub(crate) const LEASE_TTL: Duration = Duration::from_secs(1);

/// Redis that keeps what it has acknowledged.
pub(crate) async fn redis() -> RedisServer {
    RedisServer::builder().aof(true).start().await.unwrap()
}

/// A store, and tables for the effects.
pub(crate) struct Site {
    url: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) client: Arc<tokio_postgres::Client>,
    folder: TempDir,
    database: Database,
    _postgres: PostgresServer,
}

/// A worker process.
pub(crate) struct Hand {
    pub(crate) process: Process,
    pub(crate) id: WorkerId,
}

impl Hand {
    /// Ends it as its supervisor would, which has to go well.
    pub(crate) async fn stop(mut self) -> usize {
        let ended = self.process.terminate(SOON).await;
        let good = ended.as_ref().is_ok_and(ExitStatus::success);
        let said = [self.process.stdout(), self.process.stderr()].concat();
        assert!(good, "{ended:?}: {said:#?}");
        self.leases_lost()
    }

    /// How many leases it has lost, which happens on a machine that is too busy.
    pub(crate) fn leases_lost(&self) -> usize {
        let lines = self.process.stderr();
        lines.iter().filter(|it| it.contains("lease lost")).count()
    }
}

impl Site {
    /// A site whose store is at this URL.
    pub(crate) async fn at(url: String) -> Self {
        let postgres = PostgresServer::builder().fsync(false).start();
        let postgres = postgres.await.unwrap();
        let database = postgres.create_database().await.unwrap();
        let client = effects::client(&database.url()).await;
        Sink::create(&client).await;
        let address = StoreUrl::parse(&url).unwrap();
        Self {
            store: connect(&address).await.unwrap(),
            client: Arc::new(client),
            folder: tempfile::tempdir().unwrap(),
            database,
            url,
            _postgres: postgres,
        }
    }

    /// A worker, once it works.
    pub(crate) async fn hire(&self) -> Hand {
        self.hire_with(&[]).await
    }

    /// As [`hire`](Self::hire), with further variables.
    pub(crate) async fn hire_with(&self, variables: &[(&str, &str)]) -> Hand {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["a_worker", "--exact", "--ignored", "--nocapture"])
            .env(worker::STORE, &self.url)
            .env(worker::SINK, self.database.url())
            .env(worker::FOLDER, self.folder.path())
            .env(worker::LEASE_MS, LEASE_TTL.as_millis().to_string())
            .envs(variables.iter().copied());
        let process = Process::spawn(&command).unwrap();
        let line = process.wait_for_line(|line| line.contains(WORKING), SOON);
        let line = line.await.unwrap();
        let (_, id) = line.split_once(WORKING).unwrap();
        let id = id.trim().parse().unwrap();
        Hand { process, id }
    }

    /// Where the poison is.
    pub(crate) fn poison(&self) -> PathBuf {
        self.folder.path().join(worker::POISON)
    }

    pub(crate) fn group() -> GroupName {
        GroupName::new(NAME).unwrap()
    }

    pub(crate) fn partitions() -> Vec<Partition> {
        let (stream, partitions) = (spec().name().unwrap(), spec().partitions);
        (0..partitions)
            .map(|index| stream.partition(index))
            .collect()
    }

    /// Who holds each partition.
    pub(crate) async fn owners(&self) -> Vec<Option<WorkerId>> {
        let (group, partitions) = (Self::group(), Self::partitions());
        let holders = self.store.lease_holders(&group, &partitions).await;
        let owner = |holder: Option<tidegate_store::LeaseHolder>| holder.and_then(|it| it.worker);
        holders.unwrap().into_iter().map(owner).collect()
    }

    /// Waits until exactly these workers own all partitions, evenly within one.
    pub(crate) async fn shared_among(&self, hands: &[&Hand]) {
        let began = std::time::Instant::now();
        let is_even = poll_until(SOON, async || {
            let mut shares: BTreeMap<_, u32> =
                hands.iter().map(|hand| (Some(hand.id), 0)).collect();
            for owner in self.owners().await {
                *shares.entry(owner).or_default() += 1;
            }
            let (least, most) = (shares.values().min(), shares.values().max());
            shares.len() == hands.len() && most.unwrap() - least.unwrap() <= 1
        });
        is_even.await.expect("the partitions are shared evenly");
        eprintln!("{} workers share after {:?}", hands.len(), began.elapsed());
    }

    /// Waits until so many steps have taken effect.
    pub(crate) async fn done(&self, count: u64) {
        let done = poll_until(SOON, async || effects::count(&self.client).await >= count);
        let done = done.await;
        let found = effects::count(&self.client).await;
        assert!(done.is_ok(), "{found} of {count} steps have taken effect");
    }

    /// Waits until everything that the feed has sent has taken effect, some of it maybe twice.
    pub(crate) async fn done_all(&self, feed: &Feed) {
        self.done(feed.sent).await;
        let distinct = async || effects::count_distinct(&self.client).await;
        let done = poll_until(SOON, async || distinct().await >= feed.sent);
        let done = done.await;
        let (found, sent) = (distinct().await, feed.sent);
        assert!(done.is_ok(), "{found} of {sent} steps have taken effect");
    }

    /// As [`check`](Self::check), but for repetitions of what the feed has sent again.
    pub(crate) async fn check_of(&self, feed: &Feed) -> Vec<Effect> {
        let effects = effects::all(&self.client).await;
        let distinct = effects::without_repetitions(&effects, &feed.resent);
        effects::check(&distinct, KEYS, feed.sent);
        effects
    }

    /// Each of so many steps took effect once, in the fenced table, in order.
    pub(crate) async fn check(&self, sent: u64) -> Vec<Effect> {
        let effects = effects::all(&self.client).await;
        effects::check(&effects, KEYS, sent);
        effects
    }

    /// The entries whose unfenced effect happened more than once, with how often; none may have
    /// none.
    pub(crate) fn doubled(&self, effects: &[Effect]) -> HashMap<(i32, i64), u32> {
        let unfenced = self.unfenced();
        let all = effects
            .iter()
            .all(|effect| unfenced.contains_key(&(effect.partition, effect.entry)));
        assert!(all, "an effect without its unfenced one");
        assert_eq!(unfenced.len(), effects.len());
        let counts = unfenced.into_iter();
        let counts = counts.map(|(place, times)| (place, u32::try_from(times.len()).unwrap()));
        counts.filter(|(_, count)| *count > 1).collect()
    }

    /// When each entry had its unfenced effects.
    pub(crate) fn unfenced(&self) -> HashMap<(i32, i64), Vec<SystemTime>> {
        let mut times: HashMap<(i32, i64), Vec<SystemTime>> = HashMap::new();
        for file in std::fs::read_dir(self.folder.path()).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for line in text.lines() {
                let (place, time) = worker::parse_unfenced(line);
                times.entry(place).or_default().push(time);
            }
        }
        times
    }
}

/// A generator whose seed is printed, so that a failure can be seen again.
pub(crate) fn seeded(seed: u64) -> StdRng {
    eprintln!("seed {seed}");
    StdRng::seed_from_u64(seed)
}
