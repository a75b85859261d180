//! Reads dates and times in ISO 8601, strictly: every digit is there, and none is dropped.

use jiff::SignedDuration;
use jiff::civil::{Date, Time};

use super::scalar::{out_of_calendar, wrong_type};
use crate::rejection::Rejection;

/// Digits after the second that PostgreSQL keeps.
pub(super) const FRACTION_DIGITS: usize = 6;
/// The largest offset from UTC that PostgreSQL takes, in hours.
const OFFSET_HOURS_MAX: i64 = 15;

/// What is left to read of a text.
pub(super) struct Rest<'a>(pub(super) &'a str);

impl<'a> Rest<'a> {
    /// `YYYY-MM-DD`.
    pub(super) fn date(&mut self) -> Result<Date, Rejection> {
        let year = self.digits(4)?;
        self.expect('-')?;
        let month = self.digits(2)?;
        self.expect('-')?;
        let day = self.digits(2)?;
        match (i16::try_from(year), i8::try_from(month), i8::try_from(day)) {
            // The year 0 is PostgreSQL's 1 BC, which it wants to be written so.
            (Ok(year @ 1..), Ok(month), Ok(day)) => {
                Date::new(year, month, day).map_err(|_none| beyond())
            }
            _ => Err(beyond()),
        }
    }

    /// `hh:mm`, `hh:mm:ss` or `hh:mm:ss.f…`.
    pub(super) fn time(&mut self, precision: usize) -> Result<Time, Rejection> {
        let hour = self.digits(2)?;
        self.expect(':')?;
        let minute = self.digits(2)?;
        let (mut second, mut micros) = (0, 0);
        if self.take(':') {
            second = self.digits(2)?;
            if self.take('.') {
                micros = self.fraction(precision)?;
            }
        }
        let part = |value: i64| i8::try_from(value).map_err(|_beyond| beyond());
        let nanos = i32::try_from(micros * 1_000).map_err(|_beyond| beyond())?;
        Time::new(part(hour)?, part(minute)?, part(second)?, nanos).map_err(|_none| beyond())
    }

    /// Microseconds from the digits after the second.
    fn fraction(&mut self, precision: usize) -> Result<i64, Rejection> {
        let length = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.0.split_at_checked(length).ok_or_else(malformed)?;
        if digits.is_empty() {
            return Err(malformed());
        }
        let lost = digits.bytes().skip(precision).any(|digit| digit != b'0');
        if lost {
            return Err(out_of_calendar(format!(
                "the time would be rounded: the column keeps {precision} digits after the second"
            )));
        }
        self.0 = rest;
        let padded = digits
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(FRACTION_DIGITS);
        Ok(padded.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    }

    /// `Z`, `±hh`, `±hhmm` or `±hh:mm`; none at the end of the text.
    pub(super) fn offset(&mut self) -> Result<Option<SignedDuration>, Rejection> {
        if self.0.is_empty() {
            return Ok(None);
        }
        if self.take('Z') || self.take('z') {
            return Ok(Some(SignedDuration::ZERO));
        }
        let sign = if self.take('-') {
            -1
        } else {
            self.expect('+')?;
            1
        };
        let hours = self.digits(2)?;
        let has_minutes = self.take(':') || !self.0.is_empty();
        let minutes = if has_minutes { self.digits(2)? } else { 0 };
        if hours > OFFSET_HOURS_MAX || minutes > 59 {
            return Err(beyond());
        }
        Ok(Some(SignedDuration::from_secs(
            sign * (hours * 3_600 + minutes * 60),
        )))
    }

    /// What stands between date and time.
    pub(super) fn separator(&mut self) -> Result<(), Rejection> {
        if self.take('T') || self.take('t') || self.take(' ') {
            Ok(())
        } else {
            Err(malformed())
        }
    }

    fn digits(&mut self, count: usize) -> Result<i64, Rejection> {
        let (digits, rest) = self.0.split_at_checked(count).ok_or_else(malformed)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        self.0 = rest;
        Ok(digits
            .bytes()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, wanted: char) -> Result<(), Rejection> {
        if self.take(wanted) {
            Ok(())
        } else {
            Err(malformed())
        }
    }

    /// Refuses what is left over.
    pub(super) fn end(&self) -> Result<(), Rejection> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(malformed())
        }
    }
}

fn malformed() -> Rejection {
    wrong_type("the text is not in ISO 8601; write 2026-11-21, 07:30:00 or 2026-11-21T07:30:00Z")
}

/// The refusal of what the calendar doesn't have.
pub(super) fn beyond() -> Rejection {
    out_of_calendar("there is no such date or time between the years 1 and 9999")
}
