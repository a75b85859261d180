//! Three tenants on Redis and PostgreSQL: two in schemas of one database, under one stream's
//! name, and one whose database does not exist yet.

#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that isn't as it claims"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tidegate_drain::observer::Unobserved;
use tidegate_drain::route::Sender;
use tidegate_drain::tenants::{Handle, OnStoreLost, Tenant};
use tidegate_drain::{Metrics, Runner, status};
use tidegate_settings::connect::{self, Connector};
use tidegate_settings::{Config, Settings};
use tidegate_testkit::{PostgresServer, RedisServer, poll_until};
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(60);
const TABLE: &str = "CREATE TABLE item (id bigint PRIMARY KEY, owner text)";
const ROWS: i64 = 30;

async fn client(url: &str) -> Client {
    tidegate_testkit::postgres_client(url)
        .await
        .expect("connected")
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect("a count").get(0)
}

/// Sends a tenant's rows. Their ids are the same for every tenant; the owner is its own.
async fn send(id: &str, settings: &Settings, first: i64) {
    let store = connect::store(settings).await.expect("a store");
    // A tenant without a database has no catalog either; its rows have one column as a key.
    let options = &settings.drain;
    let catalog = Arc::default();
    let sender = Sender::new(store, catalog, options.stream.clone(), options.partitions);
    let address = |n: i64| {
        let operation =
            format!(r#"{{"op":"insert","table":"item","row":{{"id":{n},"owner":"{id}"}}}}"#);
        let payload = operation.into_bytes().into();
        let request_id = format!("{id}_{n}");
        sender
            .address(payload, &request_id, "test", SystemTime::now())
            .entry
    };
    let entries = (first..first + ROWS).map(address);
    sender.send(entries.collect()).await.expect("sent");
}

async fn drained(handle: &Handle) {
    poll_until(DEADLINE, async || {
        let Some(ends) = handle.ends() else {
            return false;
        };
        let asked = status::is_drained(&*ends.store, &*ends.sink, handle.options());
        asked.await.unwrap_or(false)
    })
    .await
    .expect("drained in time");
}

fn load(text: &str) -> BTreeMap<String, Settings> {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("t.toml");
    std::fs::write(&file, text).expect("a file");
    let settings = Config::load(Some(&file)).expect("valid").settings;
    settings.tenants().expect("tenants")
}

/// The database that two tenants share, and the name of one that is not there.
struct Databases {
    url: String,
    shared: Client,
    missing_name: String,
    missing_url: String,
}

impl Databases {
    async fn new(server: &PostgresServer) -> Self {
        let database = server.create_database().await.expect("a database");
        let url = database.url();
        let shared = client(&url).await;
        for schema in ["a", "b"] {
            let sql = format!("CREATE SCHEMA {schema}; SET search_path = {schema}; {TABLE}");
            shared.batch_execute(&sql).await.expect("a schema");
        }
        let missing_name = format!("{}_of_c", database.name());
        let missing_url = url.replace(database.name(), &missing_name);
        Self {
            url,
            shared,
            missing_name,
            missing_url,
        }
    }

    /// Creates the missing one. It comes with its table, by another name at first: an entry that
    /// finds no table would be a dead letter.
    async fn create_missing(&self, server: &PostgresServer) {
        let made = server.create_database().await.expect("a database");
        let connected = tokio_postgres::connect(&made.url(), NoTls).await;
        let (client, connection) = connected.expect("connected");
        let connection = tokio::spawn(connection);
        client.batch_execute(TABLE).await.expect("a table");
        drop(client);
        connection.await.expect("no panic").expect("closed");
        let rename = format!(
            "ALTER DATABASE {} RENAME TO {}",
            made.name(),
            self.missing_name
        );
        // The server may take a moment to see that the connection is closed.
        poll_until(DEADLINE, async || {
            self.shared.batch_execute(&rename).await.is_ok()
        })
        .await
        .expect("renamed");
    }
}

fn run(tenants: &BTreeMap<String, Settings>) -> (Runner, Vec<Handle>) {
    let metrics = Metrics::new();
    let of = tenants.iter().map(|(id, own)| Tenant {
        id: Some(id.clone()),
        options: own.drain.clone(),
        connect: Arc::new(Connector(own.clone())),
        observer: metrics.of(Some(id), &own.drain),
    });
    let runner = Runner::new(of.collect(), OnStoreLost::default()).expect("valid");
    let handles = runner.handles();
    (runner, handles)
}

#[tokio::test]
async fn a_tenant_without_a_database_stops_no_other_and_catches_up() {
    let redis = RedisServer::start().await.expect("redis");
    let postgres = PostgresServer::shared().await.expect("postgres");
    let databases = Databases::new(postgres).await;
    let Databases {
        url,
        shared,
        missing_url,
        ..
    } = &databases;
    let tenants = load(&format!(
        "[store]\nurl = \"{}\"\n[sink]\nurl = \"{url}\"\nconnections = 2\n\
         [drain]\npartitions = 2\nlease_ttl = \"500ms\"\n\
         [tenants.a]\nschema = \"a\"\n[tenants.b]\nschema = \"b\"\nkey_prefix = \"bee\"\n\
         [tenants.c]\nsink_url = \"{missing_url}\"\n",
        redis.url()
    ));
    for (id, settings) in &tenants {
        send(id, settings, 0).await;
    }
    let (runner, handles) = run(&tenants);
    let [a, b, c] = handles.as_slice() else {
        panic!("three tenants");
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(runner.run(stop.clone()));

    // The two move on, each into its own table and its own part of the ledger.
    for (handle, schema) in [(a, "a"), (b, "b")] {
        drained(handle).await;
        let sql = format!("SELECT count(*) FROM {schema}.item WHERE owner = '{schema}'");
        assert_eq!(count(shared, &sql).await, ROWS);
        let health = handle.health().await;
        assert!(health.database && health.store, "{health:?}");
    }
    let sql = "SELECT count(DISTINCT stream) FROM tidegate.ledger";
    assert_eq!(count(shared, sql).await, 2);
    poll_until(DEADLINE, async || !c.health().await.details.is_empty())
        .await
        .expect("what is wrong with it is known");
    let health = c.health().await;
    assert!(health.store && !health.database, "{health:?}");
    let details = health.details.concat();
    assert!(details.contains("does not exist"), "{details}");

    // Still working while the third one is broken.
    send("a", &tenants["a"], ROWS).await;
    drained(a).await;
    assert_eq!(count(shared, "SELECT count(*) FROM a.item").await, 2 * ROWS);

    // The third catches up as soon as its database is there.
    databases.create_missing(postgres).await;
    drained(c).await;
    let own = client(missing_url).await;
    let applied = "SELECT count(*) FROM item WHERE owner = 'c'";
    assert_eq!(count(&own, applied).await, ROWS);
    assert!(c.health().await.database);

    stop.cancel();
    running.await.expect("no panic").expect("a good end");
    for (id, settings) in &tenants {
        proved(id, settings).await;
    }
}

async fn proved(id: &str, settings: &Settings) {
    let ends = connect::open(settings).await.expect("both ends");
    let proofs = status::verify(&ends.store, &*ends.sink, &settings.drain).await;
    for proof in proofs.expect("sums") {
        assert!(proof.holds(), "{id}: {proof:?}");
    }
}

#[tokio::test]
async fn two_tenants_of_one_name_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let url = format!("sqlite://{}/t.sqlite", folder.path().display());
    let text = format!("[store]\nurl = \"{url}\"\n[sink]\nurl = \"{url}\"\n[tenants.a]\n");
    let tenants = load(&text);
    let tenant = || Tenant {
        id: Some("a".to_owned()),
        options: tenants["a"].drain.clone(),
        connect: Arc::new(Connector(tenants["a"].clone())),
        observer: Arc::new(Unobserved),
    };
    let error = Runner::new(vec![tenant(), tenant()], OnStoreLost::default()).expect_err("refused");
    assert!(error.to_string().contains("two tenants"), "{error}");
}
