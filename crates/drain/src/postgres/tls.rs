//! TLS: which connections are encrypted, and whom they trust.
//!
//! `sslmode=require`, `verify-ca` and `verify-full` all encrypt, and all verify the server's
//! certificate and its name: encryption to whoever answers protects little. With `disable` and
//! `prefer`, and without a mode, the connection is plain. `sslrootcert` names a file of
//! certificates in PEM that are trusted instead of the system's.

use std::sync::Arc;

use deadpool_postgres::{Manager, ManagerConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

use crate::error::{Error, Result};

/// What a URL says of TLS.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tls {
    is_wanted: bool,
    root_certificates: Option<String>,
}

impl Tls {
    /// Takes what is about TLS out of the URL, as the driver knows only a part of it.
    pub(super) fn split_off(url: &str) -> Result<(String, Self)> {
        let mut tls = Self::default();
        // Other forms of an address than a URL are left to the driver.
        let Ok(mut parsed) = Url::parse(url) else {
            return Ok((url.to_owned(), tls));
        };
        let mut rest = Vec::new();
        for (name, value) in parsed.query_pairs() {
            match (&*name, &*value) {
                ("sslmode", "require" | "verify-ca" | "verify-full") => tls.is_wanted = true,
                ("sslmode", "disable" | "allow" | "prefer") => tls.is_wanted = false,
                ("sslmode", other) => {
                    return Err(Error::Invalid(format!(
                        "sslmode={other} is unknown; use verify-full, or disable"
                    )));
                }
                ("sslrootcert", path) => tls.root_certificates = Some(path.to_owned()),
                _ => rest.push((name.into_owned(), value.into_owned())),
            }
        }
        if parsed.query().is_none() {
            return Ok((url.to_owned(), tls));
        }
        parsed.set_query(None);
        if !rest.is_empty() {
            parsed.query_pairs_mut().extend_pairs(rest);
        }
        Ok((parsed.into(), tls))
    }

    /// Makes the pool's manager.
    pub(super) fn manager(&self, config: &mut Config, manager: ManagerConfig) -> Result<Manager> {
        if !self.is_wanted && config.get_ssl_mode() != SslMode::Require {
            config.ssl_mode(SslMode::Disable);
            return Ok(Manager::from_config(config.clone(), NoTls, manager));
        }
        config.ssl_mode(SslMode::Require);
        let connect = MakeRustlsConnect::new(self.client_config()?);
        Ok(Manager::from_config(config.clone(), connect, manager))
    }

    fn client_config(&self) -> Result<ClientConfig> {
        // Named, so that it doesn't matter which provider the process has chosen, or whether.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Invalid(format!("TLS: {error}")))?;
        Ok(builder
            .with_root_certificates(self.roots()?)
            .with_no_client_auth())
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match &self.root_certificates {
            Some(path) => {
                let unread = |error: &dyn std::fmt::Display| {
                    Error::Invalid(format!("sslrootcert {path:?} can't be read: {error}"))
                };
                let certificates =
                    CertificateDer::pem_file_iter(path).map_err(|error| unread(&error))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| unread(&error))?;
                    roots.add(certificate).map_err(|error| unread(&error))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(Error::Invalid(
                "TLS: no trusted certificate was found; name a file with sslrootcert=".to_owned(),
            ));
        }
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(is_wanted: bool, path: Option<&str>) -> Tls {
        Tls {
            is_wanted,
            root_certificates: path.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_about_tls_leaves_the_url() {
        for (url, rest, expected) in [
            ("postgres://a:b@h/d", "postgres://a:b@h/d", tls(false, None)),
            (
                "postgres://h/d?sslmode=require",
                "postgres://h/d",
                tls(true, None),
            ),
            (
                "postgres://h/d?connect_timeout=3&sslmode=verify-full&sslrootcert=/a%20b.pem",
                "postgres://h/d?connect_timeout=3",
                tls(true, Some("/a b.pem")),
            ),
            ("host=h user=u", "host=h user=u", tls(false, None)),
        ] {
            let found = Tls::split_off(url).expect(url);
            assert_eq!(found, (rest.to_owned(), expected), "{url}");
        }
        assert!(Tls::split_off("postgres://h/d?sslmode=maybe").is_err());
    }
}
