//! From SQLite's errors to the store's: what can the caller do about it?

use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::Error;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match Remedy::of(&error) {
            Remedy::TryAgain => Self::Unavailable(Box::new(error)),
            Remedy::Restore => Self::Corrupt(error.to_string()),
            Remedy::Change => Self::Refused(Box::new(error)),
        }
    }
}

/// A transaction that failed as a whole, told to each of its commands.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the transaction was not committed: {0}")]
pub(super) struct NotCommitted(#[source] Arc<rusqlite::Error>);

impl From<rusqlite::Error> for NotCommitted {
    fn from(error: rusqlite::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl From<NotCommitted> for Error {
    fn from(error: NotCommitted) -> Self {
        match Remedy::of(&error.0) {
            Remedy::TryAgain => Self::Unavailable(Box::new(error)),
            Remedy::Restore => Self::Corrupt(error.to_string()),
            Remedy::Change => Self::Refused(Box::new(error)),
        }
    }
}

/// What helps against an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// Time: another process holds the lock, the disk is full or fails.
    TryAgain,
    /// A good copy of the file.
    Restore,
    /// Another request, other permissions, another path.
    Change,
}

impl Remedy {
    fn of(error: &rusqlite::Error) -> Self {
        use rusqlite::Error as Sql;
        match error {
            Sql::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OperationAborted
                | ErrorCode::OperationInterrupted
                | ErrorCode::OutOfMemory => Self::TryAgain,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Restore,
                _ => Self::Change,
            },
            // The tables are Tidegate's own: a column of another type was not written by it.
            Sql::FromSqlConversionFailure(..)
            | Sql::IntegralValueOutOfRange(..)
            | Sql::InvalidColumnType(..)
            | Sql::Utf8Error(..) => Self::Restore,
            _ => Self::Change,
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn failure(code: i32) -> Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
    }

    #[test]
    fn what_time_can_heal_is_unavailable() {
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR,
        ] {
            assert!(
                matches!(failure(code), Error::Unavailable(_)),
                "code {code}"
            );
        }
    }

    #[test]
    fn a_damaged_file_is_corrupt() {
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
            assert!(matches!(failure(code), Error::Corrupt(_)), "code {code}");
        }
    }

    #[test]
    fn the_rest_is_refused() {
        for code in [
            ffi::SQLITE_READONLY,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_CONSTRAINT,
        ] {
            assert!(matches!(failure(code), Error::Refused(_)), "code {code}");
        }
    }
}
