//! `date`, `time`, `timestamp`, `timestamptz`: days or microseconds since 2000-01-01.
//!
//! The text is ISO 8601 as RFC 3339 has it, with `T` or a blank between date and time. Nothing is
//! rounded: digits beyond the microsecond, or beyond the column's precision, must be zeros. No
//! time zone is guessed: a `timestamptz` needs its offset, a `timestamp` has none but UTC's.

use std::borrow::Cow;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time, date};
use serde_json::value::RawValue;

use super::scalar::{Scalar, out_of_calendar, wrong_type};
use crate::catalog::{Codec, plain_text};
use crate::rejection::Rejection;

/// Where PostgreSQL counts from.
const EPOCH: DateTime = date(2000, 1, 1).at(0, 0, 0, 0);
/// The words for the ends of time.
const INFINITY: &str = "infinity";
const MINUS_INFINITY: &str = "-infinity";
/// Digits after the second that PostgreSQL keeps.
const FRACTION_DIGITS: usize = 6;
/// The largest offset from UTC that PostgreSQL takes, in hours.
const OFFSET_HOURS_MAX: i64 = 15;

/// The types of the calendar; `precision` is how many digits after the second a column keeps.
#[derive(Clone, Copy, Debug)]
pub(super) enum Calendar {
    /// `date`.
    Date,
    /// `time(precision)`.
    Time {
        /// Digits after the second.
        precision: usize,
    },
    /// `timestamp(precision)`.
    Timestamp {
        /// Digits after the second.
        precision: usize,
    },
    /// `timestamptz(precision)`.
    TimestampTz {
        /// Digits after the second.
        precision: usize,
    },
}

impl Calendar {
    /// The digits after the second that a type modifier asks for.
    pub(super) fn precision(typmod: i32) -> usize {
        usize::try_from(typmod).map_or(FRACTION_DIGITS, |digits| digits.min(FRACTION_DIGITS))
    }

    fn encode_text(self, text: &str, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        let mut rest = Rest(text);
        match self {
            Self::Date => {
                let days = match text {
                    INFINITY => i32::MAX,
                    MINUS_INFINITY => i32::MIN,
                    _ => {
                        let date = rest.date()?;
                        rest.end()?;
                        let hours = date
                            .to_datetime(Time::midnight())
                            .duration_since(EPOCH)
                            .as_hours();
                        i32::try_from(hours / 24).map_err(|_beyond| beyond())?
                    }
                };
                cell.extend_from_slice(&days.to_be_bytes());
            }
            Self::Time { precision } => {
                let time = rest.time(precision)?;
                rest.end()?;
                let since = date(2000, 1, 1).to_datetime(time).duration_since(EPOCH);
                cell.extend_from_slice(&micros(since)?.to_be_bytes());
            }
            Self::Timestamp { precision } | Self::TimestampTz { precision } => {
                let micros = match text {
                    INFINITY => i64::MAX,
                    MINUS_INFINITY => i64::MIN,
                    _ => self.moment(&mut rest, precision)?,
                };
                cell.extend_from_slice(&micros.to_be_bytes());
            }
        }
        Ok(())
    }

    fn moment(self, rest: &mut Rest<'_>, precision: usize) -> Result<i64, Rejection> {
        let date = rest.date()?;
        rest.separator()?;
        let time = rest.time(precision)?;
        let offset = rest.offset()?;
        rest.end()?;
        let offset = match (self, offset) {
            (Self::TimestampTz { .. }, Some(offset)) => offset,
            (Self::TimestampTz { .. }, None) => {
                return Err(wrong_type(
                    "the time has no offset; say it, for example Z for UTC",
                ));
            }
            (_, None | Some(SignedDuration::ZERO)) => SignedDuration::ZERO,
            (_, Some(_)) => {
                return Err(wrong_type(
                    "the column has no time zone, so an offset other than Z would be lost; send UTC",
                ));
            }
        };
        micros(date.to_datetime(time).duration_since(EPOCH) - offset)
    }
}

fn micros(since: SignedDuration) -> Result<i64, Rejection> {
    i64::try_from(since.as_micros()).map_err(|_beyond| beyond())
}

