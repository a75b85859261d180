//! The URL of a Redis store, before anything is connected.
//!
//! It may hold a password, so it is never shown: not by `Debug`, nor by an error.

use std::fmt;
use std::path::PathBuf;

use url::form_urlencoded;

use crate::{Error, Result};

/// The schemes, each with and without TLS.
const SCHEMES: [&str; 6] = [
    "redis",
    "rediss",
    "redis+cluster",
    "rediss+cluster",
    "redis+sentinel",
    "rediss+sentinel",
];
/// The parameter that names the file of a private certificate authority.
const AUTHORITY: &str = "ca";

/// Where a Redis or Valkey store is, and as whom to log in:
///
/// * `redis://[user:password@]host[:port][/database]`, one server;
/// * `redis+cluster://[user:password@]host:port,host:port,…`, a Cluster, by some of its nodes;
/// * `redis+sentinel://[user:password@]host:port,host:port,…/service[/database]`, the master that
///   these Sentinels know by the name `service`; `?sentinel_username=` and `?sentinel_password=`
///   log in at the Sentinels themselves.
///
/// With `rediss` for `redis` it is TLS, and the server's certificate must come from a public
/// authority, or with `?ca=FILE` from one in this PEM file, and from no other.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    address: String,
    authority: Option<PathBuf>,
}

impl RedisUrl {
    /// Reads a URL. Whether its parts make sense is known when it is connected to.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another scheme, a missing host, and `ca` without TLS.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(Error::Invalid(format!(
                "a store's URL starts with {} or sqlite://",
                SCHEMES.map(|scheme| format!("{scheme}://")).join(", ")
            )));
        };
        if !SCHEMES.contains(&scheme) {
            return Err(Error::Invalid(format!(
                "a store's URL starts with {} or sqlite://, not {scheme}://",
                SCHEMES.map(|scheme| format!("{scheme}://")).join(", ")
            )));
        }
        let unreadable =
            |why: &str| Error::Invalid(format!("the store's URL can't be read: {why}"));
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let hosts = place.split('/').next().unwrap_or_default();
        let hosts = hosts.rsplit('@').next().unwrap_or_default();
        if hosts.is_empty() {
            return Err(unreadable("it has no host"));
        }
        if text.contains(char::is_whitespace) {
            return Err(unreadable("it has a blank; write %20 in a password"));
        }
        let mut authority = None;
        let mut kept = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some((AUTHORITY, file)) => authority = Some(PathBuf::from(decode(file))),
                _ => kept.push(parameter),
            }
        }
        if authority.is_some() && !scheme.starts_with("rediss") {
            return Err(unreadable("?ca= is for rediss://, which is TLS"));
        }
        let query = match kept.join("&") {
            none if none.is_empty() => none,
            some => format!("?{some}"),
        };
        Ok(Self {
            address: format!("{scheme}://{place}{query}"),
            authority,
        })
    }

    /// The URL as the client understands it, with the password.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The file of the certificate authority to trust, where it is not a public one.
    pub(super) fn authority(&self) -> Option<&PathBuf> {
        self.authority.as_ref()
    }

    /// Whether it is TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.address.starts_with("rediss")
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.address.split("://").next().unwrap_or_default();
        f.debug_tuple("RedisUrl")
            .field(&format_args!("{scheme}://…"))
            .finish()
    }
}

/// Decodes `%2F` and the like; a plus is a plus.
fn decode(value: &str) -> String {
    let value = value.replace('+', "%2B");
    form_urlencoded::parse(value.as_bytes())
        .map(|(name, _)| name.into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_taken_out_of_the_url() {
        let url = RedisUrl::parse("rediss://u:p@h:1/2?ca=/etc/my%20ca+1.pem&no_delay=true");
        let url = url.unwrap();
        assert_eq!(url.address(), "rediss://u:p@h:1/2?no_delay=true");
        assert_eq!(url.authority().unwrap().to_str(), Some("/etc/my ca+1.pem"));
        assert!(url.is_tls());
        let url = RedisUrl::parse("rediss://h?ca=a.pem").unwrap();
        assert_eq!(url.address(), "rediss://h");
    }

    #[test]
    fn several_hosts_are_read() {
        for text in [
            "redis+cluster://a:1,b:2,c:3",
            "rediss+sentinel://u:p@a:1,b:2/service",
        ] {
            assert_eq!(RedisUrl::parse(text).unwrap().address(), text);
        }
    }

    #[test]
    fn what_cannot_be_connected_to_is_invalid() {
        for text in [
            "localhost:6379",
            "mysql://h/db",
            "redis://",
            "redis://user:password@",
            "redis://h h",
            "redis://h?ca=a.pem",
        ] {
            let refused = RedisUrl::parse(text);
            assert!(matches!(refused, Err(Error::Invalid(_))), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let url = RedisUrl::parse("redis://user:s3cret@host").unwrap();
        assert_eq!(format!("{url:?}"), "RedisUrl(redis://…)");
        let refused = RedisUrl::parse("redis://user:s3cret@ host").unwrap_err();
        assert!(!refused.to_string().contains("s3cret"));
    }
}
