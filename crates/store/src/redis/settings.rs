//! From a URL to the client's settings.
//!
//! The URL says where and as whom; how patient the store is, is decided here. A URL may hold a
//! password, so neither it nor the settings are ever logged.

use std::time::Duration;

use rustis::client::{Config, IntoConfig, ReconnectionConfig};
use url::Url;

use super::failure::Failure;
use crate::Result;

/// How long it may take until a connection is open and logged in.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a command that doesn't wait for entries may take: a dead link is then an error, not
/// a call that never returns.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// The first and the longest pause before a lost connection is tried again.
const RECONNECT_DELAY_MS_MIN: u32 = 50;
const RECONNECT_DELAY_MS_MAX: u32 = 2_000;
/// The most bytes of commands that may be under way at once; beyond, a call is refused as
/// unavailable.
const QUEUED_BYTES_MAX: usize = 64 << 20;

/// Settings for the connection that all short commands share.
///
/// # Errors
/// [`Error::Invalid`](crate::Error) where the URL can't be used.
pub(super) fn for_commands(url: &Url) -> Result<Config> {
    if url.scheme() == "rediss" {
        provide_crypto();
    }
    let mut config = url.clone().into_config().map_err(Failure::Client)?;
    config.connect_timeout = CONNECT_TIMEOUT;
    config.command_timeout = COMMAND_TIMEOUT;
    config.backpressure.max_queued_bytes = QUEUED_BYTES_MAX;
    // A command that was under way when the link broke may have run: only the caller knows
    // whether it may run again.
    config.retry_on_error = false;
    let forever = 0;
    let mut reconnection = ReconnectionConfig::new_exponential(
        forever,
        RECONNECT_DELAY_MS_MIN,
        RECONNECT_DELAY_MS_MAX,
        2,
    );
    reconnection.set_jitter(RECONNECT_DELAY_MS_MIN);
    config.reconnection = reconnection;
    config.connection_name = "tidegate".to_owned();
    Ok(config)
}

/// Settings for a connection that blocks: the one who waits knows how long, not the client.
pub(super) fn for_waiting(commands: &Config) -> Config {
    let mut config = commands.clone();
    config.command_timeout = Duration::ZERO;
    config.connection_name = "tidegate-wait".to_owned();
    config
}

/// Settings for the connection of durable appends, where a command may stand behind two waits.
pub(super) fn for_durable(commands: &Config) -> Config {
    let mut config = commands.clone();
    config.command_timeout = 2 * COMMAND_TIMEOUT;
    config.connection_name = "tidegate-durable".to_owned();
    config
}

/// TLS takes its cryptography from the provider that the process has chosen. Where no one has
/// chosen, rustls guesses, and panics if two are compiled in.
fn provide_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // It fails only where another thread was faster, and that is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn parse(url: &str) -> Result<Config> {
        for_commands(&Url::parse(url).unwrap())
    }

    #[test]
    fn user_password_and_database_come_from_the_url() {
        let config = parse("redis://worker:p%40ss@localhost:6380/3").unwrap();
        assert_eq!(config.username.as_deref(), Some("worker"));
        assert_eq!(config.password.as_deref(), Some("p@ss"));
        assert_eq!(config.database, 3);
        assert!(config.tls_config.is_none());
    }

    #[test]
    fn rediss_means_tls() {
        assert!(parse("rediss://localhost").unwrap().tls_config.is_some());
    }

    #[test]
    fn an_unknown_parameter_is_invalid() {
        assert!(matches!(
            parse("redis://localhost?sped=1"),
            Err(Error::Invalid(_))
        ));
    }

    #[test]
    fn only_the_waiting_connection_may_block() {
        let commands = parse("redis://localhost").unwrap();
        assert_eq!(commands.command_timeout, COMMAND_TIMEOUT);
        assert_eq!(for_waiting(&commands).command_timeout, Duration::ZERO);
    }
}
