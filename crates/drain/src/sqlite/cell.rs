//! The content of a cell: one byte that names SQLite's storage class, then the value.
//!
//! Numbers are big-endian. What a codec writes here is what is bound to the statement, so a cell
//! says exactly what is stored.

use std::borrow::Cow;
use std::fmt::Write as _;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};

const INTEGER: u8 = b'i';
const REAL: u8 = b'r';
const TEXT: u8 = b't';
const BLOB: u8 = b'b';

/// Writes an integer.
pub(super) fn put_integer(cell: &mut Vec<u8>, value: i64) {
    cell.push(INTEGER);
    cell.extend_from_slice(&value.to_be_bytes());
}

/// Writes a float. SQLite doesn't know a negative zero.
pub(super) fn put_real(cell: &mut Vec<u8>, value: f64) {
    cell.push(REAL);
    let value = if value == 0.0 { 0.0 } else { value };
    cell.extend_from_slice(&value.to_be_bytes());
}

/// Writes a text.
pub(super) fn put_text(cell: &mut Vec<u8>, value: &str) {
    cell.push(TEXT);
    cell.extend_from_slice(value.as_bytes());
}

/// Begins a blob; its bytes are to follow.
pub(super) fn begin_blob(cell: &mut Vec<u8>) {
    cell.push(BLOB);
}

/// The value to bind; none for bytes that no function of this module has written.
pub(super) fn to_sql(cell: Option<&[u8]>) -> Option<ToSqlOutput<'_>> {
    let Some(cell) = cell else {
        return Some(ToSqlOutput::Owned(Value::Null));
    };
    let (class, content) = cell.split_first()?;
    Some(match *class {
        INTEGER => ToSqlOutput::from(i64::from_be_bytes(content.try_into().ok()?)),
        REAL => ToSqlOutput::from(f64::from_be_bytes(content.try_into().ok()?)),
        TEXT => ToSqlOutput::Borrowed(ValueRef::Text(content)),
        BLOB => ToSqlOutput::Borrowed(ValueRef::Blob(content)),
        _ => return None,
    })
}

/// The value as one text, the same for all its spellings.
pub(super) fn to_text(cell: &[u8]) -> Option<Cow<'_, str>> {
    Some(match to_sql(Some(cell))? {
        ToSqlOutput::Owned(Value::Integer(value)) => Cow::Owned(value.to_string()),
        ToSqlOutput::Owned(Value::Real(value)) => Cow::Owned(value.to_string()),
        ToSqlOutput::Borrowed(ValueRef::Text(value)) => {
            Cow::Borrowed(std::str::from_utf8(value).ok()?)
        }
        ToSqlOutput::Borrowed(ValueRef::Blob(value)) => {
            let mut text = String::with_capacity(2 + 2 * value.len());
            text.push_str("\\x");
            for byte in value {
                write!(text, "{byte:02x}").ok()?;
            }
            Cow::Owned(text)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_bound() {
        let mut cell = Vec::new();
        put_integer(&mut cell, i64::MIN);
        assert_eq!(to_sql(Some(&cell)), Some(ToSqlOutput::from(i64::MIN)));
        assert_eq!(to_text(&cell).as_deref(), Some("-9223372036854775808"));
        let mut cell = Vec::new();
        put_real(&mut cell, -0.0);
        assert_eq!(to_text(&cell).as_deref(), Some("0"));
        let mut cell = Vec::new();
        begin_blob(&mut cell);
        cell.extend_from_slice(&[0, 255]);
        assert_eq!(to_text(&cell).as_deref(), Some("\\x00ff"));
        assert_eq!(to_sql(Some(b"")), None);
        assert_eq!(to_sql(Some(b"i12")), None);
    }
}
