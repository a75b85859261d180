//! Dates and times: from ISO 8601 text to the one text under which they are stored.
//!
//! SQLite has no type for them and orders them as text. So the stored text has always the same
//! width, and its order is the order in time: fractions have six digits, moments are in UTC. More
//! than microseconds is refused, as PostgreSQL could not hold it either.
//!
//! Source: ISO 8601 and RFC 3339; years 0001 to 9999.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

use super::codec::wrong_type;
use super::iso8601::{Scanner, impossible};
use crate::rejection::Rejection;

/// The length of `2026-11-21T10:00:00.000000Z`.
const TEXT_BYTES_MAX: usize = 27;

/// A date as `2026-11-21`.
pub(super) fn date(text: &str) -> Result<String, Rejection> {
    let mut scanner = Scanner { rest: text };
    let date = scanner.date().filter(|_| scanner.rest.is_empty());
    let parts = date.ok_or_else(|| wrong_type("a date as \"2026-11-21\""))?;
    Ok(show_date(parts.check()?))
}

/// A time of day as `10:00:00.000000`.
pub(super) fn time(text: &str) -> Result<String, Rejection> {
    let mut scanner = Scanner { rest: text };
    let time = scanner.time().filter(|_| scanner.rest.is_empty());
    let parts = time.ok_or_else(|| wrong_type("a time without a zone as \"10:00:00\""))?;
    Ok(show_time(parts.check()?))
}

/// Date and time as `2026-11-21T10:00:00.000000`. A zone is refused unless it is UTC.
pub(super) fn timestamp(text: &str) -> Result<String, Rejection> {
    let expected = "a date and time without a zone, or in UTC, as \"2026-11-21T10:00:00\"";
    let (moment, offset) = scan(text, expected)?;
    match offset {
        None | Some(0) => Ok(show(moment)),
        Some(_) => Err(wrong_type(expected)),
    }
}

/// A moment as `2026-11-21T10:00:00.000000Z`. It needs a zone.
pub(super) fn timestamp_tz(text: &str) -> Result<String, Rejection> {
    let expected = "a date and time with its zone as \"2026-11-21T10:00:00Z\"";
    let (moment, offset) = scan(text, expected)?;
    let seconds = offset.ok_or_else(|| wrong_type(expected))?;
    let in_utc = Offset::from_seconds(seconds)
        .and_then(|offset| offset.to_timestamp(moment))
        .map(|timestamp| Offset::UTC.to_datetime(timestamp))
        .ok()
        .filter(|moment| (1..=9999).contains(&moment.year()))
        .ok_or_else(impossible)?;
    Ok(show(in_utc) + "Z")
}

fn scan(text: &str, expected: &str) -> Result<(DateTime, Option<i32>), Rejection> {
    let mut scanner = Scanner { rest: text };
    let parts = scanner.moment().filter(|_| scanner.rest.is_empty());
    let (date, time, offset) = parts.ok_or_else(|| wrong_type(expected))?;
    Ok((DateTime::from_parts(date.check()?, time.check()?), offset))
}

fn show(moment: DateTime) -> String {
    let mut text = String::with_capacity(TEXT_BYTES_MAX);
    push_date(&mut text, moment.date());
    text.push('T');
    push_time(&mut text, moment.time());
    text
}

fn show_date(date: Date) -> String {
    let mut text = String::with_capacity(TEXT_BYTES_MAX);
    push_date(&mut text, date);
    text
}

fn show_time(time: Time) -> String {
    let mut text = String::with_capacity(TEXT_BYTES_MAX);
    push_time(&mut text, time);
    text
}

fn push_date(text: &mut String, date: Date) {
    push_digits(text, date.year().into(), 1_000);
    text.push('-');
    push_digits(text, date.month().into(), 10);
    text.push('-');
    push_digits(text, date.day().into(), 10);
}

fn push_time(text: &mut String, time: Time) {
    push_digits(text, time.hour().into(), 10);
    text.push(':');
    push_digits(text, time.minute().into(), 10);
    text.push(':');
    push_digits(text, time.second().into(), 10);
    text.push('.');
    push_digits(text, time.subsec_nanosecond() / 1_000, 100_000);
}

/// Appends a number with leading zeros; `first` is what its first digit counts. Rows mostly have a
/// moment or two, and `format!` takes a multiple of this.
fn push_digits(text: &mut String, number: i32, mut first: i32) {
    while first > 0 {
        let digit = u8::try_from(number / first % 10).unwrap_or(0);
        text.push(char::from(b'0' + digit));
        first /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Code;
    use proptest::prelude::*;

    #[test]
    fn all_spellings_of_a_moment_become_one() {
        for text in [
            "2026-11-21T10:00:00.5Z",
            "2026-11-21 10:00:00.500000000+00:00",
            "2026-11-21t12:00:00.50+02",
            "2026-11-21T04:30:00.5-0530",
        ] {
            assert_eq!(
                timestamp_tz(text).as_deref(),
                Ok("2026-11-21T10:00:00.500000Z"),
                "{text}"
            );
        }
        assert_eq!(
            timestamp("2026-11-21 10:00Z").as_deref(),
            Ok("2026-11-21T10:00:00.000000")
        );
        assert_eq!(time("10:00:00.123").as_deref(), Ok("10:00:00.123000"));
        assert_eq!(date("2024-02-29").as_deref(), Ok("2024-02-29"));
    }

    #[test]
    fn the_wrong_form_and_the_impossible_are_told_apart() {
        let codes = [
            (timestamp_tz("2026-11-21T10:00:00"), Code::WrongType),
            (timestamp("2026-11-21T10:00:00+01:00"), Code::WrongType),
            (timestamp("2026-11-21T10:00:00ZZ"), Code::WrongType),
            (date("2026-11-21T10:00:00"), Code::WrongType),
            (date("21.11.2026"), Code::WrongType),
            (date("٢٠٢٦-11-21"), Code::WrongType),
            (time("10:00:00."), Code::WrongType),
            (date("2026-02-29"), Code::OutOfRange),
            (date("0000-01-01"), Code::OutOfRange),
            (time("24:00:00"), Code::OutOfRange),
            (timestamp_tz("2016-12-31T23:59:60Z"), Code::OutOfRange),
            (timestamp("2026-11-21T10:00:00.1234567"), Code::OutOfRange),
            (timestamp_tz("9999-12-31T23:59:59-01:00"), Code::OutOfRange),
        ];
        for (number, (found, code)) in codes.into_iter().enumerate() {
            assert_eq!(
                found.map_err(|rejection| rejection.code),
                Err(code),
                "case {number}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_order_of_the_texts_is_the_order_in_time(
            a in 0..4_000_000_000_000_000_i64, b in 0..4_000_000_000_000_000_i64) {
            let text = |micros| {
                let moment = jiff::Timestamp::from_microsecond(micros).unwrap();
                timestamp_tz(&moment.to_string()).unwrap()
            };
            prop_assert_eq!(text(a).cmp(&text(b)), a.cmp(&b));
        }

        #[test]
        fn any_text_is_judged_without_a_panic(text in ".*") {
            let judged = [date(&text), time(&text), timestamp(&text), timestamp_tz(&text)];
            prop_assert!(judged.iter().flatten().count() <= 4);
        }
    }
}
