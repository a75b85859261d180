//! What SQLite says about a row it refuses, told to the person who finds the dead letter.
//!
//! A reason names tables, columns and constraints, never a row's values. SQLite's messages on
//! constraints are made of names only; a trigger's message is shown where it stands in the
//! trigger's own text, and any other message of a running statement is left out.

use rusqlite::{Connection, ErrorCode, ffi};

use super::failure::{from_sqlite, is_worth_waiting, reported};
use super::run::Failed;
use super::script::Shape;
use crate::locks::Lock;
use crate::operation::Verb;
use crate::rejection::{Code, Rejection};
use crate::sink::Refusal;

/// When a statement failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// While it was compiled: it knows no values yet.
    Prepare,
    /// While values were bound or it ran.
    Run,
}

/// Judges an error: is it about the row, or about the database?
pub(super) fn by_sqlite(
    connection: &Connection,
    error: rusqlite::Error,
    shape: &Shape,
    phase: Phase,
) -> Failed {
    let Some((failure, message)) = reported(&error) else {
        return Failed::Error(from_sqlite(error));
    };
    let is_about_the_row = matches!(
        failure.code,
        ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::TooBig
            | ErrorCode::ParameterOutOfRange
            | ErrorCode::Unknown
    );
    if is_worth_waiting(&error) || !is_about_the_row {
        return Failed::Error(from_sqlite(error));
    }
    let is_missing_parent =
        failure.extended_code == ffi::SQLITE_CONSTRAINT_FOREIGNKEY && shape.verb != Verb::Delete;
    let (code, what) = match failure.extended_code {
        _ if phase == Phase::Prepare => (Code::UnknownColumn, changed_schema(message, shape)),
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => foreign_key(is_missing_parent, shape),
        ffi::SQLITE_CONSTRAINT_NOTNULL => (
            Code::NotNull,
            format!("{message}; send a value for that column"),
        ),
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => (
            Code::Refused,
            format!(
                "{message}: another row has this value; discard the operation if that is the same \
                 row, else change one of the two and retry"
            ),
        ),
        ffi::SQLITE_CONSTRAINT_CHECK => (
            Code::Refused,
            format!("{message} (table {:?}); correct the row", shape.table.name),
        ),
        ffi::SQLITE_CONSTRAINT_DATATYPE => (
            Code::WrongType,
            format!("{message}; send a value of the column's type"),
        ),
        ffi::SQLITE_CONSTRAINT_TRIGGER => (Code::Refused, trigger(connection, message, shape)),
        _ => other(failure, shape),
    };
    let sqlstate = Some(code_name(failure.extended_code));
    let is_conflict = matches!(
        failure.extended_code,
        ffi::SQLITE_CONSTRAINT_UNIQUE
            | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | ffi::SQLITE_CONSTRAINT_ROWID
    );
    Failed::Refused(Refusal {
        rejection: Rejection {
            code,
            sqlstate,
            reason: what,
        },
        is_missing_parent,
        is_conflict,
        lock: Lock::None,
    })
}

/// A foreign key that is checked at the commit would be violated by the unit.
pub(super) fn by_deferred_key<'a>(shapes: impl Iterator<Item = &'a Shape>) -> Refusal {
    let mut names: Vec<&str> = Vec::new();
    let mut is_missing_parent = false;
    for shape in shapes {
        is_missing_parent |= shape.verb != Verb::Delete;
        if !names.contains(&shape.table.name.as_str()) {
            names.push(&shape.table.name);
        }
    }
    let reason = format!(
        "a deferred foreign key would be violated at the commit by this operation on {}; {}",
        names.join(", "),
        advice(is_missing_parent)
    );
    let code = if is_missing_parent {
        Code::MissingParent
    } else {
        Code::Refused
    };
    let sqlstate = Some(code_name(ffi::SQLITE_CONSTRAINT_FOREIGNKEY));
    Refusal {
        rejection: Rejection {
            code,
            sqlstate,
            reason,
        },
        is_missing_parent,
        is_conflict: false,
        lock: Lock::None,
    }
}

