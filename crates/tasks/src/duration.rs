//! Durations as people write them: `5s`, `1h30m`, `7d`. Pure.
//!
//! Whoever builds an enqueue may give a text; what can't be read is kept as a mistake until the send,
//! which answers with it. Nothing is kept here.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

use crate::{Error, Result};

/// The longest duration that tasks know: ten years.
pub const DURATION_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Reads a text such as `250ms`, `5s`, `1h30m` or `7d`; a day has 24 hours.
///
/// # Errors
/// [`Error::Invalid`] for any other text, for less than nothing, and for more than [`DURATION_MAX`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// assert_eq!(tidegate_tasks::duration::parse("1h30m")?, Duration::from_secs(5400));
/// assert!(tidegate_tasks::duration::parse("soon").is_err());
/// # Ok::<(), tidegate_tasks::Error>(())
/// ```
pub fn parse(text: &str) -> Result<Duration> {
    let invalid = |why: &dyn std::fmt::Display| {
        Error::Invalid(format!(
            "the duration {text:?}: {why}; use a text such as 250ms, 5s, 1h30m or 7d"
        ))
    };
    let span: Span = text.trim().parse().map_err(|why| invalid(&why))?;
    let signed = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|why| invalid(&why))?;
    let duration = Duration::try_from(signed).map_err(|why| invalid(&why))?;
    if duration > DURATION_MAX {
        return Err(invalid(&"it is longer than ten years"));
    }
    Ok(duration)
}

/// What can be given where a duration is asked for: a [`Duration`] or a text.
pub trait IntoDuration {
    /// The duration.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is none; see [`parse`].
    fn into_duration(self) -> Result<Duration>;
}

impl IntoDuration for Duration {
    fn into_duration(self) -> Result<Duration> {
        if self > DURATION_MAX {
            return Err(Error::Invalid(format!(
                "a duration of {self:?} is longer than ten years"
            )));
        }
        Ok(self)
    }
}

impl IntoDuration for &str {
    fn into_duration(self) -> Result<Duration> {
        parse(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in [
            ("250ms", 250),
            ("5s", 5_000),
            ("1h30m", 5_400_000),
            ("1m30s", 90_000),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for text in ["", "5", "soon", "-5s", "1 fortnight", "40y"] {
            let refusal = parse(text).unwrap_err().to_string();
            assert!(refusal.contains("such as"), "{text}: {refusal}");
        }
    }
}
