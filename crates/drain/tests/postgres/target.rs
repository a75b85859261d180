//! A target database of a test, with the user's tables in it.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_drain::apply::{Context, Rules, Settled, apply_entries};
use tidegate_drain::catalog::Catalog;
use tidegate_drain::change::resolve;
use tidegate_drain::dead_letter::{DeadLetterFilter, StoredLetter};
use tidegate_drain::envelope::{self, Envelope};
use tidegate_drain::policy::Policies;
use tidegate_drain::sink::{Outcome, Refusal, Sink, Unit};
use tidegate_drain::{Operation, PostgresOptions, PostgresSink, Rejection};
use tidegate_store::{Entry, EntryId, Epoch, Partition, StreamName};
use tidegate_testkit::{Database, PostgresServer};
use tokio_postgres::Client;

/// What the engine is told in these tests.
pub(crate) const RULES: Rules = Rules {
    entry_bytes_max: 1_000_000,
    parent_wait_ms_max: 60_000,
    forms: None,
};

/// A database, a sink on it, and somebody else's connection to it.
pub(crate) struct Target {
    pub(crate) database: Database,
    pub(crate) sink: PostgresSink,
    pub(crate) client: Client,
    pub(crate) policies: Policies,
}

impl Target {
    /// A prepared database with these tables of a user.
    pub(crate) async fn with(schema: &str) -> Self {
        let server = PostgresServer::shared().await.expect("a server");
        let database = server.create_database().await.expect("a database");
        let client = connect(&database.url()).await;
        client
            .batch_execute(schema)
            .await
            .expect("the user's schema");
        let sink = open(&database.url()).await;
        sink.prepare().await.expect("tables");
        Self {
            database,
            sink,
            client,
            policies: Policies::default(),
        }
    }

    pub(crate) async fn catalog(&self) -> Arc<Catalog> {
        let catalog = self.sink.catalog().await.expect("a catalog");
        catalog.under(&self.policies)
    }

    /// Applies operations in one transaction and commits it.
    pub(crate) async fn apply(&self, operations: &[impl AsRef<str>]) -> Outcome {
        let units = units(&*self.catalog().await, operations);
        let mut transaction = self.sink.begin().await.expect("a transaction");
        let refs: Vec<&Unit> = units.iter().collect();
        let outcome = transaction.apply(&refs).await.expect("an outcome");
        transaction.commit().await.expect("a commit");
        outcome
    }

    /// Applies operations that must all be accepted.
    pub(crate) async fn accept(&self, operations: &[impl AsRef<str>]) {
        let outcome = self.apply(operations).await;
        assert!(matches!(outcome, Outcome::Applied), "{outcome:?}");
    }

    /// Applies one operation that the database must refuse.
    pub(crate) async fn refuse(&self, operation: &str) -> Refusal {
        match self.apply(&[operation]).await {
            Outcome::Refused {
                applied: 0,
                mut culprits,
            } if culprits.len() == 1 => culprits.remove(0).1,
            other => panic!("{other:?}"),
        }
    }

    /// The rejection of an operation that doesn't get as far as the database.
    pub(crate) async fn reject(&self, operation: &str) -> Rejection {
        let operation = Operation::parse(operation.as_bytes()).expect("an operation");
        resolve(&*self.catalog().await, &operation)
            .expect_err("must be rejected")
            .rejection
    }

    /// Drains operations as the engine does it, as the owner with `epoch`; the entries' ids go on
    /// where the ledger is.
    pub(crate) async fn drain(&self, epoch: u64, operations: &[impl AsRef<str>]) -> Settled {
        let (shard, catalog) = (shard(0), self.catalog().await);
        let mut claim = self
            .sink
            .claim(&shard, Epoch(epoch), 0)
            .await
            .expect("a claim");
        let first = claim.position.ms + 1;
        let numbered = operations.iter().zip(first..);
        let entries: Vec<Entry> = numbered
            .map(|(text, ms)| entry(ms, text.as_ref()))
            .collect();
        let context = Context {
            shard: &shard,
            catalog: &catalog,
            is_catalog_fresh: true,
            rules: &RULES,
            now_ms: 1_000,
            on_step: &|_| {},
            on_held: &|_| {},
        };
        apply_entries(
            &context,
            &self.sink,
            Epoch(epoch),
            &mut claim,
            entries.clone(),
        )
        .await
        .expect("settled")
    }

    /// All letters, oldest first.
    pub(crate) async fn letters(&self) -> Vec<StoredLetter> {
        let filter = DeadLetterFilter {
            stream: shard(0).stream,
            states: Vec::new(),
            id: None,
            count_max: 10_000,
        };
        self.sink.dead_letters(&filter).await.expect("letters")
    }

    /// The rows of a query, each as one text.
    pub(crate) async fn rows(&self, query: &str) -> Vec<String> {
        let rows = self.client.query(query, &[]).await.expect("rows");
        let show = |row: &tokio_postgres::Row| row.get::<_, Option<String>>(0);
        rows.iter()
            .map(|row| show(row).unwrap_or_else(|| "NULL".to_owned()))
            .collect()
    }

    /// A number.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.client
            .query_one(query, &[])
            .await
            .expect("a row")
            .get(0)
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.expect(sql);
    }

    /// The first words of the statements for these operations.
    pub(crate) async fn methods(&self, operations: &[impl AsRef<str>]) -> Vec<String> {
        let units = units(&*self.catalog().await, operations);
        let method = |sql: &String| match sql {
            _ if sql.starts_with("COPY") => "copy",
            _ if sql.contains("unnest") => "bulk",
            _ => "single",
        };
        self.sink
            .explain(&units)
            .iter()
            .map(|sql| method(sql).to_owned())
            .collect()
    }
}

/// A sink with the usual options.
pub(crate) async fn open(url: &str) -> PostgresSink {
    PostgresSink::connect(url, PostgresOptions::default())
        .await
        .expect("a sink")
}

/// A connection of a test's own.
pub(crate) async fn connect(url: &str) -> Client {
    tidegate_testkit::postgres_client(url)
        .await
        .expect("a connection")
}

/// Operations held against a catalog, as the engine does it.
pub(crate) fn units(catalog: &Catalog, operations: &[impl AsRef<str>]) -> Vec<Unit> {
    let unit = |(text, ms): (&str, u64)| {
        let operation = Operation::parse(text.as_bytes()).expect(text);
        let changes = resolve(catalog, &operation).expect(text);
        let rows = changes
            .iter()
            .flat_map(|change| change.row.clone())
            .collect();
        Unit {
            envelope: Envelope::new(entry(ms, text)),
            changes,
            rows,
        }
    };
    operations
        .iter()
        .map(AsRef::as_ref)
        .zip(1..)
        .map(unit)
        .collect()
}

/// An entry with this operation.
pub(crate) fn entry(ms: u64, operation: &str) -> Entry {
    let payload = Bytes::copy_from_slice(operation.as_bytes());
    let fields = envelope::fields("request", "global", payload, std::time::UNIX_EPOCH);
    Entry {
        id: EntryId::new(ms, 0),
        fields,
    }
}

/// A shard of a stream.
pub(crate) fn shard(index: u32) -> Partition {
    StreamName::new("DRAINER_STREAM")
        .expect("a name")
        .partition(index)
}

/// The operation that inserts a row, given as JSON.
pub(crate) fn insert(table: &str, row: &str) -> String {
    format!(r#"{{"op":"insert","table":"{table}","row":{row}}}"#)
}
