//! Output: results on the standard output, as text or as JSON, and numbers for people.

use std::io::{self, ErrorKind, Write};

use jiff::Timestamp;
use miette::miette;
use serde::Serialize;

/// Prints a text as it is.
///
/// # Errors
/// A standard output that can't be written. One that nobody reads any more is no error: `head`
/// has seen enough.
pub(crate) fn print(text: &str) -> miette::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(miette!("the standard output can't be written: {error}"))
        }
        _ => Ok(()),
    }
}

/// Prints a line.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_line(line: &str) -> miette::Result<()> {
    print(&format!("{line}\n"))
}

/// Prints a value as one line of JSON, at once.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_json(value: &impl Serialize) -> miette::Result<()> {
    let json = serde_json::to_string(value)
        .map_err(|error| miette!("the result can't be written as JSON: {error}"))?;
    print_line(&json)
}

/// A number with its thousands apart: 1,234,567.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number of things: "1 line", "2 lines".
pub(crate) fn things(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", count(number))
}

/// A moment for people, in UTC.
pub(crate) fn moment(unix_ms: u64) -> String {
    i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map_or_else(
            || "?".to_owned(),
            |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        )
}

/// A text from elsewhere, safe to print: what could steer a terminal is escaped.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\n' {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let shown = [0, 7, 999, 1_000, 12_345, 1_234_567].map(count);
        assert_eq!(shown, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
        assert_eq!(
            (things(1, "line").as_str(), things(2, "line").as_str()),
            ("1 line", "2 lines")
        );
    }

    #[test]
    fn moments_are_in_utc() {
        assert_eq!(moment(1_700_000_000_000), "2023-11-14 22:13:20Z");
    }

    #[test]
    fn a_text_can_not_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\nc"), "a\\u{1b}[2Jb\\r\nc");
    }
}
