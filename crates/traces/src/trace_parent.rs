//! What an entry says of the trace it belongs to: the field `traceparent`, as the HTTP header of
//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>).
//!
//! A field that is not valid belongs to no trace, as the specification has it, and is no reason
//! to refuse the entry.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use tidegate_store::Entry;

/// The field's name.
pub const TRACEPARENT: &[u8] = b"traceparent";

/// The producer's span, if the entry names one.
#[must_use]
pub fn of(entry: &Entry) -> Option<SpanContext> {
    let (_, value) = entry.fields.iter().find(|(name, _)| name == TRACEPARENT)?;
    read(std::str::from_utf8(value).ok()?)
}

/// Reads version 00: trace id, parent id and flags, in lower-case hexadecimal.
#[must_use]
pub fn read(text: &str) -> Option<SpanContext> {
    let parts: Vec<&str> = text.split('-').collect();
    let ["00", trace, parent, flags] = parts.as_slice() else {
        return None;
    };
    let is_hexadecimal = |text: &str, digits: usize| {
        let mut bytes = text.bytes();
        text.len() == digits && bytes.all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_valid =
        is_hexadecimal(trace, 32) && is_hexadecimal(parent, 16) && is_hexadecimal(flags, 2);
    if !is_valid {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(parent).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::NONE,
    );
    // An id of zeros stands for none.
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_read_and_what_is_none_is_passed_over() {
        let context = read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(
            context.trace_id().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled() && context.is_remote());
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }
}
