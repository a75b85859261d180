//! Connections: how they are made, and what every session is set to.
//!
//! A session is independent of the server's own settings wherever those change what a value
//! means. Its timeouts are the server's: a process that is frozen with an open transaction holds
//! its row locks for [`PostgresOptions::idle_in_transaction_timeout`] and no longer.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts,
};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::tls::Tls;
use crate::error::{Error, Result};

/// How the drain connects to PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// The most connections open at once.
    pub connections_max: usize,
    /// The schema of tables that are named without one; where it is absent, the first schema in
    /// the login's search path.
    pub schema: Option<String>,
    /// Whether several changes of one row may be written as one where the tables allow it. Who
    /// reads the database's log (logical replication) then sees fewer states of a row.
    pub may_fold: bool,
    /// How long a connection attempt may take, and how long is waited for a free connection.
    pub connect_timeout: Duration,
    /// After which time a statement is cancelled, to be tried again later.
    pub statement_timeout: Duration,
    /// How long a transaction waits for a lock of somebody else. What needs it is put aside then,
    /// and the rest goes on.
    pub lock_timeout: Duration,
    /// How long a whole transaction may take. A server that hangs with its connections open can't
    /// keep to the other times, so this one is the client's; it is longer than those.
    pub transaction_timeout: Duration,
    /// After which time the server ends a session that has begun a transaction and is silent.
    /// About the time to live of a lease is right: later somebody else owns the shard.
    pub idle_in_transaction_timeout: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections_max: 4,
            schema: None,
            may_fold: true,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(60),
            lock_timeout: Duration::from_secs(2),
            transaction_timeout: Duration::from_secs(120),
            idle_in_transaction_timeout: Duration::from_secs(15),
        }
    }
}

/// Unanswered bytes end a connection after this time: the server's machine is gone.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// When a silent connection is probed for the first time, how often then, and how many probes may
/// stay unanswered.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// What the server is told once per connection, besides the timeouts. The formats decide how it
/// reads the texts that only it can read; compiling short statements costs more than it gives.
const SETTINGS: &str = "SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; \
     SET intervalstyle = 'postgres'; SET standard_conforming_strings = on; SET array_nulls = on; \
     SET client_min_messages = warning; SET jit = off";

/// Reads the URL and makes the pool. Nothing is asked of the server yet.
pub(super) fn open(url: &str, options: &PostgresOptions) -> Result<(Pool, Config)> {
    let (url, tls) = Tls::split_off(url)?;
    let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        // The parser's causes name parts of the URL, never its password.
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        Error::Invalid(format!(
            "the sink's URL can't be read: {cause}; it looks like postgres://user@host:5432/database"
        ))
    })?;
    if options.connections_max == 0 {
        return Err(Error::Invalid(
            "connections_max is 0; at least 1 is needed".to_owned(),
        ));
    }
    config
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL);
    config.keepalives_retries(KEEPALIVE_RETRIES);
    if config.get_application_name().is_none() {
        config.application_name("tidegate");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(options.connect_timeout);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNACKNOWLEDGED_MAX);
    }
    let manager = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager: Manager = tls.manager(&mut config, manager)?;
    let settings = format!(
        "{SETTINGS}; SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}",
        options.statement_timeout.as_millis(),
        options.idle_in_transaction_timeout.as_millis()
    );
    let timeout = Some(options.connect_timeout);
    let pool = Pool::builder(manager)
        .max_size(options.connections_max)
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts {
            wait: timeout,
            create: timeout,
            recycle: timeout,
        })
        .post_create(Hook::async_fn(move |client, _| {
            let settings = settings.clone();
            Box::pin(async move {
                client
                    .batch_execute(&settings)
                    .await
                    .map_err(HookError::Backend)
            })
        }))
        .build()
        .map_err(|error| Error::Invalid(error.to_string()))?;
    Ok((pool, config))
}

/// The database for people: `postgres://user@host:port/database`, never with a password.
pub(super) fn describe(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config
            .get_hostaddrs()
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
    };
    let user = config.get_user().unwrap_or_default();
    let at = if user.is_empty() { "" } else { "@" };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().unwrap_or(user);
    format!("postgres://{user}{at}{host}:{port}/{database}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(url: &str) -> Result<(Pool, Config)> {
        super::open(url, &PostgresOptions::default())
    }

    #[test]
    fn a_password_is_never_shown() {
        let (_, config) =
            open("postgres://ann:secret@db.example:5433/pay?password=x").expect("a URL");
        assert_eq!(describe(&config), "postgres://ann@db.example:5433/pay");
        let error = open("postgres://ann:secret@db:port/pay").expect_err("a wrong port");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn a_wrong_url_says_how_one_looks() {
        let error = open("postgres://h/d?colour=red").expect_err("an unknown option");
        assert!(
            error.to_string().contains("postgres://user@host"),
            "{error}"
        );
    }
}
