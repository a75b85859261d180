//! A target file of a test, with the user's schema in it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;
use tidegate_drain::catalog::Catalog;
use tidegate_drain::change::resolve;
use tidegate_drain::envelope::{self, Envelope};
use tidegate_drain::policy::Policies;
use tidegate_drain::sink::{Outcome, Refusal, Sink, Unit};
use tidegate_drain::{Operation, Rejection, SqliteSink};
use tidegate_store::{Entry, EntryId, Partition, StreamName};

/// A file and a sink on it. The file goes with it.
pub(crate) struct Target {
    pub(crate) path: PathBuf,
    pub(crate) sink: SqliteSink,
    pub(crate) policies: Policies,
    _directory: TempDir,
}

impl Target {
    /// A prepared file with these tables of a user.
    pub(crate) async fn with(schema: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("target.sqlite");
        let sink = SqliteSink::open(&path).await.expect("a sink");
        sink.prepare().await.expect("tables");
        let target = Self {
            path,
            sink,
            policies: Policies::default(),
            _directory: directory,
        };
        target
            .connection()
            .execute_batch(schema)
            .expect("the user's schema");
        target
    }

    /// Somebody else's connection to the file.
    pub(crate) fn connection(&self) -> Connection {
        Connection::open(&self.path).expect("a connection")
    }

    pub(crate) async fn catalog(&self) -> Arc<Catalog> {
        let catalog = self.sink.catalog().await.expect("a catalog");
        catalog.under(&self.policies)
    }

    /// Applies operations in one transaction and commits it.
    pub(crate) async fn apply(&self, operations: &[&str]) -> Outcome {
        let units = units(&*self.catalog().await, operations);
        let mut transaction = self.sink.begin().await.expect("a transaction");
        let refs: Vec<&Unit> = units.iter().collect();
        let outcome = transaction.apply(&refs).await.expect("an outcome");
        transaction.commit().await.expect("a commit");
        outcome
    }

    /// Applies operations that must all be accepted.
    pub(crate) async fn accept(&self, operations: &[&str]) {
        let outcome = self.apply(operations).await;
        assert!(matches!(outcome, Outcome::Applied), "{outcome:?}");
    }

    /// Applies operations and returns the index and the refusal of the first bad one.
    pub(crate) async fn refuse(&self, operations: &[&str]) -> (usize, Refusal) {
        match self.apply(operations).await {
            Outcome::Refused { applied, culprits } => {
                let [(index, refusal)] = &culprits[..] else {
                    panic!("{culprits:?}")
                };
                assert_eq!(*index, applied);
                (applied, refusal.clone())
            }
            Outcome::Applied => panic!("all was applied"),
        }
    }

    /// The rejection of an operation that doesn't get as far as the database.
    pub(crate) async fn reject(&self, operation: &str) -> Rejection {
        let operation = Operation::parse(operation.as_bytes()).expect("an operation");
        resolve(&*self.catalog().await, &operation)
            .expect_err("must be rejected")
            .rejection
    }

    /// The rows of a query: values as `type:text`, joined by a blank.
    pub(crate) fn rows(&self, query: &str) -> Vec<String> {
        let connection = self.connection();
        let mut statement = connection.prepare(query).expect("a query");
        let count = statement.column_count();
        let rows = statement.query_map([], |row| {
            let values = (0..count).map(|column| row.get(column).map(show));
            values
                .collect::<Result<Vec<_>, _>>()
                .map(|values| values.join(" "))
        });
        rows.expect("rows")
            .collect::<Result<_, _>>()
            .expect("a row")
    }

    pub(crate) fn run(&self, sql: &str) {
        self.connection().execute_batch(sql).expect(sql);
    }

    /// The first value of a query for a number.
    pub(crate) fn count(&self, query: &str) -> i64 {
        self.connection()
            .query_row(query, [], |row| row.get(0))
            .expect("a number")
    }
}

fn show(value: Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Integer(value) => format!("i:{value}"),
        Value::Real(value) => format!("r:{value}"),
        Value::Text(value) => format!("t:{value}"),
        Value::Blob(value) => format!("b:{value:02x?}"),
    }
}

/// Operations held against a catalog, as the engine does it.
pub(crate) fn units(catalog: &Catalog, operations: &[&str]) -> Vec<Unit> {
    let unit = |(number, text): (usize, &&str)| {
        let operation = Operation::parse(text.as_bytes()).expect("an operation");
        let changes = resolve(catalog, &operation).expect("changes");
        let rows = changes
            .iter()
            .flat_map(|change| change.row.clone())
            .collect();
        Unit {
            envelope: Envelope::new(entry(number as u64 + 1, text)),
            changes,
            rows,
        }
    };
    operations.iter().enumerate().map(unit).collect()
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
