//! What is read of the ancestor's settings, and how mistakes are told.

use super::*;

/// The shape of the file that comes with the ancestor's drainer.
const FILE: &str = r#"
[log.console]
enabled = true
level = "DEBUG"

[server]
port = 8080
workers = 1

[master_database]
username = "db_user"
password = "p@ss/word"
host = "db.internal"
port = 5433
dbname = "hyperswitch_db"
pool_size = 7
connection_timeout = 12

[redis]
host = "cache.internal"
port = 6380
pool_size = 5
cluster_enabled = false
cluster_urls = ["redis.cluster.uri-1:8080", "redis.cluster.uri-2:4115"]

[drainer]
stream_name = "DRAINER_STREAM"
num_partitions = 32
max_read_count = 100
shutdown_interval = 1000
loop_interval = 500

[multitenancy]
enabled = true
global_tenant = { tenant_id = "global", schema = "public", redis_key_prefix = "" }

[multitenancy.tenants.acme]
base_url = "http://acme.example"
schema = "acme"
redis_key_prefix = "acme"
clickhouse_database = "acme"
user = { control_center_url = "http://localhost:9000" }

[multitenancy.tenants.public]
base_url = "http://localhost:8080"
schema = "public"
redis_key_prefix = ""
clickhouse_database = "default"

[novelty]
answer = 42
"#;

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let variables = variables.iter();
    Settings::read(
        "drainer.toml",
        text,
        variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )
}

#[test]
fn the_ancestors_file_is_read_as_it_is() {
    let settings = read(FILE, &[]).expect("valid");
    assert_eq!(
        settings.sink_url,
        "postgres://db_user:p%40ss%2Fword@db.internal:5433/hyperswitch_db?connect_timeout=12"
    );
    assert_eq!(settings.store_url, "redis://cache.internal:6380");
    assert_eq!(
        (settings.stream.as_str(), settings.partitions),
        ("DRAINER_STREAM", 32)
    );
    assert_eq!(settings.connections_max, 7);
    let tenants: Vec<_> = settings
        .tenants
        .iter()
        .map(|tenant| [&*tenant.id, &*tenant.schema, &*tenant.redis_key_prefix])
        .collect();
    assert_eq!(
        tenants,
        [["acme", "acme", "acme"], ["public", "public", ""]]
    );
}

#[test]
fn the_environment_overrides_the_file() {
    let variables = [
        ("DRAINER__MASTER_DATABASE__PASSWORD", "other"),
        ("DRAINER__DRAINER__NUM_PARTITIONS", "8"),
        ("DRAINER__REDIS__CLUSTER_ENABLED", "true"),
        ("DRAINER__REDIS__CLUSTER_URLS", "redis://a:1, b:2"),
        ("DRAINER__MULTITENANCY__TENANTS__ACME__SCHEMA", "other"),
        ("ROUTER__REDIS__HOST", "elsewhere"),
    ];
    let settings = read(FILE, &variables).expect("valid");
    assert!(
        settings.sink_url.contains("db_user:other@"),
        "{}",
        settings.sink_url
    );
    assert_eq!(settings.partitions, 8);
    assert_eq!(settings.store_url, "redis+cluster://a:1,b:2");
    assert_eq!(settings.tenants[0].schema, "other");
}

#[test]
fn defaults_are_the_ancestors() {
    let text = "[master_database]\nusername = \"u\"\ndbname = \"d\"";
    let settings = read(text, &[]).expect("valid");
    assert_eq!(
        (settings.stream.as_str(), settings.partitions),
        ("DRAINER_STREAM", 64)
    );
    assert_eq!(
        settings.sink_url,
        "postgres://u@localhost:5432/d?connect_timeout=10"
    );
    assert_eq!(settings.store_url, "redis://127.0.0.1:6379");
    assert!(settings.tenants.is_empty() && settings.ignored.is_empty());
}

#[test]
fn what_has_no_effect_is_named_once() {
    let settings = read(FILE, &[("DRAINER__LOG__CONSOLE__LEVEL", "INFO")]).expect("valid");
    let named: Vec<&str> = settings
        .ignored
        .iter()
        .filter_map(|text| text.split(':').next())
        .collect();
    assert_eq!(
        named,
        [
            "drainer.max_read_count",
            "drainer.shutdown_interval",
            "drainer.loop_interval",
            "redis.pool_size",
            "multitenancy",
            "server",
            "log",
            "novelty.answer",
        ]
    );
}

#[test]
fn a_mistake_names_key_value_and_source() {
    let text = "[master_database]\nusername = 7\nport = \"x\"\npassword = 1234567\n[redis]\ncluster_enabled = \"yes\"\n\
        [drainer]\nnum_partitions = 0\nloop_interval = \"soon\"";
    let mistakes = read(text, &[("DRAINER__REDIS__PORT", "http")]).expect_err("must be refused");
    for part in [
        "master_database.username = 7 (drainer.toml): use a text",
        "master_database.dbname is missing",
        "master_database.port = \"x\" (drainer.toml): use 1 to 65535",
        "master_database.password = *** (drainer.toml)",
        "redis.cluster_enabled = \"yes\" (drainer.toml): use true or false",
        "redis.port = \"http\" (DRAINER__REDIS__PORT): use 1 to 65535",
        "drainer.num_partitions = 0 (drainer.toml): use 1 to 4096",
        "drainer.loop_interval = \"soon\" (drainer.toml): use 0 to",
    ] {
        assert!(
            mistakes.iter().any(|mistake| mistake.contains(part)),
            "{part}: {mistakes:?}"
        );
    }
    let text = mistakes.join("\n");
    assert!(!text.contains("1234567"), "{text}");
    let broken = read("[redis]\npassword = \"hunter2", &[]).expect_err("must be refused");
    assert!(
        broken[0].contains("line 2") && !broken[0].contains("hunter2"),
        "{broken:?}"
    );
}

#[test]
fn two_tenants_can_not_share_a_stream() {
    let text = "[master_database]\nusername = \"u\"\ndbname = \"d\"\n\
        [multitenancy.tenants.a]\nschema = \"a\"\n[multitenancy.tenants.b]\nschema = \"b\"";
    let mistakes = read(text, &[]).expect_err("must be refused");
    assert!(
        mistakes[0].contains("tenant \"a\" has the same one"),
        "{mistakes:?}"
    );
}
