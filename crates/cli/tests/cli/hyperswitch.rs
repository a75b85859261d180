//! The settings of Hyperswitch's drainer, and the commands of `docs/hyperswitch.md` on them.

use bytes::Bytes;
use tidegate_store::{NewEntry, StoreUrl, StreamName};
use tidegate_testkit::{PostgresServer, RedisServer};
use url::Url;

use crate::program::Place;

const DRAINER: &str = r#"
[server]
port = 8080

[master_database]
username = "db_user"
password = "hunter2"
host = "db.internal"
dbname = "hyperswitch_db"

[redis]
host = "cache.internal"

[drainer]
num_partitions = 32
loop_interval = 500

[multitenancy.tenants.public]
base_url = "http://localhost:8080"
schema = "public"
redis_key_prefix = "acme"
clickhouse_database = "default"
"#;

#[test]
fn the_ancestors_file_is_as_good_as_tidegates_own() {
    let place = Place::empty();
    place.write("drainer.toml", DRAINER);
    place.write("tidegate.toml", "[drain]\nbatch_max = 9\npartitions = 4\n");
    let env = [
        ("DRAINER__REDIS__PORT", "6390"),
        ("TIDEGATE__SINK__CONNECTIONS", "3"),
    ];
    let line = "config show --json --hyperswitch-config drainer.toml";
    let shown = place.run_with(line, &env);
    assert!(!shown.out.contains("hunter2"), "{}", shown.out);
    let shown = shown.succeeded(line).json();
    for (key, value) in [
        ("store.url", "redis://cache.internal:6390"),
        ("drain.stream", "DRAINER_STREAM"),
        ("drain.key_prefix", "acme"),
        ("sink.schema", "public"),
    ] {
        assert_eq!(shown[key]["value"], value, "{key}");
        assert_eq!(shown[key]["source"], "drainer.toml", "{key}");
    }
    assert_eq!(shown["drain.partitions"]["value"], 32);
    assert_eq!(shown["drain.batch_max"]["value"], 9);
    assert_eq!(shown["sink.connections"]["value"], 3);
}

#[test]
fn a_folder_has_one_file_for_each_run_env() {
    let place = Place::empty();
    std::fs::create_dir(place.path("config")).expect("a folder");
    place.write("config/sandbox.toml", DRAINER);
    let line = "config show --json --hyperswitch-config config";
    let shown = place.run_with(line, &[("RUN_ENV", "sandbox")]);
    let shown = shown.succeeded(line).json();
    assert_eq!(shown["drain.partitions"]["source"], "config/sandbox.toml");
    let ran = place.run(line);
    assert_eq!(ran.code, 1);
    ran.says(&["config/development.toml can't be read"]);
}

#[test]
fn a_wrong_value_names_key_value_and_file() {
    let place = Place::empty();
    place.write("drainer.toml", DRAINER.replace("32", "\"many\""));
    let ran = place.run("config check --hyperswitch-config drainer.toml");
    assert_eq!(ran.code, 1);
    ran.says(&["drainer.num_partitions = \"many\" (drainer.toml): use 1 to 4096"]);
    place.write("mapping.toml", "[tables.refund]\nrenames = 1\n");
    let ran = place.run_with(
        "config check",
        &[
            ("TIDEGATE__HYPERSWITCH__MAPPING", "mapping.toml"),
            ("TIDEGATE__HYPERSWITCH__QUERY", "perhaps"),
        ],
    );
    assert_eq!(ran.code, 1);
    ran.says(&[
        "hyperswitch.mapping = \"mapping.toml\"",
        "renames",
        "use true or false",
    ]);
}

/// Every command of the page, in its order, on real servers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_page_work_on_the_ancestors_settings() {
    let redis = RedisServer::start().await.expect("Redis");
    let server = PostgresServer::shared().await.expect("PostgreSQL");
    let database = server.create_database().await.expect("a database");
    let client = tidegate_testkit::postgres_client(&database.url())
        .await
        .expect("a connection");
    client
        .batch_execute(
            "CREATE SCHEMA acme; CREATE TABLE acme.refund (refund_id VARCHAR(64) PRIMARY KEY, \
             refund_status TEXT, modified_at TIMESTAMP)",
        )
        .await
        .expect("tables");
    push(&redis).await;

    let place = Place::empty();
    std::fs::create_dir(place.path("config")).expect("a folder");
    place.write("config/drainer.toml", drainer(&redis, &database.url()));
    place.write(
        "tidegate.toml",
        "[hyperswitch]\nmapping = \"hyperswitch-mapping.toml\"\nquery = true\n\
         query_tables = [\"refund\"]\n",
    );
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/hyperswitch-mapping.toml"
    );
    std::fs::copy(example, place.path("hyperswitch-mapping.toml")).expect("the example");
    let on = |command: &str| format!("{command} --hyperswitch-config config/drainer.toml");
    place.done(&on("config check --connect"));
    place.done(&on("config show"));
    // As on the page, but to an end.
    let ran = place
        .run(&on("drain run --once --json"))
        .succeeded("drain run");
    ran.says(&[
        "settings of Hyperswitch's drainer have no effect",
        "drainer.loop_interval",
    ]);
    place.done(&on("drain status"));
    place.done(&on("drain verify"));
    place.done(&on("drain dead list"));
    place.done(&on("drain dead retry --all"));
    let row = client
        .query_one("SELECT refund_id, refund_status FROM acme.refund", &[])
        .await
        .expect("one row");
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, &str>(1)),
        ("r1", "success")
    );
}

fn drainer(redis: &RedisServer, database: &str) -> String {
    let url = Url::parse(database).expect("a URL");
    format!(
        "[master_database]\nusername = \"{}\"\npassword = \"{}\"\nhost = \"{}\"\nport = {}\n\
         dbname = \"{}\"\n[redis]\nhost = \"127.0.0.1\"\nport = {}\n[drainer]\n\
         num_partitions = 2\nloop_interval = 100\n[multitenancy.tenants.acme]\nschema = \"acme\"\n\
         redis_key_prefix = \"acme\"\n",
        url.username(),
        url.password().unwrap_or_default(),
        url.host_str().expect("a host"),
        url.port().expect("a port"),
        url.path().trim_start_matches('/'),
        redis.port(),
    )
}

/// An insert and an update of the ancestor's, under the tenant's prefix.
async fn push(redis: &RedisServer) {
    let url = StoreUrl::parse(&redis.url()).expect("a URL");
    let store = tidegate_store::connect(&url).await.expect("a store");
    let stream = StreamName::prefixed("acme", "DRAINER_STREAM").expect("a name");
    let entries = [
        r#"{"db_op":"insert","data":{"insertable":{"table":"refund","data":{"refund_id":"r1","refund_status":"pending"}}}}"#,
        r#"{"db_op":"update","data":{"updatable":{"table":"refund_update","data":{"orig":{"refund_id":"r1"},"update_data":{"StatusUpdate":{"refund_status":"success"}}}}}}"#,
    ]
    .map(|payload| {
        let fields = [
            ("typed_sql", payload),
            ("global_id", "g"),
            ("request_id", "r"),
            ("pushed_at", "1700000000"),
        ];
        let fields = fields.map(|(name, value)| {
            (
                Bytes::from_static(name.as_bytes()),
                Bytes::from_static(value.as_bytes()),
            )
        });
        NewEntry::new(stream.partition(1), fields.into())
    });
    store.append(entries.into()).await.expect("appended");
}
