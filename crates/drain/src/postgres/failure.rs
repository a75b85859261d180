//! What a PostgreSQL error means for the drain: come back later, call somebody, or the data is bad.
//!
//! The verdict is read from the SQLSTATE, never from the message, which may be in any language.
//! What is passed on as text has no DETAIL, because the detail shows the row's values.
//!
//! Source: PostgreSQL documentation, appendix "PostgreSQL Error Codes".

use std::error::Error as _;

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::{DbError, Severity};

use crate::error::{Error, Source};

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody: the same may succeed later.
    Unavailable,
    /// Whoever runs the database: a permission, a login, a damaged file.
    Denied,
    /// Whoever has locked what the statement needs.
    Locked,
    /// Whoever sent the row.
    Refused,
}

/// Judges an error of a statement.
pub(super) fn judge(error: &tokio_postgres::Error) -> Verdict {
    // Without an answer of the database it is the connection that failed.
    error
        .as_db_error()
        .map_or(Verdict::Unavailable, judge_answer)
}

fn judge_answer(error: &DbError) -> Verdict {
    let code = error.code().code();
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        // A row that row-level security refuses has the same code as a missing permission.
        (_, "42501") if error.routine() == Some("ExecWithCheckOptions") => Verdict::Refused,
        (_, "42501" | "XX001" | "XX002") | ("28" | "3D", _) => Verdict::Denied,
        // Whatever ends the session is not about the row.
        _ if is_fatal(error) => Verdict::Unavailable,
        // With ERROR the session goes on: bytes that are not what the column's type reads.
        (_, "08P01") => Verdict::Refused,
        // A connection failed, a transaction has to be run again, memory or disk are used up, the
        // server is stopping or cancelled us, its files can't be read.
        ("08" | "25" | "40" | "53" | "57" | "58", _) => Verdict::Unavailable,
        (_, "55P03") => Verdict::Locked,
        // Somebody else uses the object.
        (_, "55006") => Verdict::Unavailable,
        (_, "0A000") if is_stale_plan(error) => Verdict::Unavailable,
        _ => Verdict::Refused,
    }
}

fn is_fatal(error: &DbError) -> bool {
    matches!(
        error.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    )
}

/// Whether a prepared statement was made for a table that has changed since.
pub(super) fn is_stale_plan(error: &DbError) -> bool {
    error.routine() == Some("RevalidateCachedQuery")
}

/// Whether the session is over, or may be: its connection must not be used again.
pub(super) fn ends_session(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none_or(is_fatal)
}

/// The error of a statement on the drain's own tables: there is no row to blame.
pub(super) fn own(error: tokio_postgres::Error) -> Error {
    match judge(&error) {
        Verdict::Unavailable | Verdict::Locked => Error::SinkUnavailable(reported(&error)),
        Verdict::Denied | Verdict::Refused => Error::SinkRefused(reported(&error)),
    }
}

/// The error of a connection that could not be had.
pub(super) fn no_connection(error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            own(error)
        }
        other => Error::SinkUnavailable(Box::new(other)),
    }
}

/// An error as text, with its causes and without the rows' values.
pub(super) fn reported(error: &tokio_postgres::Error) -> Source {
    if let Some(answer) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", answer.message(), answer.code().code()).into();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.into()
}

/// The connection was given back already.
pub(super) fn closed() -> Error {
    Error::SinkUnavailable("the connection is closed".into())
}