/// An update or a delete met no row.
pub(super) fn no_such_row(shape: &Shape) -> Refusal {
    let what = match shape.verb {
        Verb::Delete => "deleted; discard the operation, or insert the row and retry",
        _ => "updated; insert the row and retry, or send an upsert",
    };
    let reason = format!(
        "there is no row with this key in table {:?}, so nothing was {what}",
        shape.table.name
    );
    Refusal {
        rejection: Rejection::new(Code::NoSuchRow, reason),
        is_missing_parent: false,
        is_conflict: false,
        lock: Lock::None,
    }
}

fn changed_schema(message: &str, shape: &Shape) -> String {
    format!(
        "table {:?} is not what it was when its columns were last read: {message}; put it in \
         order, then retry",
        shape.table.name
    )
}

fn foreign_key(is_missing_parent: bool, shape: &Shape) -> (Code, String) {
    let code = if is_missing_parent {
        Code::MissingParent
    } else {
        Code::Refused
    };
    let table = &shape.table.name;
    (
        code,
        format!(
            "a foreign key of table {table:?} is violated; {}",
            advice(is_missing_parent)
        ),
    )
}

fn advice(is_missing_parent: bool) -> &'static str {
    if is_missing_parent {
        "insert the parent row, then retry"
    } else {
        "other rows still refer to this one: delete them first, then retry"
    }
}

/// The message of a `RAISE` may be put together from values, so only one that the schema holds
/// word by word is repeated.
fn trigger(connection: &Connection, message: &str, shape: &Shape) -> String {
    let is_literal = connection
        .prepare_cached(
            "SELECT 1 FROM main.sqlite_schema WHERE type = 'trigger' AND instr(sql, ?1) > 0",
        )
        .and_then(|mut statement| statement.exists([message.replace('\'', "''")]))
        .unwrap_or(false);
    let said = if is_literal {
        format!(": {message}")
    } else {
        String::new()
    };
    let table = &shape.table.name;
    format!("a trigger refused the row of table {table:?}{said}; correct the row or the trigger")
}

fn other(failure: ffi::Error, shape: &Shape) -> (Code, String) {
    let table = &shape.table.name;
    let name = code_name(failure.extended_code);
    match failure.code {
        ErrorCode::TooBig => (
            Code::OutOfRange,
            format!("the row of table {table:?} is too big for SQLite; send less"),
        ),
        ErrorCode::TypeMismatch => (
            Code::WrongType,
            format!(
                "a value has the wrong type for table {table:?}; send one of its column's type"
            ),
        ),
        _ => (
            Code::Refused,
            format!(
                "the statement on table {table:?} failed with {name}; look at the table's \
                 triggers, checks and generated columns, correct them or the row, then retry"
            ),
        ),
    }
}

/// SQLite's own name of an extended result code.
fn code_name(extended_code: i32) -> String {
    let name = match extended_code {
        ffi::SQLITE_ERROR => "SQLITE_ERROR",
        ffi::SQLITE_TOOBIG => "SQLITE_TOOBIG",
        ffi::SQLITE_MISMATCH => "SQLITE_MISMATCH",
        ffi::SQLITE_RANGE => "SQLITE_RANGE",
        ffi::SQLITE_CONSTRAINT => "SQLITE_CONSTRAINT",
        ffi::SQLITE_CONSTRAINT_CHECK => "SQLITE_CONSTRAINT_CHECK",
        ffi::SQLITE_CONSTRAINT_COMMITHOOK => "SQLITE_CONSTRAINT_COMMITHOOK",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "SQLITE_CONSTRAINT_DATATYPE",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "SQLITE_CONSTRAINT_FOREIGNKEY",
        ffi::SQLITE_CONSTRAINT_FUNCTION => "SQLITE_CONSTRAINT_FUNCTION",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "SQLITE_CONSTRAINT_NOTNULL",
        ffi::SQLITE_CONSTRAINT_PINNED => "SQLITE_CONSTRAINT_PINNED",
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "SQLITE_CONSTRAINT_PRIMARYKEY",
        ffi::SQLITE_CONSTRAINT_ROWID => "SQLITE_CONSTRAINT_ROWID",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "SQLITE_CONSTRAINT_TRIGGER",
        ffi::SQLITE_CONSTRAINT_UNIQUE => "SQLITE_CONSTRAINT_UNIQUE",
        ffi::SQLITE_CONSTRAINT_VTAB => "SQLITE_CONSTRAINT_VTAB",
        other => return format!("SQLite result code {other}"),
    };
    name.to_owned()
}
