//! Effects that happen once, even where a task runs twice.
//!
//! ```text
//! the user's transaction: once ─ a row for (task, step) ─► true: the effect ─► commit
//!                                                       └► false: it has happened already
//! ```
//!
//! A task can run twice: its worker died after the effect and before the end was told, or was only
//! taken for dead. The row and the effect are in one transaction of the user's own database, and the
//! row's key exists once, so of all attempts exactly one commits both; another one that is under way at
//! the same moment waits for the first and then finds the row. If the process dies before the
//! commit, neither is there. The row keeps the attempt's fence, for people.

use std::time::Duration;

use tidegate_store::task::TaskId;
use tokio_postgres::error::SqlState;

use crate::context::TaskContext;
use crate::{Error, Result};

/// The table on PostgreSQL. [`install`] makes it; or put it into your migrations.
pub const POSTGRES_SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS tidegate_effects (
    task_id text NOT NULL,
    step text NOT NULL,
    task text NOT NULL,
    attempt bigint NOT NULL,
    fence bigint NOT NULL,
    happened_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, step)
)";

/// The table on SQLite. [`install_sqlite`] makes it.
pub const SQLITE_SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS tidegate_effects (
    task_id TEXT NOT NULL,
    step TEXT NOT NULL,
    task TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    happened_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (task_id, step)
) STRICT, WITHOUT ROWID";

const INSERT: &str = "\
INSERT INTO tidegate_effects (task_id, step, task, attempt, fence)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";

/// The step of a task that has only one.
const ONLY_STEP: &str = "";

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
pub fn install_sqlite(connection: &rusqlite::Connection) -> Result<()> {
    Ok(connection.execute_batch(SQLITE_SCHEMA)?)
}

/// Forgets effects that are older than `age`, and returns how many. A task that is older than that
/// must not run any more.
///
/// # Errors
/// [`Error::Database`].
pub async fn forget(client: &tokio_postgres::Client, age: Duration) -> Result<u64> {
    let sql = "DELETE FROM tidegate_effects WHERE happened_at < now() - make_interval(secs => $1)";
    Ok(client.execute(sql, &[&age.as_secs_f64()]).await?)
}

/// What is written of an attempt.
struct Row {
    task_id: String,
    task: String,
    attempt: i64,
    fence: i64,
}

impl Row {
    fn of(context: &TaskContext) -> Self {
        let id: TaskId = context.id();
        Self {
            task_id: id.to_string(),
            task: context.name().to_owned(),
            attempt: i64::from(context.attempt()),
            fence: i64::try_from(context.fence().0).unwrap_or(i64::MAX),
        }
    }
}

impl TaskContext {
    /// Notes in the user's transaction that the task has its effect, and says whether it is the
    /// first time: if not, another attempt has had it, and this one has nothing to do.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::Invalid`] where the [table](POSTGRES_SCHEMA) is missing.
    ///
    /// # Examples
    /// ```no_run
    /// # use tidegate_tasks::{TaskContext, Result};
    /// async fn book(ctx: &TaskContext, db: &mut tokio_postgres::Client) -> Result<()> {
    ///     let tx = db.transaction().await?;
    ///     if ctx.once(&tx).await? {
    ///         tx.execute("UPDATE account SET balance = balance + 1", &[]).await?;
    ///     }
    ///     Ok(tx.commit().await?)
    /// }
    /// ```
    #[must_use = "an effect that has happened must not happen again"]
    pub async fn once(&self, transaction: &tokio_postgres::Transaction<'_>) -> Result<bool> {
        self.once_for(transaction, ONLY_STEP).await
    }

    /// As [`once`](Self::once), for one of several effects of a task, in transactions of their own.
    ///
    /// # Errors
    /// As there.
    #[must_use = "an effect that has happened must not happen again"]
    pub async fn once_for(
        &self,
        transaction: &tokio_postgres::Transaction<'_>,
        step: &str,
    ) -> Result<bool> {
        let Row {
            task_id,
            task,
            attempt,
            fence,
        } = Row::of(self);
        let inserted = transaction
            .execute(INSERT, &[&task_id, &step, &task, &attempt, &fence])
            .await;
        match inserted {
            Ok(rows) => Ok(rows == 1),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Err(Error::Invalid(
                "the table tidegate_effects is missing: call once::install at the start, or \
                     put once::POSTGRES_SCHEMA into your migrations"
                    .to_owned(),
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`once`](Self::once), in a transaction on SQLite.
    ///
    /// # Errors
    /// [`Error::Database`].
    #[must_use = "an effect that has happened must not happen again"]
    pub fn once_sqlite(&self, transaction: &rusqlite::Transaction<'_>) -> Result<bool> {
        self.once_sqlite_for(transaction, ONLY_STEP)
    }

    /// As [`once_for`](Self::once_for), in a transaction on SQLite.
    ///
    /// # Errors
    /// [`Error::Database`].
    #[must_use = "an effect that has happened must not happen again"]
    pub fn once_sqlite_for(
        &self,
        transaction: &rusqlite::Transaction<'_>,
        step: &str,
    ) -> Result<bool> {
        let Row {
            task_id,
            task,
            attempt,
            fence,
        } = Row::of(self);
        let values = rusqlite::params![task_id, step, task, attempt, fence];
        Ok(transaction.execute(INSERT, values)? == 1)
    }
}
