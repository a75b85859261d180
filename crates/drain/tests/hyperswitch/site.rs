//! Real servers with the ancestor's tables, and entries as the ancestor pushes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_drain::dead_letter::{DeadLetterFilter, StoredLetter};
use tidegate_drain::hyperswitch::{Forms, Mapping};
use tidegate_drain::observer::Unobserved;
use tidegate_drain::{Options, PostgresOptions, PostgresSink, Sink, Worker, status};
use tidegate_store::{NewEntry, Store, StoreUrl, StreamName};
use tidegate_testkit::{Database, PostgresServer, RedisServer, poll_until};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

/// The ancestor's tables, as far as the tests write them.
pub(crate) const SCHEMA: &str = r#"
    CREATE TYPE "RefundStatus" AS ENUM ('failure', 'manual_review', 'pending', 'success', 'transaction_failure');
    CREATE TYPE "Currency" AS ENUM ('USD', 'EUR');
    CREATE TYPE "IntentStatus" AS ENUM ('requires_payment_method', 'processing', 'succeeded');
    CREATE TABLE refund (
        refund_id VARCHAR(64) NOT NULL, merchant_id VARCHAR(64) NOT NULL,
        payment_id VARCHAR(64) NOT NULL, connector_transaction_id VARCHAR(128) NOT NULL,
        total_amount BIGINT NOT NULL, currency "Currency" NOT NULL,
        refund_status "RefundStatus" NOT NULL DEFAULT 'pending',
        sent_to_gateway BOOLEAN NOT NULL DEFAULT false,
        refund_error_message TEXT, refund_reason VARCHAR(255), refund_arn TEXT,
        metadata JSON, created_at TIMESTAMP NOT NULL, modified_at TIMESTAMP NOT NULL,
        updated_by VARCHAR(32) NOT NULL, history "RefundStatus"[], tags TEXT[],
        attempts SMALLINT, score DOUBLE PRECISION, fee NUMERIC(12, 4), proof BYTEA,
        charges JSONB, documents JSONB[], due DATE, external UUID,
        PRIMARY KEY (merchant_id, refund_id));
    CREATE TABLE payment_intent (
        payment_id VARCHAR(64) NOT NULL, merchant_id VARCHAR(64) NOT NULL,
        status "IntentStatus" NOT NULL, amount BIGINT NOT NULL, amount_captured BIGINT,
        metadata JSON, return_url VARCHAR(255), customer_details BYTEA,
        incremental_authorization_allowed BOOLEAN, fingerprint_id VARCHAR(64),
        order_details JSON[], session_expiry TIMESTAMP,
        modified_at TIMESTAMP NOT NULL, updated_by VARCHAR(32) NOT NULL,
        PRIMARY KEY (payment_id, merchant_id));
    CREATE TABLE reverse_lookup (
        lookup_id VARCHAR(128) PRIMARY KEY, sk_id VARCHAR(128) NOT NULL,
        pk_id VARCHAR(128) NOT NULL, source VARCHAR(128) NOT NULL, updated_by VARCHAR(32) NOT NULL);
    CREATE TABLE address (
        address_id VARCHAR(64) PRIMARY KEY, city VARCHAR(128), line1 BYTEA,
        modified_at TIMESTAMP NOT NULL);"#;

/// A database with the ancestor's tables and a Redis of its own.
pub(crate) struct Site {
    pub(crate) redis: RedisServer,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) options: Options,
    pub(crate) client: Client,
    _database: Database,
}

impl Site {
    /// One shard, the example's mapping, and the form `query` for `refund`.
    pub(crate) async fn start() -> Self {
        let redis = RedisServer::start().await.expect("Redis");
        let server = PostgresServer::shared().await.expect("PostgreSQL");
        let database = server.create_database().await.expect("a database");
        let client = tidegate_testkit::postgres_client(&database.url())
            .await
            .expect("a connection");
        client.batch_execute(SCHEMA).await.expect("the tables");
        let url = StoreUrl::parse(&redis.url()).expect("a URL");
        let store = tidegate_store::connect(&url).await.expect("a store");
        let sink = PostgresSink::connect(&database.url(), PostgresOptions::default())
            .await
            .expect("a sink");
        sink.prepare().await.expect("tables");
        let stream = StreamName::new("DRAINER_STREAM").expect("a name");
        let mut options = Options::new(stream, 1);
        options.lease_ttl = Duration::from_secs(1);
        options.forms = Some(Arc::new(forms()));
        Self {
            redis,
            store,
            sink: Arc::new(sink),
            options,
            client,
            _database: database,
        }
    }

    /// Pushes an entry with the four fields that the ancestor's have.
    pub(crate) async fn push(&self, form: &'static str, payload: &str) {
        let field = |name: &'static str, value: &str| {
            (
                Bytes::from_static(name.as_bytes()),
                Bytes::copy_from_slice(value.as_bytes()),
            )
        };
        let fields = vec![
            field(form, payload),
            field("global_id", "mid_m_pid_p"),
            field("request_id", "req_1"),
            field("pushed_at", "1700000000"),
        ];
        let entry = NewEntry::new(self.options.stream.partition(0), fields);
        self.store.append(vec![entry]).await.expect("appended");
    }

    /// Drains until nothing is left.
    pub(crate) async fn drain(&self) {
        let (store, sink) = (self.store.clone(), self.sink.clone());
        let worker = Worker::new(store, sink, self.options.clone(), Arc::new(Unobserved));
        let stop = CancellationToken::new();
        let running = tokio::spawn(worker.expect("valid").run(stop.clone()));
        poll_until(Duration::from_secs(60), || async {
            status::is_drained(&*self.store, &*self.sink, &self.options)
                .await
                .unwrap_or(false)
        })
        .await
        .expect("drained in time");
        stop.cancel();
        running.await.expect("no panic").expect("no error");
    }

    /// What is held, oldest first.
    pub(crate) async fn letters(&self) -> Vec<StoredLetter> {
        let filter = DeadLetterFilter {
            stream: self.options.stream.clone(),
            states: Vec::new(),
            id: None,
            count_max: 1_000,
        };
        self.sink.dead_letters(&filter).await.expect("letters")
    }

    /// Nothing is held.
    pub(crate) async fn assert_all_applied(&self) {
        let letters = self.letters().await;
        assert!(letters.is_empty(), "{letters:#?}");
    }

    /// The one row of a query, each column as text; `-` for NULL.
    pub(crate) async fn row(&self, columns: &str, from: &str) -> Vec<String> {
        let list = columns.split(", ").map(|column| format!("{column}::text"));
        let list = list.collect::<Vec<_>>().join(", ");
        let row = self
            .client
            .query_one(&format!("SELECT {list} FROM {from}"), &[])
            .await;
        let row = row.expect("one row");
        (0..row.len())
            .map(|at| {
                row.get::<_, Option<String>>(at)
                    .unwrap_or_else(|| "-".to_owned())
            })
            .collect()
    }
}

/// What an operator would set.
pub(crate) fn forms() -> Forms {
    let example = include_str!("../../../../docs/hyperswitch-mapping.toml");
    Forms {
        mapping: Mapping::parse(example).expect("the example is valid"),
        query_tables: Some(BTreeSet::from(["refund".to_owned()])),
    }
}

/// The reasons of what is held, by the codes.
pub(crate) fn by_code(letters: &[StoredLetter]) -> BTreeMap<String, Vec<String>> {
    let mut codes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for letter in letters {
        codes
            .entry(letter.code.clone())
            .or_default()
            .push(letter.reason.clone());
    }
    codes
}
