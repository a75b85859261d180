//! The effects of events: in PostgreSQL, fenced and each once, and what a test reads of them.
//!
//! The fence is what a user of streams can build with [`Event::epoch`]: a row per partition with
//! the newest owner's epoch, which is locked and checked in the transaction of the effect.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_store::EntryId;
use tidegate_streams::Event;
use tokio_postgres::{Client, Statement};

use crate::worker::Step;

/// A stale owner's batch is refused as a whole; of a repeated batch only what is new takes effect.
const SCHEMA: &str = "
    CREATE TABLE fence (partition INT PRIMARY KEY, epoch BIGINT NOT NULL, done BIGINT NOT NULL);
    INSERT INTO fence SELECT p, 0, 0 FROM generate_series(0, 63) AS p;
    CREATE TABLE effect (
        n BIGINT GENERATED ALWAYS AS IDENTITY, partition INT NOT NULL, entry BIGINT NOT NULL,
        key TEXT NOT NULL, number BIGINT NOT NULL, epoch BIGINT NOT NULL, owner TEXT NOT NULL,
        UNIQUE (partition, entry));
    CREATE FUNCTION record(
        p INT, e BIGINT, o TEXT, entries BIGINT[], keys TEXT[], numbers BIGINT[]
    ) RETURNS VOID LANGUAGE plpgsql AS $$
    DECLARE
        count BIGINT;
    BEGIN
        UPDATE fence SET epoch = e WHERE partition = p AND epoch <= e;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'a stale owner: epoch % of partition %', e, p;
        END IF;
        INSERT INTO effect (partition, entry, key, number, epoch, owner)
            SELECT p, u.entry, u.key, u.number, e, o
            FROM unnest(entries, keys, numbers) WITH ORDINALITY AS u(entry, key, number, nth)
            ORDER BY u.nth
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS count = ROW_COUNT;
        UPDATE fence SET done = done + count WHERE partition = p;
    END $$;";

/// The id of an entry as one number, in the same order.
pub(crate) fn number_of(id: EntryId) -> i64 {
    let (ms, sequence) = (
        i64::try_from(id.ms).unwrap(),
        i64::try_from(id.sequence).unwrap(),
    );
    assert!(sequence < 1_000_000, "{id}");
    ms * 1_000_000 + sequence
}

pub(crate) async fn client(url: &str) -> Client {
    tidegate_testkit::postgres_client(url).await.unwrap()
}

/// Where the worker's effects go.
pub(crate) struct Sink {
    client: Client,
    record: Statement,
}

impl Sink {
    pub(crate) async fn create(client: &Client) {
        client.batch_execute(SCHEMA).await.unwrap();
    }

    pub(crate) async fn open(url: &str) -> Self {
        let client = client(url).await;
        let record = "SELECT record($1, $2, $3, $4, $5, $6)";
        let record = client.prepare(record).await.unwrap();
        Self { client, record }
    }

    /// Lets a batch of one partition take effect, in one transaction.
    pub(crate) async fn record(&self, batch: &[Event<Step>]) -> Result<(), tokio_postgres::Error> {
        let Some(first) = batch.first() else {
            return Ok(());
        };
        let partition = i32::try_from(first.partition).unwrap();
        let epoch = i64::try_from(first.epoch().0).unwrap();
        let owner = first.lease.worker.to_string();
        let entries: Vec<i64> = batch.iter().map(|event| number_of(event.id)).collect();
        let keys: Vec<&str> = batch.iter().map(|event| event.key.as_str()).collect();
        let number = |event: &Event<Step>| i64::try_from(event.number).unwrap();
        let numbers: Vec<i64> = batch.iter().map(number).collect();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&partition, &epoch, &owner, &entries, &keys, &numbers];
        self.client.execute(&self.record, &values).await?;
        Ok(())
    }
}

/// One row of the fenced effects.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    pub(crate) partition: i32,
    pub(crate) entry: i64,
    key: String,
    number: i64,
    epoch: i64,
    owner: String,
}

/// How many fenced effects there are.
pub(crate) async fn count(client: &Client) -> u64 {
    let row = client
        .query_one("SELECT sum(done)::BIGINT FROM fence", &[])
        .await;
    u64::try_from(row.unwrap().get::<_, i64>(0)).unwrap()
}

/// How many steps have fenced effects, where some may have several.
pub(crate) async fn count_distinct(client: &Client) -> u64 {
    let steps = "SELECT count(*) FROM (SELECT DISTINCT key, number FROM effect) AS step";
    let row = client.query_one(steps, &[]).await;
    u64::try_from(row.unwrap().get::<_, i64>(0)).unwrap()
}

/// The fenced effects in the order in which they happened.
pub(crate) async fn all(client: &Client) -> Vec<Effect> {
    let rows = "SELECT partition, entry, key, number, epoch, owner FROM effect ORDER BY n";
    let rows = client.query(rows, &[]).await.unwrap();
    let effect = |row: &tokio_postgres::Row| Effect {
        partition: row.get(0),
        entry: row.get(1),
        key: row.get(2),
        number: row.get(3),
        epoch: row.get(4),
        owner: row.get(5),
    };
    rows.iter().map(effect).collect()
}

/// Leaves out the repetitions of steps that their sender has sent again: an entry that no replica
/// had may take effect, be lost with its master, and be appended once more under another id.
pub(crate) fn without_repetitions(effects: &[Effect], resent: &BTreeSet<Step>) -> Vec<Effect> {
    let mut seen = BTreeSet::new();
    let mut is_first = |effect: &&Effect| {
        let step = Step {
            key: effect.key.clone(),
            number: u64::try_from(effect.number).unwrap(),
        };
        !resent.contains(&step) || seen.insert(step)
    };
    effects.iter().filter(|it| is_first(it)).cloned().collect()
}

/// Each of so many steps took effect once, each key's in order, and each epoch had one owner.
pub(crate) fn check(effects: &[Effect], keys: u64, sent: u64) {
    let mut numbers: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut epochs: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    let mut owners: BTreeMap<(i32, i64), BTreeSet<&str>> = BTreeMap::new();
    for effect in effects {
        let Effect {
            partition, epoch, ..
        } = *effect;
        numbers.entry(&effect.key).or_default().push(effect.number);
        epochs.entry(partition).or_default().push(epoch);
        owners
            .entry((partition, epoch))
            .or_default()
            .insert(&effect.owner);
    }
    for (key, numbers) in &numbers {
        // A gap is a lost step, a repetition a doubled one, and a descent is disorder.
        let wrong = (0..).zip(numbers).find(|(nth, number)| nth != *number);
        assert_eq!(
            wrong, None,
            "of key {key}, the step in place of the one that was due"
        );
    }
    assert_eq!(effects.len() as u64, sent, "steps took effect");
    assert_eq!(numbers.len() as u64, keys.min(sent));
    assert!(epochs.values().all(|epochs| epochs.is_sorted()));
    let shared = owners.iter().find(|(_, owners)| owners.len() != 1);
    assert_eq!(shared, None, "an epoch with several owners");
}
