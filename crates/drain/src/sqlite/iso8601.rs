//! Dates and times as ISO 8601 writes them: first the parts, then whether they exist. Pure.
//!
//! Only the extended form of the calendar date is read, which is also PostgreSQL's: no week dates,
//! no days of the year, no signs in front of the year.

use jiff::civil::{Date, Time};

use super::codec::out_of_range;
use crate::rejection::Rejection;

/// The refusal of a date or time that doesn't exist, or not in a database.
pub(super) fn impossible() -> Rejection {
    out_of_range(
        "there is no such date or time, or it is finer than a microsecond; send one of the years \
         0001 to 9999 with at most six digits of a second's fraction",
    )
}

/// Year, month, day as they were written.
pub(super) struct DateParts(i16, i8, i8);

impl DateParts {
    /// The date, if there is one.
    pub(super) fn check(&self) -> Result<Date, Rejection> {
        let date = Date::new(self.0, self.1, self.2)
            .ok()
            .filter(|date| date.year() >= 1);
        date.ok_or_else(impossible)
    }
}

/// Hour, minute, second and microsecond as they were written; the last is none when it is finer.
pub(super) struct TimeParts(i8, i8, i8, Option<i32>);

impl TimeParts {
    /// The time, if there is one.
    pub(super) fn check(&self) -> Result<Time, Rejection> {
        let micros = self.3.ok_or_else(impossible)?;
        // Jiff takes no second 60, and that is right: no database could give it back.
        Time::new(self.0, self.1, self.2, micros * 1_000).map_err(|_no_such_time| impossible())
    }
}

/// Reads a text from the left.
pub(super) struct Scanner<'a> {
    /// What is still to be read.
    pub(super) rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// A date, a `T` or a blank, a time, and an offset in seconds where one follows.
    pub(super) fn moment(&mut self) -> Option<(DateParts, TimeParts, Option<i32>)> {
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

    /// A date as `2026-11-21`.
    pub(super) fn date(&mut self) -> Option<DateParts> {
        let year = self.digits(4)?.parse().ok()?;
        let month = self.after('-')?;
        Some(DateParts(year, month, self.after('-')?))
    }

    /// A time as `10:00`, `10:00:00` or `10:00:00.5`.
    pub(super) fn time(&mut self) -> Option<TimeParts> {
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
        let scale = [1_000_000, 100_000, 10_000, 1_000, 100, 10, 1]
            .get(fraction.len())
            .copied();
        // Nothing is left of a fraction that is zero.
        let micros = scale.map(|scale| fraction.parse().unwrap_or(0) * scale);
        Some(TimeParts(hour, minute, second, micros))
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
