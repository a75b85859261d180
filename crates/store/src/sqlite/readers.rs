//! Readers: a few connections that never wait for the writer.
//!
//! A read sees one committed state of the file. It runs on tokio's blocking threads, on a
//! connection that is opened when it is first needed and kept for the next one. If the process
//! dies here, nothing is lost: a read writes nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connection::{self, Access};
use crate::{Error, Result};

/// How many reads run at once; others wait.
const READERS_MAX: usize = 4;

/// The connections of readers.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Readers of this file. None is opened yet.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(READERS_MAX)),
        }
    }

    /// Reads one committed state of the file.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|source| Error::Unavailable(Box::new(source)))?;
        let idle = Arc::clone(&self.idle);
        let path = self.path.clone();
        blocking(move || {
            // A reader that is still at work when its caller gives up still counts.
            let _permit = permit;
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match kept {
                Some(connection) => connection,
                None => connection::open(&path, Access::Read)?,
            };
            // A read of several statements must not see a commit between them. A failed one
            // takes its connection with it.
            let transaction = connection.unchecked_transaction()?;
            let answer = work(&transaction)?;
            transaction.commit()?;
            idle.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            Ok(answer)
        })
        .await
    }
}

/// Runs work that waits for the disk where it holds up no other task.
pub(super) async fn blocking<T, W>(work: W) -> Result<T>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(stopped) => Err(Error::Unavailable(Box::new(stopped))),
    }
}
