//! The outbox: tasks that are enqueued in the user's own transaction.
//!
//! ```text
//! the user's transaction: effect + enqueue_in ─ a row ─► commit ─► relay ─► the queue ─► the row is gone
//! ```
//!
//! With the transaction's commit the task is certain to be enqueued, without it there never was one.
//! The relay sends rows in the order of their numbers, one relay at a time for a database. If it dies
//! between sending and deleting, the next one sends the row again; the task has its id from the
//! beginning, and the queue remembers it for a day. A row that the queue refuses stays, with the
//! reason, for a person.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use rusqlite::Connection;
use tidegate_store::task::TaskId;
use tidegate_streams::BoxError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::client::TaskClient;
use crate::draft::{Draft, FOLLOWER_LIFETIME};
use crate::enqueue::Enqueue;
use crate::{Error, Result};

/// The table on PostgreSQL. [`install`] makes it; or put it into your migrations.
pub const POSTGRES_SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS tidegate_outbox (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id text NOT NULL,
    draft text NOT NULL,
    refused text,
    written_at timestamptz NOT NULL DEFAULT now()
)";

/// The table on SQLite. [`install_sqlite`] makes it.
pub const SQLITE_SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS tidegate_outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id TEXT NOT NULL,
    draft TEXT NOT NULL,
    refused TEXT,
    written_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT";

const INSERT: &str = "INSERT INTO tidegate_outbox (task_id, draft) VALUES ($1, $2)";
const SELECT: &str = "\
SELECT number, draft FROM tidegate_outbox WHERE refused IS NULL ORDER BY number LIMIT $1";

/// One relay at a time: the number is any that nobody else uses.
const LOCK: &str = "SELECT pg_try_advisory_xact_lock(7526756102433138)";

/// The most rows that are sent together.
const BATCH_MAX: i64 = 500;
/// So often the relay looks for rows.
const LOOK: Duration = Duration::from_millis(200);
/// … where the database or the store is away.
const LOOK_AWAY: Duration = Duration::from_secs(2);

/// Makes the table where it is missing.
///
/// # Errors
/// [`Error::Database`].
pub async fn install(client: &tokio_postgres::Client) -> Result<()> {
    Ok(client.batch_execute(POSTGRES_SCHEMA).await?)
}

/// Makes the table where it is missing.
///
/// # Errors
/// [`Error::Database`].
pub fn install_sqlite(connection: &Connection) -> Result<()> {
    Ok(connection.execute_batch(SQLITE_SCHEMA)?)
}

impl Enqueue {
    /// Enqueues it with the commit of the user's transaction on PostgreSQL, by the
    /// [relay](PostgresRelay). A delay counts from the relay's sending on.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the first mistake in what it was given; [`Error::Database`].
    pub async fn enqueue_in(self, transaction: &tokio_postgres::Transaction<'_>) -> Result<TaskId> {
        let (id, text) = self.row()?;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&id.to_string(), &text];
        transaction.execute(INSERT, &values).await?;
        Ok(id)
    }

    /// As [`enqueue_in`](Self::enqueue_in), on SQLite, by the [relay](SqliteRelay) of that file.
    ///
    /// # Errors
    /// As there.
    pub fn enqueue_in_sqlite(self, transaction: &rusqlite::Transaction<'_>) -> Result<TaskId> {
        let (id, text) = self.row()?;
        transaction.execute(INSERT, rusqlite::params![id.to_string(), text])?;
        Ok(id)
    }

    fn row(self) -> Result<(TaskId, String)> {
        let mut draft = self.checked()?;
        let id = draft.id()?.unwrap_or_else(TaskId::fresh);
        let lifetime = u64::try_from(FOLLOWER_LIFETIME.as_millis()).unwrap_or(u64::MAX);
        draft.id = Some(id.to_string());
        draft
            .idempotency
            .get_or_insert_with(|| (id.to_string(), lifetime));
        let text = serde_json::to_string(&draft)
            .map_err(|error| Error::Invalid(format!("a task can't be kept: {error}")))?;
        Ok((id, text))
    }
}

/// What became of some rows.
#[derive(Default)]
struct Relayed {
    sent: Vec<i64>,
    refused: Vec<(i64, String)>,
}

/// Sends what rows hold.
///
/// # Errors
/// [`Error::Store`] where the store is away: nothing is known of the rows, and they are sent again.
async fn relay(client: &TaskClient, rows: Vec<(i64, String)>) -> Result<Relayed> {
    let mut relayed = Relayed::default();
    let mut numbers = Vec::new();
    let mut drafts = Vec::new();
    for (number, text) in rows {
        match serde_json::from_str::<Draft>(&text) {
            Ok(draft) => {
                numbers.push(number);
                drafts.push(Ok(draft));
            }
            Err(error) => relayed.refused.push((number, error.to_string())),
        }
    }
    for (number, sent) in numbers.into_iter().zip(client.send_drafts(drafts).await) {
        match sent {
            Ok(_) => relayed.sent.push(number),
            Err(Error::Store(error)) if error.is_transient() => return Err(Error::Store(error)),
            Err(refusal) => relayed.refused.push((number, refusal.to_string())),
        }
    }
    for (number, reason) in &relayed.refused {
        error!(
            number,
            reason, "a row of the outbox was refused and stays there"
        );
    }
    Ok(relayed)
}

