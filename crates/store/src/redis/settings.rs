//! From a URL to the client's settings.
//!
//! The URL says where and as whom; how patient the store is, is decided here. A URL may hold a
//! password, so neither it nor the settings are ever logged.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustis::client::{Config, IntoConfig as _, ReconnectionConfig, ServerConfig, TlsConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::address::RedisUrl;
use super::failure::Failure;
use crate::{Error, Result};

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
/// [`Error::Invalid`](crate::Error) where the URL or the file it names can't be used.
pub(super) fn for_commands(url: &RedisUrl) -> Result<Config> {
    if url.is_tls() {
        provide_crypto();
    }
    let mut config = url.address().into_config().map_err(Failure::Client)?;
    if let Some(authority) = url.authority() {
        config.tls_config = Some(trusting(authority)?);
    }
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

/// Whether these settings are for a Cluster.
pub(super) fn is_cluster(config: &Config) -> bool {
    matches!(config.server, ServerConfig::Cluster(_))
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

/// TLS that trusts the authorities in a PEM file, and no others.
fn trusting(authority: &Path) -> Result<TlsConfig> {
    let unusable = |why: String| {
        let file = authority.display();
        Error::Invalid(format!("the certificate authority {file}: {why}"))
    };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(authority).map_err(|source| unusable(source.to_string()))?;
    for certificate in certificates {
        let added = certificate
            .map_err(|source| source.to_string())
            .and_then(|it| roots.add(it).map_err(|source| source.to_string()));
        added.map_err(unusable)?;
    }
    if roots.is_empty() {
        return Err(unusable("the file has no certificate".into()));
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConfig::new(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Config> {
        for_commands(&RedisUrl::parse(url)?)
    }

    #[test]
    fn an_authority_that_is_none_is_invalid() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        for file in ["/no/such/file", empty.path().to_str().unwrap()] {
            let refused = parse(&format!("rediss://h?ca={file}"));
            assert!(
                matches!(&refused, Err(Error::Invalid(text)) if text.contains(file)),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn clusters_and_sentinels_are_known_by_their_schemes() {
        let cluster = parse("redis+cluster://a:1,b:2").unwrap();
        assert!(is_cluster(&cluster));
        assert!(!is_cluster(&parse("redis://a").unwrap()));
        let sentinel = parse("redis+sentinel://u:p@a:1,b:2/service").unwrap();
        assert!(matches!(sentinel.server, ServerConfig::Sentinel(_)));
        assert_eq!(sentinel.username.as_deref(), Some("u"));
        assert!(matches!(
            parse("redis+sentinel://a:1"),
            Err(Error::Invalid(_))
        ));
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
