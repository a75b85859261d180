//! What a JSON value is, before its column's type decides what it means; and the words in which
//! the codecs refuse.
//!
//! Strings are borrowed from the entry unless they have escapes. Nothing here ever puts a value
//! into a reason.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::rejection::{Code, Rejection};

/// A JSON value that is not `null`.
#[derive(Debug)]
pub(super) enum Scalar<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A number's text, as it was sent.
    Number(&'a str),
    /// A string without quotes and escapes.
    Text(Cow<'a, str>),
    /// An array.
    Array,
    /// An object.
    Object,
    /// A string with an escape that stands for no character: half of a surrogate pair.
    Broken,
}

impl<'a> Scalar<'a> {
    /// Looks at a value; its JSON was checked when the entry was parsed.
    pub(super) fn read(json: &'a RawValue) -> Self {
        let text = json.get();
        match text.as_bytes().first() {
            Some(b'"') => Self::read_string(text),
            Some(b'[') => Self::Array,
            Some(b'{') => Self::Object,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            _ => Self::Number(text),
        }
    }

    fn read_string(quoted: &'a str) -> Self {
        match quoted.get(1..quoted.len().saturating_sub(1)) {
            Some(inner) if !inner.contains('\\') => Self::Text(Cow::Borrowed(inner)),
            _ => serde_json::from_str(quoted)
                .map_or(Self::Broken, |text| Self::Text(Cow::Owned(text))),
        }
    }

    /// The text of a string; anything else is refused, naming what was `expected`.
    pub(super) fn text(json: &'a RawValue, expected: &str) -> Result<Cow<'a, str>, Rejection> {
        match Self::read(json) {
            Self::Text(text) => Ok(text),
            other => Err(other.refuse(expected)),
        }
    }

    /// The text of a number, or of a string that holds one.
    pub(super) fn number(json: &'a RawValue, expected: &str) -> Result<Cow<'a, str>, Rejection> {
        match Self::read(json) {
            Self::Number(text) => Ok(Cow::Borrowed(text)),
            Self::Text(text) => Ok(text),
            other => Err(other.refuse(expected)),
        }
    }

    /// Says what came instead of what was `expected`.
    pub(super) fn refuse(&self, expected: &str) -> Rejection {
        let found = match self {
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
            Self::Broken => "a string with half a surrogate pair",
        };
        wrong_type(format!("{found} came where {expected} is expected"))
    }
}

/// The value is not of the column's type.
pub(super) fn wrong_type(reason: impl Into<String>) -> Rejection {
    Rejection::new(Code::WrongType, reason)
}

/// A number is beyond the column's range (SQLSTATE 22003).
pub(super) fn out_of_range(reason: impl Into<String>) -> Rejection {
    beyond("22003", reason)
}

/// A text is beyond what the column holds (SQLSTATE 22001).
pub(super) fn too_long(reason: impl Into<String>) -> Rejection {
    beyond("22001", reason)
}

/// A date or time is beyond what the column holds (SQLSTATE 22008).
pub(super) fn out_of_calendar(reason: impl Into<String>) -> Rejection {
    beyond("22008", reason)
}

/// PostgreSQL has no text with the character U+0000 (SQLSTATE 22021).
pub(super) fn has_nul() -> Rejection {
    beyond(
        "22021",
        "PostgreSQL can't store the character U+0000 in a text; remove it",
    )
}

fn beyond(sqlstate: &str, reason: impl Into<String>) -> Rejection {
    Rejection {
        code: Code::OutOfRange,
        sqlstate: Some(sqlstate.to_owned()),
        reason: reason.into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::catalog::Codec;

    /// The cell of a JSON text, or the rejection.
    pub(in crate::postgres::codec) fn encode(
        codec: &dyn Codec,
        json: &str,
    ) -> Result<Vec<u8>, Rejection> {
        let json: &RawValue = serde_json::from_str(json).expect("the test's own JSON");
        let mut cell = Vec::new();
        codec.encode(json, &mut cell).map(|()| cell)
    }

    /// The kind of refusal.
    pub(in crate::postgres::codec) fn refusal(codec: &dyn Codec, json: &str) -> Code {
        encode(codec, json).expect_err(json).code
    }

    /// The text in a partition key.
    pub(in crate::postgres::codec) fn key_text(codec: &dyn Codec, json: &str) -> String {
        let json: &RawValue = serde_json::from_str(json).expect("the test's own JSON");
        codec.key_text(json).into_owned()
    }

    #[test]
    fn strings_lose_their_escapes_and_nothing_else() {
        let read = |json: &str| {
            let json: &RawValue = serde_json::from_str(json).expect("JSON");
            Scalar::text(json, "text").map(Cow::into_owned)
        };
        assert_eq!(read(r#""é\n\"x""#).expect("text"), "é\n\"x");
        assert_eq!(read(r#""""#).expect("text"), "");
        assert!(
            read(r#""\ud800""#)
                .expect_err("broken")
                .reason
                .contains("surrogate")
        );
        assert!(
            read("12")
                .expect_err("a number")
                .reason
                .contains("a number came")
        );
    }
}