/// Makes a connection to the user's database.
pub type Connect =
    Arc<dyn Fn() -> BoxFuture<'static, Result<tokio_postgres::Client, BoxError>> + Send + Sync>;

/// Sends what is in the outbox of a PostgreSQL database. Each worker may run one; one at a time does
/// the work.
#[derive(Clone)]
pub struct PostgresRelay {
    client: TaskClient,
    connect: Connect,
}

impl fmt::Debug for PostgresRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresRelay").finish_non_exhaustive()
    }
}

impl PostgresRelay {
    /// A relay from a database, over connections that `connect` makes.
    pub fn new(client: TaskClient, connect: Connect) -> Self {
        Self { client, connect }
    }

    /// A relay from a database that is reached without TLS, such as one on the same machine.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a URL that can't be read.
    pub fn without_tls(client: TaskClient, url: &str) -> Result<Self> {
        let config: tokio_postgres::Config = url
            .parse()
            .map_err(|_secret| Error::Invalid("the outbox's database URL can't be read".into()))?;
        let connect: Connect = Arc::new(move || {
            let config = config.clone();
            Box::pin(async move {
                let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
                // It ends with its client.
                tokio::spawn(connection);
                Ok(client)
            })
        });
        Ok(Self::new(client, connect))
    }

    /// Relays until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let relaying = async {
            let mut is_away = false;
            loop {
                let Err(error) = self.relay_on(&mut is_away).await;
                if !is_away {
                    warn!(%error, "the outbox waits: its database or the store is away");
                }
                is_away = true;
                sleep(LOOK_AWAY).await;
            }
        };
        // A transaction that is dropped is rolled back: its rows are sent again.
        tokio::select! {
            () = relaying => {}
            () = stop.cancelled() => {}
        }
    }

    async fn relay_on(&self, is_away: &mut bool) -> Result<std::convert::Infallible> {
        let mut database = (self.connect)().await.map_err(Error::Database)?;
        loop {
            let sent = self.relay_some(&mut database).await?;
            *is_away = false;
            if sent < BATCH_MAX {
                sleep(LOOK).await;
            }
        }
    }

    /// Sends up to [`BATCH_MAX`] rows, and returns how many there were.
    async fn relay_some(&self, database: &mut tokio_postgres::Client) -> Result<i64> {
        let transaction = database.transaction().await?;
        let locked: bool = transaction.query_one(LOCK, &[]).await?.get(0);
        if !locked {
            return Ok(0);
        }
        let rows = transaction.query(SELECT, &[&BATCH_MAX]).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let count = i64::try_from(rows.len()).unwrap_or(BATCH_MAX);
        let rows = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let Relayed { sent, refused } = relay(&self.client, rows).await?;
        debug!(sent = sent.len(), "relayed");
        let delete = "DELETE FROM tidegate_outbox WHERE number = ANY($1)";
        transaction.execute(delete, &[&sent]).await?;
        for (number, reason) in refused {
            let mark = "UPDATE tidegate_outbox SET refused = $2 WHERE number = $1";
            transaction.execute(mark, &[&number, &reason]).await?;
        }
        transaction.commit().await?;
        Ok(count)
    }
}

/// Sends what is in the outbox of an SQLite file. Several may run: the queue knows what was sent.
#[derive(Clone, Debug)]
pub struct SqliteRelay {
    client: TaskClient,
    path: PathBuf,
}

impl SqliteRelay {
    /// A relay from a file.
    pub fn new(client: TaskClient, path: impl Into<PathBuf>) -> Self {
        Self {
            client,
            path: path.into(),
        }
    }

    /// Relays until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut is_away = false;
        while !stop.is_cancelled() {
            let pause = match self.relay_some().await {
                Ok(sent) => {
                    is_away = false;
                    if sent < BATCH_MAX {
                        LOOK
                    } else {
                        Duration::ZERO
                    }
                }
                Err(error) => {
                    if !is_away {
                        warn!(%error, "the outbox waits: its file or the store is away");
                    }
                    is_away = true;
                    LOOK_AWAY
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn relay_some(&self) -> Result<i64> {
        let rows = self
            .with_file(|connection| {
                let mut select = connection.prepare_cached(SELECT)?;
                let rows = select.query_map([BATCH_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(rows.collect::<Result<Vec<(i64, String)>, _>>()?)
            })
            .await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let count = i64::try_from(rows.len()).unwrap_or(BATCH_MAX);
        let Relayed { sent, refused } = relay(&self.client, rows).await?;
        self.with_file(move |connection| {
            let transaction = connection.transaction()?;
            for number in &sent {
                transaction.execute("DELETE FROM tidegate_outbox WHERE number = $1", [number])?;
            }
            for (number, reason) in &refused {
                let mark = "UPDATE tidegate_outbox SET refused = $2 WHERE number = $1";
                transaction.execute(mark, rusqlite::params![number, reason])?;
            }
            Ok(transaction.commit()?)
        })
        .await?;
        Ok(count)
    }

    /// Does something with the file, on a thread that may wait.
    async fn with_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            work(&mut connection)
        });
        done.await
            .map_err(|error| Error::Broken(format!("the outbox's relay: {error}")))?
    }
}
