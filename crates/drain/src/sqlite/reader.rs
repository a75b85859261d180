//! The read connection: the catalog and reports, which never wait for a writer.
//!
//! Each read sees one committed state of the file. If the process dies here, nothing is lost: a
//! read writes nothing.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::Mutex;

use super::connection::{self, Access};
use super::failure::from_sqlite;
use super::writer::blocking;
use crate::error::Result;

/// Hands out the read connection.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    connection: Arc<Mutex<Connection>>,
}

impl Reader {
    /// Opens the read connection.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let connection = connection::open(path, Access::Read)?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// Reads inside one transaction.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let connection = Arc::clone(&self.connection).lock_owned().await;
        blocking(move || {
            // Dropped in case of an error, it is rolled back.
            let transaction = connection.unchecked_transaction().map_err(from_sqlite)?;
            let answer = work(&transaction)?;
            transaction.commit().map_err(from_sqlite)?;
            Ok(answer)
        })
        .await
    }
}
