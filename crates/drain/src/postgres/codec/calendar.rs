//! `date`, `time`, `timestamp`, `timestamptz`: days or microseconds since 2000-01-01.
//!
//! The text is ISO 8601 as RFC 3339 has it, with `T` or a blank between date and time. Nothing is
//! rounded: digits beyond the microsecond, or beyond the column's precision, must be zeros. No
//! time zone is guessed: a `timestamptz` needs its offset, a `timestamp` has none but UTC's.

use std::borrow::Cow;

use jiff::SignedDuration;
use jiff::civil::{DateTime, Time, date};
use serde_json::value::RawValue;

use super::iso::{FRACTION_DIGITS, Rest, beyond};
use super::scalar::{Scalar, wrong_type};
use crate::catalog::{Codec, plain_text};
use crate::hyperswitch::{Format, Takes};
use crate::rejection::Rejection;

/// Where PostgreSQL counts from.
const EPOCH: DateTime = date(2000, 1, 1).at(0, 0, 0, 0);
/// The words for the ends of time.
const INFINITY: &str = "infinity";
const MINUS_INFINITY: &str = "-infinity";

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

impl Codec for Calendar {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        self.encode_text(
            &Scalar::text(json, "a string with an ISO 8601 date or time")?,
            cell,
        )
    }

    fn takes(&self) -> Takes {
        Takes::Only(match self {
            Self::Date => Format::Date,
            Self::Time { .. } => Format::Time,
            Self::Timestamp { .. } => Format::Timestamp,
            Self::TimestampTz { .. } => Format::TimestampTz,
        })
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