/// What is left to read of a text.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn date(&mut self) -> Result<Date, Rejection> {
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

    fn time(&mut self, precision: usize) -> Result<Time, Rejection> {
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
    fn offset(&mut self) -> Result<Option<SignedDuration>, Rejection> {
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

    fn separator(&mut self) -> Result<(), Rejection> {
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

    fn end(&self) -> Result<(), Rejection> {
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

fn beyond() -> Rejection {
    out_of_calendar("there is no such date or time between the years 1 and 9999")
}

impl Codec for Calendar {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        self.encode_text(
            &Scalar::text(json, "a string with an ISO 8601 date or time")?,
            cell,
        )
    }

    fn key_text<'a>(&self, json: &'a RawValue) -> Cow<'a, str> {
        let text = plain_text(json);
        let mut cell = Vec::with_capacity(8);
        let is_moment = matches!(self, Self::Timestamp { .. } | Self::TimestampTz { .. });
        if !is_moment || text.ends_with(INFINITY) || self.encode_text(&text, &mut cell).is_err() {
            return text;
        }
        // One moment has many spellings, so it is written anew: in UTC.
        let micros = cell
            .first_chunk::<8>()
            .map_or(0, |bytes| i64::from_be_bytes(*bytes));
        match EPOCH.checked_add(SignedDuration::from_micros(micros)) {
            Ok(moment) => Cow::Owned(format!("{moment}Z")),
            Err(_) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scalar::tests::{encode, key_text, refusal};
    use super::*;
    use crate::rejection::Code;
    use proptest::prelude::*;

    const STAMP: Calendar = Calendar::Timestamp { precision: 6 };
    const STAMP_TZ: Calendar = Calendar::TimestampTz { precision: 6 };
    const TIME: Calendar = Calendar::Time { precision: 6 };

    #[test]
    fn known_moments_have_known_cells() {
        assert_eq!(
            encode(&Calendar::Date, "\"2000-01-02\"").expect("a date"),
            1_i32.to_be_bytes()
        );
        assert_eq!(
            encode(&Calendar::Date, "\"1999-12-31\"").expect("a date"),
            (-1_i32).to_be_bytes()
        );
        assert_eq!(
            encode(&TIME, "\"00:00:01.5\"").expect("a time"),
            1_500_000_i64.to_be_bytes()
        );
        let one = 1_000_000_i64.to_be_bytes();
        for json in [
            "\"2000-01-01T00:00:01Z\"",
            "\"2000-01-01 02:00:01+02\"",
            "\"1999-12-31t22:30:01.000000000-0130\"",
        ] {
            assert_eq!(encode(&STAMP_TZ, json).expect(json), one, "{json}");
            assert_eq!(key_text(&STAMP_TZ, json), "2000-01-01T00:00:01Z");
        }
        assert_eq!(
            encode(&STAMP, "\"2000-01-01T00:00:01\"").expect("a timestamp"),
            one
        );
        assert_eq!(
            encode(&STAMP, "\"-infinity\"").expect("a word"),
            i64::MIN.to_be_bytes()
        );
    }

    #[test]
    fn no_offset_is_guessed_or_lost() {
        assert_eq!(
            refusal(&STAMP_TZ, "\"2000-01-01T00:00:00\""),
            Code::WrongType
        );
        assert_eq!(
            refusal(&STAMP, "\"2000-01-01T00:00:00+01:00\""),
            Code::WrongType
        );
        assert!(encode(&STAMP, "\"2000-01-01T00:00:00+00:00\"").is_ok());
    }

    #[test]
    fn nothing_is_rounded() {
        assert_eq!(
            refusal(&STAMP, "\"2000-01-01T00:00:00.1234567\""),
            Code::OutOfRange
        );
        let seconds = Calendar::TimestampTz { precision: 0 };
        assert_eq!(
            refusal(&seconds, "\"2000-01-01T00:00:00.5Z\""),
            Code::OutOfRange
        );
        assert!(encode(&seconds, "\"2000-01-01T00:00:00.000Z\"").is_ok());
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for json in ["\"2023-02-29\"", "\"2023-13-01\"", "\"0000-01-01\""] {
            assert_eq!(refusal(&Calendar::Date, json), Code::OutOfRange, "{json}");
        }
        for json in [
            "\"2023-2-9\"",
            "\"20230101\"",
            "\"2023-01-01T00:00\"",
            "\"\"",
            "0",
            "\"é\"",
        ] {
            assert_eq!(refusal(&Calendar::Date, json), Code::WrongType, "{json}");
        }
        for json in [
            "1700000000",
            "\"2023-01-01\"",
            "\"2023-01-01T10Z\"",
            "\"2023-01-01T10:00Zx\"",
        ] {
            assert_eq!(refusal(&STAMP_TZ, json), Code::WrongType, "{json}");
        }
        assert_eq!(refusal(&TIME, "\"24:00:00\""), Code::OutOfRange);
        assert_eq!(refusal(&TIME, "\"12:00:00.\""), Code::WrongType);
    }

    proptest! {
        #[test]
        fn moments_survive(micros in -60_000_000_000_000_000..200_000_000_000_000_000_i64) {
            let moment = EPOCH.checked_add(SignedDuration::from_micros(micros)).expect("in range");
            let cell = encode(&STAMP, &format!("\"{moment}\"")).expect("its own text");
            prop_assert_eq!(cell, micros.to_be_bytes());
        }
    }
}
