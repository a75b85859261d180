//! The servers that the contestants share: started for the run, and gone with it.
//!
//! Redis keeps nothing on disk, which is its fastest. PostgreSQL is durable: a commit is on disk
//! before its answer. Everything else is as the servers come.

use std::collections::BTreeMap;

use rustis::client::Client as RedisClient;
use rustis::resp::cmd;
use serde::Serialize;
use tidegate_testkit::{PostgresServer, RedisServer};
use tokio_postgres::Client;

use crate::error::{Error, Result};
use crate::usage::Processes;

/// The settings of PostgreSQL that are reported.
const REPORTED: [&str; 6] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
];

/// Both servers, and a connection to each.
pub(crate) struct Servers {
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    /// To Redis.
    pub(crate) redis: RedisClient,
    /// To PostgreSQL.
    pub(crate) postgres: Client,
}

/// What was measured against.
#[derive(Debug, Serialize)]
pub(crate) struct ServerFacts {
    redis: RedisFacts,
    postgresql: PostgresFacts,
}

#[derive(Debug, Serialize)]
struct RedisFacts {
    version: String,
    persistence: &'static str,
}

#[derive(Debug, Serialize)]
struct PostgresFacts {
    version: String,
    settings: BTreeMap<&'static str, String>,
}

impl Servers {
    /// Starts both.
    pub(crate) async fn start() -> Result<Self> {
        let redis_server = RedisServer::start().await?;
        let postgres_server = PostgresServer::builder()
            .fsync(true)
            .setting("synchronous_commit", "on")
            .setting("wal_level", "replica")
            .start()
            .await?;
        let redis = RedisClient::connect(redis_server.url()).await?;
        let postgres = connect(&postgres_server.url()).await?;
        Ok(Self {
            redis_server,
            postgres_server,
            redis,
            postgres,
        })
    }

    /// Where Redis is.
    pub(crate) fn redis_url(&self) -> String {
        self.redis_server.url()
    }

    /// Where PostgreSQL is.
    pub(crate) fn postgres_url(&self) -> String {
        self.postgres_server.url()
    }

    /// The servers' processes.
    pub(crate) async fn processes(&self) -> Result<Processes> {
        let row = self
            .postgres
            .query_one("SELECT pg_read_file('postmaster.pid')", &[])
            .await?;
        let file: String = row.try_get(0)?;
        let postmaster = file
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok());
        let redis = self.redis_info("process_id").await?.parse().ok();
        let (Some(postmaster), Some(redis)) = (postmaster, redis) else {
            return Err(Error::Unexpected(
                "a server does not say which process it is".into(),
            ));
        };
        Ok(Processes {
            postmaster: Some(postmaster),
            redis,
        })
    }

    /// Versions and settings, as the servers themselves say.
    pub(crate) async fn facts(&self) -> Result<ServerFacts> {
        let mut settings = BTreeMap::new();
        for name in REPORTED {
            settings.insert(name, self.postgres_setting(name).await?);
        }
        let version = self.postgres_setting("server_version").await?;
        let version = version.split(' ').next().unwrap_or_default().to_owned();
        Ok(ServerFacts {
            redis: RedisFacts {
                version: self.redis_info("redis_version").await?,
                persistence: "none",
            },
            postgresql: PostgresFacts { version, settings },
        })
    }

    /// Empties Redis, which is ours alone.
    pub(crate) async fn empty_redis(&self) -> Result<()> {
        Ok(self
            .redis
            .send::<()>(cmd("FLUSHALL").arg("SYNC"), None)
            .await?)
    }

    async fn postgres_setting(&self, name: &str) -> Result<String> {
        let row = self
            .postgres
            .query_one("SELECT current_setting($1)", &[&name])
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn redis_info(&self, name: &str) -> Result<String> {
        let info: String = self.redis.send(cmd("INFO").arg("server"), None).await?;
        let value = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let value =
            value.ok_or_else(|| Error::Unexpected(format!("Redis does not say its {name}")));
        Ok(value?.trim().to_owned())
    }
}

impl ServerFacts {
    /// For people, on one line each.
    pub(crate) fn lines(&self) -> [String; 2] {
        let settings: Vec<String> = self
            .postgresql
            .settings
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        [
            format!(
                "PostgreSQL {}: {}",
                self.postgresql.version,
                settings.join(", ")
            ),
            format!(
                "Redis {}: persistence {}",
                self.redis.version, self.redis.persistence
            ),
        ]
    }
}

/// Opens a connection to PostgreSQL that lives as long as its client.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    // An error of the connection comes out of whatever the client is asked next.
    Ok(tidegate_testkit::postgres_client(url).await?)
}
