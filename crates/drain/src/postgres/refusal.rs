//! From the database's error to the reason in a dead letter.
//!
//! A reason names the table, the column and the constraint, and says what to do. It is made of the
//! message alone, because the detail shows the row; and of a message that quotes the value it
//! keeps the part before the quote.

use tokio_postgres::error::DbError;

use super::write::{Cause, Stop};
use crate::locks::{Lock, TableKey};
use crate::operation::Verb;
use crate::plan::Step;
use crate::rejection::{Code, Rejection};
use crate::sink::Refusal;

/// The SQLSTATE of a lock that was waited for in vain.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// The most characters of a message that are kept: a trigger may say anything.
const MESSAGE_CHARACTERS_MAX: usize = 500;

/// Why the steps were stopped, as a reason.
pub(super) fn refusal(stop: &Stop, steps: &[Step<'_>]) -> Refusal {
    let shape = stop
        .step
        .and_then(|step| steps.get(step))
        .and_then(Step::shape);
    match &stop.cause {
        Cause::NoRow(_) => {
            let table = shape.map_or("", |shape| shape.table.name.as_str());
            let what = match shape.map(|shape| shape.verb) {
                Some(Verb::Delete) => "delete",
                _ => "update",
            };
            let reason = format!(
                "table {table:?} has no row with this key to {what}; it was deleted or never \
                 inserted; insert it and retry, or discard"
            );
            Refusal {
                rejection: Rejection::new(Code::NoSuchRow, reason),
                is_missing_parent: false,
                is_conflict: false,
                lock: Lock::None,
            }
        }
        Cause::Error(error) | Cause::NoCopy(error) => match error.as_db_error() {
            Some(answer) => {
                let is_missing_parent = is_missing_parent(answer, shape.map(|shape| shape.verb));
                Refusal {
                    rejection: rejection(answer, is_missing_parent),
                    is_missing_parent,
                    is_conflict: answer.code().code() == "23505",
                    lock: lock(answer, stop, steps),
                }
            }
            // Only answers are taken for refusals.
            None => Refusal {
                rejection: Rejection::new(Code::Refused, error.to_string()),
                is_missing_parent: false,
                is_conflict: false,
                lock: Lock::None,
            },
        },
    }
}

/// The tables in whose line a unit has to stand that met a lock: the one of the step, or all where
/// it is not known.
fn lock(answer: &DbError, stop: &Stop, steps: &[Step<'_>]) -> Lock {
    if answer.code().code() != LOCK_NOT_AVAILABLE {
        return Lock::None;
    }
    let step = stop.step.and_then(|at| steps.get(at..=at));
    let shapes = step.unwrap_or(steps).iter().filter_map(Step::shape);
    let mut tables: Vec<TableKey> = shapes.map(|shape| TableKey::of(&shape.table)).collect();
    tables.sort_unstable();
    tables.dedup();
    Lock::Tables(tables)
}

/// Whether a foreign key's parent is missing; the same code also says that a parent can't go
/// because it has children.
pub(super) fn is_missing_parent(error: &DbError, verb: Option<Verb>) -> bool {
    if error.code().code() != "23503" || verb == Some(Verb::Delete) {
        return false;
    }
    // In English the message tells the two apart; elsewhere a write of the child is assumed.
    !error.message().starts_with("update or delete on table")
}

fn rejection(error: &DbError, is_missing_parent: bool) -> Rejection {
    let sqlstate = error.code().code();
    let code = match sqlstate {
        "23502" => Code::NotNull,
        "23503" if is_missing_parent => Code::MissingParent,
        "22001" | "22003" | "22008" => Code::OutOfRange,
        "22P02" | "22P03" | "22007" | "22009" | "42804" | "08P01" => Code::WrongType,
        LOCK_NOT_AVAILABLE => Code::Locked,
        "42P01" => Code::UnknownTable,
        "42703" => Code::UnknownColumn,
        _ => Code::Refused,
    };
    let place = [
        ("table", error.table()),
        ("column", error.column()),
        ("constraint", error.constraint()),
    ]
    .into_iter()
    .filter_map(|(what, name)| Some(format!("{what} {:?}", name?)))
    .collect::<Vec<_>>()
    .join(", ");
    let place = if place.is_empty() {
        place
    } else {
        format!(" ({place})")
    };
    Rejection {
        code,
        sqlstate: Some(sqlstate.to_owned()),
        reason: format!(
            "{}{place}; {}",
            message(error),
            advice(sqlstate, is_missing_parent)
        ),
    }
}

/// The message without the values that it quotes: `invalid input syntax for type inet: "…"`.
fn message(error: &DbError) -> String {
    let text = error.message();
    let is_about_values = error.code().code().starts_with("22");
    let text = match text.find(": \"") {
        Some(at) if is_about_values => text.get(..at).unwrap_or(text),
        _ => text,
    };
    text.chars().take(MESSAGE_CHARACTERS_MAX).collect()
}

fn advice(sqlstate: &str, is_missing_parent: bool) -> &'static str {
    match (sqlstate, sqlstate.get(..2).unwrap_or_default()) {
        ("23505", _) => {
            "such a row is there already; discard this entry if it was sent twice, else remove \
             what is in its way and retry"
        }
        ("23503", _) if is_missing_parent => "insert the parent row and retry",
        ("23503", _) => "other rows still refer to this one; remove them and retry",
        ("23502", _) => "the value is missing; discard this entry and send the row complete",
        ("42P01" | "42703", _) => "the table has changed since it was read; retry",
        (LOCK_NOT_AVAILABLE, _) => {
            "another session has locked the row, its table, or what has to be looked at for it; it \
             is tried again until the lock is gone"
        }
        ("P0001", _) => "a trigger refused the row; change what it asks for and retry",
        (_, "22") => "discard this entry and send the row with a value that the column can hold",
        (_, "23") => "change the row or the constraint and retry",
        _ => "change what is in its way and retry, or discard",
    }
}
