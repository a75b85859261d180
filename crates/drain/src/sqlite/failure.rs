//! From SQLite's errors to the drain's: what can the caller do about it?
//!
//! This is for statements that the drain itself stands for. What the database says about a user's
//! row is in [`refusal`](super::refusal).

use rusqlite::{ErrorCode, ffi};

use crate::error::Error;

/// The code of an error that SQLite itself reported, and its message.
pub(super) fn reported(error: &rusqlite::Error) -> Option<(ffi::Error, &str)> {
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            Some((*failure, message.as_deref().unwrap_or_default()))
        }
        rusqlite::Error::SqlInputError { error, msg, .. } => Some((*error, msg)),
        _ => None,
    }
}

/// Whether the same may succeed later: a lock is held, the disk is full or fails, memory is short.
pub(super) fn is_worth_waiting(error: &rusqlite::Error) -> bool {
    reported(error).is_some_and(|(failure, _)| {
        matches!(
            failure.code,
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::SchemaChanged
                | ErrorCode::OperationAborted
                | ErrorCode::OperationInterrupted
                | ErrorCode::OutOfMemory
        )
    })
}

/// The drain's error for a statement of its own.
pub(super) fn from_sqlite(error: rusqlite::Error) -> Error {
    if is_worth_waiting(&error) {
        return Error::SinkUnavailable(Box::new(error));
    }
    let is_damaged = reported(&error).is_some_and(|(failure, _)| {
        matches!(
            failure.code,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
        )
    });
    // The tables are Tidegate's own: a value of another type was not written by it.
    let is_foreign = matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
    );
    if is_damaged || is_foreign {
        return Error::Corrupt(error.to_string());
    }
    Error::SinkRefused(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> Error {
        from_sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn what_time_can_heal_is_unavailable() {
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_CANTOPEN,
        ] {
            assert!(
                matches!(failure(code), Error::SinkUnavailable(_)),
                "code {code}"
            );
        }
    }

    #[test]
    fn a_damaged_file_is_corrupt_and_a_permission_is_refused() {
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
            assert!(matches!(failure(code), Error::Corrupt(_)), "code {code}");
        }
        for code in [ffi::SQLITE_READONLY, ffi::SQLITE_PERM, ffi::SQLITE_AUTH] {
            assert!(
                matches!(failure(code), Error::SinkRefused(_)),
                "code {code}"
            );
        }
    }
}
