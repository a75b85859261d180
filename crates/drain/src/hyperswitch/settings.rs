//! The settings of Hyperswitch's drainer, read as they are: its TOML file and its environment.
//!
//! A variable `DRAINER__SECTION__KEY` overrides the file, as there. What Tidegate does by other
//! means is checked and then named as ignored; what it doesn't know is named as unknown. A wrong
//! value is a mistake that names key, value and source. Pure: the caller reads the file.

mod given;

use std::collections::BTreeSet;

use self::given::Given;

/// How a variable begins that overrides a setting.
pub const ENV_PREFIX: &str = "DRAINER__";

/// A tenant: its own keys in Redis and its own schema in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenant {
    /// Its name, for people and metrics.
    pub id: String,
    /// The schema of its tables; empty where the connection's search path decides.
    pub schema: String,
    /// What stands before its keys in Redis, without the colon; empty for nothing.
    pub redis_key_prefix: String,
    /// Where its API is. Not used by a drain.
    pub base_url: String,
}

/// The value of a setting of Tidegate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyValue {
    /// A text; it may hold a password.
    Text(String),
    /// A number.
    Number(u64),
}

/// What a file and an environment say.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The stream's name, `drainer.stream_name`.
    pub stream: String,
    /// The number of shards, `drainer.num_partitions`.
    pub partitions: u32,
    /// Where Redis is, as a URL for a store. It may hold a password.
    pub store_url: String,
    /// Where the database is, as a URL for a sink. It may hold a password.
    pub sink_url: String,
    /// The most connections to the database, `master_database.pool_size`.
    pub connections_max: usize,
    /// The tenants, by id; none where the file names none.
    pub tenants: Vec<Tenant>,
    /// Settings that have no effect here, each with the reason.
    pub ignored: Vec<String>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URLs hold passwords.
        f.debug_struct("Settings")
            .field("stream", &self.stream)
            .field("partitions", &self.partitions)
            .field("tenants", &self.tenants)
            .finish_non_exhaustive()
    }
}

/// Sections of which nothing concerns a drain.
const SECTIONS_IGNORED: [(&str, &str); 6] = [
    (
        "server",
        "the drain serves no HTTP by itself; see the console's settings",
    ),
    ("log", "see --log-level and --log-format"),
    ("metrics", "see the console's settings"),
    (
        "secrets_management",
        "passwords are taken as they stand; decrypt them first, or set DRAINER__MASTER_DATABASE__PASSWORD",
    ),
    ("encryption_management", "the drain decrypts nothing"),
    ("secrets", "the drain decrypts nothing"),
];

