//! Certificates for a test's server: an authority of its own, and what it has signed.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::Error;

/// Where a server and its clients find what they need.
#[derive(Debug)]
pub(super) struct Certificates {
    /// The authority's certificate, which clients trust.
    pub(super) authority: PathBuf,
    /// The server's certificate, for `127.0.0.1` and `localhost`.
    pub(super) certificate: PathBuf,
    /// The server's private key.
    pub(super) key: PathBuf,
}

impl Certificates {
    /// Makes new ones in `directory`.
    pub(super) fn create(directory: &Path) -> Result<Self, Error> {
        let failed = |source: rcgen::Error| Error::Filesystem {
            path: directory.to_owned(),
            source: std::io::Error::other(source),
        };
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(failed)?;
        let issuer = CertifiedIssuer::self_signed(authority, key).map_err(failed)?;

        let names = ["127.0.0.1", "localhost"].map(str::to_owned);
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = CertificateParams::new(names)
            .and_then(|params| params.signed_by(&key, &issuer))
            .map_err(failed)?;

        let write = |name: &str, text: String| {
            let path = directory.join(name);
            match fs::write(&path, text) {
                Ok(()) => Ok(path),
                Err(source) => Err(Error::Filesystem { path, source }),
            }
        };
        Ok(Self {
            authority: write("authority.pem", issuer.pem())?,
            certificate: write("server.pem", certificate.pem())?,
            key: write("server.key", key.serialize_pem())?,
        })
    }
}
