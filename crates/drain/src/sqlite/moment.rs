//! Dates and times: from ISO 8601 text to the one text under which they are stored.
//!
//! SQLite has no type for them and orders them as text. So the stored text has always the same
//! width, and its order is the order in time: fractions have six digits, moments are in UTC. More
//! than microseconds is refused, as PostgreSQL could not hold it either.
//!
//! Source: ISO 8601 and RFC 3339; years 0001 to 9999.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

use super::codec::{out_of_range, wrong_type};
use crate::rejection::Rejection;

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
    format!("{}T{}", show_date(moment.date()), show_time(moment.time()))
}

fn show_date(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

fn show_time(time: Time) -> String {
    let micros = time.subsec_nanosecond() / 1_000;
    format!(
        "{:02}:{:02}:{:02}.{micros:06}",
        time.hour(),
        time.minute(),
        time.second()
    )
}

fn impossible() -> Rejection {
    out_of_range(
        "there is no such date or time, or it is finer than a microsecond; send one of the years \
         0001 to 9999 with at most six digits of a second's fraction",
    )
}

/// Year, month, day as they were written.
struct DateParts(i16, i8, i8);

impl DateParts {
    fn check(&self) -> Result<Date, Rejection> {
        let date = Date::new(self.0, self.1, self.2)
            .ok()
            .filter(|date| date.year() >= 1);
        date.ok_or_else(impossible)
    }
}

/// Hour, minute, second and microsecond as they were written; the last is none when it is finer.
struct TimeParts(i8, i8, i8, Option<i32>);

impl TimeParts {
    fn check(&self) -> Result<Time, Rejection> {
        let micros = self.3.ok_or_else(impossible)?;
        // Jiff takes no second 60, and that is right: no database could give it back.
        Time::new(self.0, self.1, self.2, micros * 1_000).map_err(|_no_such_time| impossible())
    }
}

/// Reads a text from the left.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn moment(&mut self) -> Option<(DateParts, TimeParts, Option<i32>)> {
        let date = self.date()?;
        if !self.take('T') && !self.take('t') && !self.take(' ') {
            return None;
        }
        let time = self.time()?;
        let offset = if self.rest.is_empty() {
            None
        } else {
            Some(self.offset()?)
        };
        Some((date, time, offset))
    }

    fn date(&mut self) -> Option<DateParts> {
        let year = self.digits(4)?.parse().ok()?;
        let month = self.after('-')?;
        Some(DateParts(year, month, self.after('-')?))
    }

    fn time(&mut self) -> Option<TimeParts> {
        let hour = self.two()?;
        let minute = self.after(':')?;
        if !self.take(':') {
            return Some(TimeParts(hour, minute, 0, Some(0)));
        }
        let second = self.two()?;
        if !self.take('.') {
            return Some(TimeParts(hour, minute, second, Some(0)));
        }
        let length = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let fraction = self.digits(length.max(1))?.trim_end_matches('0');
        let micros = (fraction.len() <= 6).then(|| format!("{fraction:0<6}").parse().ok());
        Some(TimeParts(hour, minute, second, micros.flatten()))
    }

    /// Seconds east of UTC, from `Z`, `+01`, `+0100` or `+01:00`.
    fn offset(&mut self) -> Option<i32> {
        if self.take('Z') || self.take('z') {
            return Some(0);
        }
        let sign = match (self.take('+'), self.take('-')) {
            (true, _) => 1,
            (_, true) => -1,
            _ => return None,
        };
        let hours = i32::from(self.two()?);
        let has_minutes = self.take(':') || !self.rest.is_empty();
        let minutes = if has_minutes {
            i32::from(self.two()?)
        } else {
            0
        };
        (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
    }

    fn after(&mut self, separator: char) -> Option<i8> {
        if self.take(separator) {
            self.two()
        } else {
            None
        }
    }

    fn two(&mut self) -> Option<i8> {
        self.digits(2)?.parse().ok()
    }

    fn digits(&mut self, count: usize) -> Option<&'a str> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.rest = rest;
        Some(digits)
    }

    fn take(&mut self, expected: char) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
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
