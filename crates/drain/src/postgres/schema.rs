//! The drain's own tables in the target database: the ledger and the dead letters.
//!
//! They lie in the schema `tidegate`. Several processes may create them at once: an advisory lock
//! lets one of them do it. A login that may not create anything can still use what is there.
//!
//! Each step below raises the version by one, in the transaction that does the step, so a process
//! that dies in between leaves the version it found.

use deadpool_postgres::Client;
use tokio_postgres::error::SqlState;

use super::failure::{Verdict, judge, own, reported};
use super::session::Session;
use crate::error::{Error, Result};

/// The key of the advisory lock, "tidegate" in ASCII.
const LOCK_KEY: i64 = 0x7469_6465_6761_7465;

/// From version to version: the first step creates version 1.
const STEPS: [&str; 2] = [
    r#"
CREATE TABLE tidegate.ledger (
    stream     text        NOT NULL,
    shard      integer     NOT NULL,
    epoch      bigint      NOT NULL,
    position   text        NOT NULL,
    applied    bigint      NOT NULL DEFAULT 0,
    preceding  bigint      NOT NULL DEFAULT 0,
    revision   bigint      NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, shard)
);
COMMENT ON TABLE tidegate.ledger IS
    'How far each shard is. Moved in the transaction that writes the rows; never edit it.';
COMMENT ON COLUMN tidegate.ledger.epoch IS 'The newest owner of the shard; older ones can''t write.';
COMMENT ON COLUMN tidegate.ledger.position IS
    'Every entry up to this id is settled: applied, or held in dead_letter.';
COMMENT ON COLUMN tidegate.ledger.applied IS 'Entries applied.';
COMMENT ON COLUMN tidegate.ledger.preceding IS
    'Entries that were gone from the stream before the drain first saw it.';
COMMENT ON COLUMN tidegate.ledger.revision IS
    'Grows when somebody else than the owner settles entries.';

CREATE TABLE tidegate.dead_letter (
    stream         text          NOT NULL,
    shard          integer       NOT NULL,
    entry_id       text          NOT NULL,
    entry_ms       numeric(20)   NOT NULL,
    entry_sequence numeric(20)   NOT NULL,
    state          text          NOT NULL
        CHECK (state IN ('dead', 'waiting', 'parked', 'discarded')),
    code           text          NOT NULL,
    sqlstate       text,
    reason         text          NOT NULL,
    request_id     text          NOT NULL,
    global_id      text          NOT NULL,
    pushed_at      text          NOT NULL,
    entry          text          NOT NULL,
    row_keys       bytea         NOT NULL,
    since_ms       bigint        NOT NULL,
    attempts       integer       NOT NULL,
    created_at     timestamptz   NOT NULL DEFAULT now(),
    updated_at     timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, shard, entry_id)
);
CREATE INDEX dead_letter_order
    ON tidegate.dead_letter (stream, entry_ms, entry_sequence, shard);
COMMENT ON TABLE tidegate.dead_letter IS
    'Entries that are held: rejected, waiting for a parent row, parked behind another one, or given up.';
COMMENT ON COLUMN tidegate.dead_letter.entry IS 'All fields of the entry as [[name, value], …] in JSON.';
COMMENT ON COLUMN tidegate.dead_letter.row_keys IS 'The rows it touches, in tidegate''s own packing.';
COMMENT ON COLUMN tidegate.dead_letter.since_ms IS 'Since when it is held so, in Unix milliseconds.';
"#,
    r#"
CREATE TABLE tidegate.recent (
    stream  text    NOT NULL,
    shard   integer NOT NULL,
    slot    integer NOT NULL,
    number  bigint  NOT NULL,
    entries bytea   NOT NULL,
    PRIMARY KEY (stream, shard, slot)
);
ALTER TABLE tidegate.recent ALTER COLUMN entries SET STORAGE EXTERNAL;
COMMENT ON TABLE tidegate.recent IS
    'Which entries were settled last, so that new ones can be told from old ones after the log has stepped back.';
COMMENT ON COLUMN tidegate.recent.number IS 'Larger is newer.';
COMMENT ON COLUMN tidegate.recent.entries IS 'Ids and digests, in tidegate''s own packing.';
"#,
];

/// Creates the tables, or brings them to this program's version.
pub(super) async fn prepare(mut session: Session) -> Result<()> {
    session.unsettle();
    let client = session.client()?;
    if !has_meta(client).await? {
        create_schema(client).await?;
    }
    let found = version(client).await?;
    let wanted = STEPS.len();
    if found > wanted {
        return Err(Error::Invalid(format!(
            "the schema tidegate in the target database has version {found}, this program knows \
             {wanted}; run a newer tidegate"
        )));
    }
    if found < wanted {
        // Whoever got the lock first may have done all of it.
        lock(client).await?;
        let found = version(client).await?;
        for (index, step) in STEPS.iter().enumerate().skip(found) {
            client.batch_execute(step).await.map_err(denied)?;
            let raise = format!("UPDATE tidegate.meta SET version = {}", index + 1);
            client.batch_execute(&raise).await.map_err(denied)?;
        }
    }
    session.settle();
    session.commit().await
}

async fn has_meta(client: &Client) -> Result<bool> {
    // Unlike `to_regclass`, a query sees what was committed while the lock was waited for.
    let sql = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'tidegate' AND c.relname = 'meta')";
    Ok(client.query_one(sql, &[]).await.map_err(own)?.get(0))
}

async fn create_schema(client: &Client) -> Result<()> {
    lock(client).await?;
    // The lock may have been waited for while another process did this.
    if has_meta(client).await? {
        return Ok(());
    }
    let has_schema = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'tidegate')";
    let has_schema: bool = client.query_one(has_schema, &[]).await.map_err(own)?.get(0);
    if !has_schema {
        client
            .batch_execute("CREATE SCHEMA tidegate")
            .await
            .map_err(denied)?;
    }
    let create = "CREATE TABLE tidegate.meta (version integer NOT NULL); \
         COMMENT ON TABLE tidegate.meta IS 'Which version of the tables this is.'; \
         INSERT INTO tidegate.meta VALUES (0)";
    client.batch_execute(create).await.map_err(denied)
}

async fn lock(client: &Client) -> Result<()> {
    let sql = "SELECT pg_advisory_xact_lock($1)";
    client.execute(sql, &[&LOCK_KEY]).await.map_err(own)?;
    Ok(())
}

async fn version(client: &Client) -> Result<usize> {
    let row = client
        .query_opt("SELECT version FROM tidegate.meta", &[])
        .await
        .map_err(own)?;
    let version: i32 = row.map(|row| row.get(0)).ok_or_else(|| {
        Error::Corrupt("tidegate.meta in the target database has no version".to_owned())
    })?;
    usize::try_from(version).map_err(|_negative| {
        Error::Corrupt(format!(
            "tidegate.meta in the target database has version {version}"
        ))
    })
}

/// The error of creating something, with what to do when it is not allowed.
fn denied(error: tokio_postgres::Error) -> Error {
    match judge(&error) {
        Verdict::Denied if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            Error::SinkRefused(
                format!(
                    "{}; let a login that may create the schema \"tidegate\" start the drain once, \
                     or grant CREATE on the database",
                    reported(&error)
                )
                .into(),
            )
        }
        _ => own(error),
    }
}
