//! Why an entry can't become rows: the reason a dead letter carries.
//!
//! A reason is written for the person who finds it at night. It says what is wrong, where, and
//! what to do; it never holds the row's values, because dead letters are listed in terminals.

use std::fmt;

/// The kind of a rejection, stored as its snake-case name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// A field of the entry is missing.
    MissingField,
    /// The entry has more bytes than are allowed.
    TooLarge,
    /// The payload is not UTF-8.
    InvalidUtf8,
    /// The payload is not JSON, or not an operation's shape.
    InvalidJson,
    /// `op` names no operation.
    UnknownOperation,
    /// Nothing says which columns an update of the ancestor's sets.
    Unmapped,
    /// The form of the entry is off, or what it asks for may not be asked for in this form.
    NotAllowed,
    /// The table is not in the catalog, or is not one that may be written.
    UnknownTable,
    /// The column is not in the table, or may not be written.
    UnknownColumn,
    /// The key is missing or doesn't name exactly the primary key's columns.
    InvalidKey,
    /// The operation needs a primary key and the table has none.
    NoPrimaryKey,
    /// The value is not of the column's type.
    WrongType,
    /// The number, date or length is beyond what the column holds.
    OutOfRange,
    /// NULL, or nothing, for a column that must have a value.
    NotNull,
    /// An update found no row with this key.
    NoSuchRow,
    /// The parent row of a foreign key did not come in time.
    MissingParent,
    /// Somebody else has locked the row or its table.
    Locked,
    /// The database refused the row for another cause; the SQLSTATE says which.
    Refused,
}

impl Code {
    /// The name under which the code is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingField => "missing_field",
            Self::TooLarge => "too_large",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidJson => "invalid_json",
            Self::UnknownOperation => "unknown_operation",
            Self::Unmapped => "unmapped",
            Self::NotAllowed => "not_allowed",
            Self::UnknownTable => "unknown_table",
            Self::UnknownColumn => "unknown_column",
            Self::InvalidKey => "invalid_key",
            Self::NoPrimaryKey => "no_primary_key",
            Self::WrongType => "wrong_type",
            Self::OutOfRange => "out_of_range",
            Self::NotNull => "not_null",
            Self::NoSuchRow => "no_such_row",
            Self::MissingParent => "missing_parent",
            Self::Locked => "locked",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a rejection speaks against the catalog that the entry was held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Doubt {
    /// It doesn't.
    None,
    /// A table may have changed.
    Possible,
    /// A table has changed.
    Certain,
}

/// Why an entry was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The kind.
    pub code: Code,
    /// The database's SQLSTATE (SQLite: its extended result code's name), where it spoke.
    pub sqlstate: Option<String>,
    /// What is wrong, where, and what to do, in one sentence or two.
    pub reason: String,
}

impl Rejection {
    /// A rejection that was found before the database was asked.
    #[must_use]
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            sqlstate: None,
            reason: reason.into(),
        }
    }

    /// Whether the database's words mean that the catalog was out of date: what was sent had been
    /// held against it.
    pub(crate) fn catalog_doubt(&self) -> Doubt {
        match self.sqlstate.as_deref() {
            // No such column, table, type or cast; another type than the value's; bytes that the
            // column's type doesn't read, although the catalog's did.
            Some("42703" | "42P01" | "42704" | "42804" | "42846" | "42883" | "22P03" | "08P01") => {
                Doubt::Certain
            }
            // SQLite could not even compile the statement.
            Some("SQLITE_ERROR") if self.code == Code::UnknownColumn => Doubt::Certain,
            // A text that the column's type doesn't read: perhaps it was always wrong.
            Some("22P02") => Doubt::Possible,
            _ => Doubt::None,
        }
    }

    /// Says in which column the value was found.
    #[must_use]
    pub fn in_column(mut self, table: &str, column: &str) -> Self {
        self.reason = format!("column {column:?} of table {table:?}: {}", self.reason);
        self
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}