impl Settings {
    /// Reads a file's text, called `file` in mistakes, and the variables that begin with
    /// [`ENV_PREFIX`].
    ///
    /// # Errors
    /// Every mistake, each naming its key, its value and where it stands.
    pub fn read(
        file: &str,
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<String>> {
        let mut given = Given::read(file, text, variables)?;
        let settings = Self::take(&mut given);
        match given.mistakes() {
            [] => Ok(settings),
            mistakes => Err(mistakes.to_vec()),
        }
    }

    /// The same as settings of Tidegate: keys and values. One tenant is the drain itself; several
    /// are `tenants.<id>.schema` and `tenants.<id>.key_prefix` each.
    #[must_use]
    pub fn as_keys(&self) -> Vec<(String, KeyValue)> {
        let text = |text: &str| KeyValue::Text(text.to_owned());
        let mut keys = vec![
            ("store.url".to_owned(), text(&self.store_url)),
            ("sink.url".to_owned(), text(&self.sink_url)),
            (
                "sink.connections".to_owned(),
                KeyValue::Number(self.connections_max as u64),
            ),
            ("drain.stream".to_owned(), text(&self.stream)),
            (
                "drain.partitions".to_owned(),
                KeyValue::Number(self.partitions.into()),
            ),
        ];
        let mut tenant_keys = |schema: String, key_prefix: String, tenant: &Tenant| {
            if !tenant.schema.is_empty() {
                keys.push((schema, text(&tenant.schema)));
            }
            keys.push((key_prefix, text(&tenant.redis_key_prefix)));
        };
        match self.tenants.as_slice() {
            [only] => tenant_keys(
                "sink.schema".to_owned(),
                "drain.key_prefix".to_owned(),
                only,
            ),
            tenants => {
                for tenant in tenants {
                    let key = |name| format!("tenants.{}.{name}", tenant.id);
                    tenant_keys(key("schema"), key("key_prefix"), tenant);
                }
            }
        }
        keys
    }

    fn take(given: &mut Given) -> Self {
        let mut ignored = Vec::new();
        let stream = given.text("drainer.stream_name", "DRAINER_STREAM");
        let partitions = given.number("drainer.num_partitions", 64, 1, 4_096);
        for (key, default, reason) in [
            (
                "drainer.max_read_count",
                100,
                "batches follow the load, up to drain.batch_max",
            ),
            (
                "drainer.shutdown_interval",
                1_000,
                "a shutdown ends when the batches in flight have, within drain.grace",
            ),
            (
                "drainer.loop_interval",
                100,
                "an idle shard is woken by its next entry",
            ),
        ] {
            if given.is_given(key) {
                given.number(key, default, 0, u64::from(u32::MAX));
                ignored.push(format!("{key}: {reason}"));
            }
        }
        let (sink_url, connections_max) = database(given, &mut ignored);
        let store_url = redis(given, &mut ignored);
        let tenants = tenants(given, &mut ignored);
        for (section, reason) in SECTIONS_IGNORED {
            if given.drop_section(section) {
                ignored.push(format!("{section}: {reason}"));
            }
        }
        ignored.extend(
            given
                .rest()
                .into_iter()
                .map(|key| format!("{key}: unknown here")),
        );
        Self {
            stream,
            partitions: u32::try_from(partitions).unwrap_or(u32::MAX),
            store_url,
            sink_url,
            connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
            tenants,
            ignored,
        }
    }
}

fn database(given: &mut Given, ignored: &mut Vec<String>) -> (String, u64) {
    let user = given.text("master_database.username", "");
    let password = given.text("master_database.password", "");
    let host = given.text("master_database.host", "localhost");
    let port = given.number("master_database.port", 5_432, 1, u64::from(u16::MAX));
    let name = given.text("master_database.dbname", "");
    let pool_size = given.number("master_database.pool_size", 5, 1, 1_000);
    let timeout_secs = given.number("master_database.connection_timeout", 10, 1, 3_600);
    for (key, value) in [
        ("master_database.username", &user),
        ("master_database.dbname", &name),
        ("master_database.host", &host),
    ] {
        if value.is_empty() {
            given.mistake(key, "it must be given");
        }
    }
    if given.drop_section("replica_database") {
        ignored.push("replica_database: a drain writes, and writes to the master only".to_owned());
    }
    let login = match password.as_str() {
        "" => escaped(&user),
        password => format!("{}:{}", escaped(&user), escaped(password)),
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        escaped(&host)
    };
    let url = format!(
        "postgres://{login}@{host}:{port}/{}?connect_timeout={timeout_secs}",
        escaped(&name)
    );
    (url, pool_size)
}

fn redis(given: &mut Given, ignored: &mut Vec<String>) -> String {
    let host = given.text("redis.host", "127.0.0.1");
    let port = given.number("redis.port", 6_379, 1, u64::from(u16::MAX));
    let is_cluster = given.flag("redis.cluster_enabled", false);
    let nodes = given.list("redis.cluster_urls");
    if given.is_given("redis.pool_size") {
        given.number("redis.pool_size", 5, 1, u64::from(u32::MAX));
        ignored.push(
            "redis.pool_size: one connection carries all commands, and another one waits"
                .to_owned(),
        );
    }
    if host.is_empty() {
        given.mistake("redis.host", "it must be given");
    }
    if !is_cluster {
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        return format!("redis://{host}:{port}");
    }
    if nodes.is_empty() {
        given.mistake(
            "redis.cluster_urls",
            "a Cluster needs at least one host:port",
        );
    }
    // The ancestor's client takes the nodes with a scheme or without.
    let nodes: Vec<&str> = nodes
        .iter()
        .map(|node| {
            node.rsplit_once("://")
                .map_or(node.as_str(), |(_, place)| place)
        })
        .collect();
    format!("redis+cluster://{}", nodes.join(","))
}

fn tenants(given: &mut Given, ignored: &mut Vec<String>) -> Vec<Tenant> {
    let ids: BTreeSet<String> = given.names_under("multitenancy.tenants");
    let mut tenants: Vec<Tenant> = Vec::with_capacity(ids.len());
    for id in ids {
        let key = |name: &str| format!("multitenancy.tenants.{id}.{name}");
        let tenant = Tenant {
            schema: given.text(&key("schema"), ""),
            redis_key_prefix: given.text(&key("redis_key_prefix"), ""),
            base_url: given.text(&key("base_url"), ""),
            id: id.clone(),
        };
        let twin = tenants
            .iter()
            .find(|other| other.redis_key_prefix == tenant.redis_key_prefix);
        if let Some(twin) = twin {
            let reason = format!(
                "tenant {:?} has the same one, so they would share a stream",
                twin.id
            );
            given.mistake(&key("redis_key_prefix"), &reason);
        }
        tenants.push(tenant);
    }
    // What is left of the section says nothing about a drain: ClickHouse, the control centre, ….
    if given.drop_section("multitenancy") {
        ignored.push(
            "multitenancy: of a tenant only its schema and its redis_key_prefix are used"
                .to_owned(),
        );
    }
    tenants
}

/// A text as a part of a URL.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
