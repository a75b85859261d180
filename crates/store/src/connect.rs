//! From a URL to a store.

use std::path::PathBuf;
use std::sync::Arc;

use crate::port::Store;
use crate::redis::{RedisStore, RedisUrl};
use crate::sqlite::SqliteStore;
use crate::task::TaskStore;
use crate::{Error, Result};

/// Where a store is: on Redis (see [`RedisUrl`]) or in the file of a `sqlite://FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// A Redis or Valkey server, a Cluster, or a master that Sentinels know.
    Redis(RedisUrl),
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
    /// assert!(StoreUrl::parse("redis+cluster://10.0.0.1:6379,10.0.0.2:6379").is_ok());
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
        RedisUrl::parse(text).map(Self::Redis)
    }
}

/// Opens a store for background tasks, as [`connect`] opens one for streams.
///
/// # Errors
/// Those of [`connect`].
pub async fn connect_tasks(url: &StoreUrl) -> Result<Arc<dyn TaskStore>> {
    Ok(match url {
        StoreUrl::Redis(url) => Arc::new(Box::pin(RedisStore::connect(url)).await?),
        StoreUrl::Sqlite(path) => Arc::new(SqliteStore::open(path).await?),
    })
}

/// Opens a store; an embedded file is created when it is missing.
///
/// # Errors
/// [`Error::Unavailable`] where the server does not answer, [`Error::Refused`] where it refuses
/// the login or is too old.
pub async fn connect(url: &StoreUrl) -> Result<Arc<dyn Store>> {
    Ok(match url {
        StoreUrl::Redis(url) => Arc::new(Box::pin(RedisStore::connect(url)).await?),
        StoreUrl::Sqlite(path) => Arc::new(SqliteStore::open(path).await?),
    })
}
