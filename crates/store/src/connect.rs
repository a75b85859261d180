//! From a URL to a store.

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use crate::port::Store;
use crate::redis::RedisStore;
use crate::sqlite::SqliteStore;
use crate::{Error, Result};

/// Where a store is: `redis://…`, `rediss://…` (TLS) or `sqlite://FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// A Redis or Valkey server, with its whole URL (it may hold a password: never print it).
    Redis(Url),
    /// One file of the embedded store.
    Sqlite(PathBuf),
}

impl StoreUrl {
    /// Reads a store's URL.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another scheme or a URL that can't be read.
    ///
    /// # Examples
    /// ```
    /// use tidegate_store::StoreUrl;
    /// assert!(StoreUrl::parse("redis://127.0.0.1:6379").is_ok());
    /// assert!(StoreUrl::parse("sqlite://tidegate.sqlite").is_ok());
    /// assert!(StoreUrl::parse("mysql://host/db").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix("sqlite://") {
            return match path {
                "" => Err(Error::Invalid(
                    "sqlite:// needs a file: sqlite://FILE".into(),
                )),
                path => Ok(Self::Sqlite(PathBuf::from(path))),
            };
        }
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "redis" | "rediss") => Ok(Self::Redis(url)),
            Ok(url) => Err(Error::Invalid(format!(
                "a store's URL starts with redis://, rediss:// or sqlite://, not {}://",
                url.scheme()
            ))),
            // The text itself may hold a password.
            Err(source) => Err(Error::Invalid(format!(
                "the store's URL can't be read: {source}"
            ))),
        }
    }
}

/// Opens a store; an embedded file is created when it is missing.
///
/// # Errors
/// [`Error::Unavailable`] where the server does not answer, [`Error::Refused`] where it refuses
/// the login or is too old.
pub async fn connect(url: &StoreUrl) -> Result<Arc<dyn Store>> {
    Ok(match url {
        StoreUrl::Redis(url) => Arc::new(RedisStore::connect(url).await?),
        StoreUrl::Sqlite(path) => Arc::new(SqliteStore::open(path).await?),
    })
}
