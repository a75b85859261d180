//! The trace that a record belongs to, carried in its entry.
//!
//! Between the sender's span and the processor's. The field is named as the HTTP header of W3C Trace
//! Context (<https://www.w3.org/TR/trace-context/>), and only there when a sender gives it: an entry
//! without it is exactly what runnel writes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_store::Field;

use crate::Error;

/// The field's name.
pub const TRACEPARENT: &[u8] = b"traceparent";

/// Version, trace id, parent id and flags, each in hexadecimal: `00-4bf9…-00f0…-01`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(Arc<str>);

impl TraceParent {
    /// What an entry's fields say, if they say something valid. A field that is not valid belongs to
    /// no trace, as the specification has it, and is no reason to refuse the entry.
    #[must_use]
    pub fn of(fields: &[Field]) -> Option<Self> {
        let (_, value) = fields.iter().find(|(name, _)| name == TRACEPARENT)?;
        std::str::from_utf8(value).ok()?.parse().ok()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The field of the entry.
    pub(crate) fn field(&self) -> Field {
        let value = Bytes::copy_from_slice(self.0.as_bytes());
        (Bytes::from_static(TRACEPARENT), value)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TraceParent {
    type Err = Error;

    /// Reads version 00.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.split('-').collect();
        let valid = match parts.as_slice() {
            ["00", trace, parent, flags] => {
                is_id(trace, 32) && is_id(parent, 16) && is_hexadecimal(flags, 2)
            }
            _ => false,
        };
        if !valid {
            return Err(Error::Invalid(
                "a traceparent is 00-<32 digits>-<16 digits>-<2 digits>, in lower-case hexadecimal"
                    .into(),
            ));
        }
        Ok(Self(text.into()))
    }
}

fn is_hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// An id has another digit than 0.
fn is_id(text: &str, digits: usize) -> bool {
    is_hexadecimal(text, digits) && text.bytes().any(|it| it != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_travels_as_a_field() {
        let trace: TraceParent = VALID.parse().unwrap();
        let fields = [trace.field()];
        assert_eq!(fields, [("traceparent".into(), VALID.into())]);
        assert_eq!(TraceParent::of(&fields), Some(trace));
    }

    #[test]
    fn what_is_no_trace_is_passed_over() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            let fields = [(Bytes::from_static(TRACEPARENT), text.into())];
            assert_eq!(TraceParent::of(&fields), None, "{text}");
        }
        assert_eq!(TraceParent::of(&[]), None);
    }
}
