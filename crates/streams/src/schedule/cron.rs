//! Cron expressions in a time zone: which moment is the next one. Pure: the clock is given.
//!
//! A day on which the clocks change has local times that don't exist, or exist twice. The rule is
//! that of Vixie cron:
//!
//! * An expression whose second, minute and hour name their values (`30 2 * * *`) happens at each
//!   of these local times once. One that doesn't exist happens at the first moment after the gap;
//!   several in the same gap are one. One that exists twice happens the first time.
//! * An expression with a `*` in one of these fields (`*/15 * * * *`) follows the clock on the
//!   wall: it skips the gap, and goes through the repeated hour twice.
//!
//! Nothing is kept here, so that there is nothing to lose when the process dies.

use croner::Cron as Expression;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Zoned};

use crate::{Error, Result};

/// A cron expression in a time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Cron {
    expression: Expression,
    time_zone: TimeZone,
    /// The expression names its times of the day: see the module's rule.
    names_times: bool,
}

impl Cron {
    /// Takes an expression of five fields (minute, hour, day of the month, month, day of the
    /// week), or six with the second first, or a nickname such as `@daily`; and an IANA time zone
    /// such as `Europe/Berlin`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what can't be read, for an unknown time zone, and for an expression
    /// that never happens (30 February).
    pub fn parse(expression: &str, time_zone: &str) -> Result<Self> {
        let invalid = |why: &dyn std::fmt::Display| {
            Error::Invalid(format!("the cron expression {expression:?}: {why}"))
        };
        let parsed: Expression = expression.parse().map_err(|why| invalid(&why))?;
        let time_zone = TimeZone::get(time_zone).map_err(|why| {
            Error::Invalid(format!(
                "the time zone {time_zone:?}: {why}; use a name such as Europe/Berlin or UTC"
            ))
        })?;
        let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
        if parsed.find_next_occurrence(&epoch, true).is_err() {
            return Err(invalid(&"it never happens"));
        }
        let pattern = &parsed.pattern;
        let names_times = ![&pattern.seconds, &pattern.minutes, &pattern.hours]
            .iter()
            .any(|field| field.from_wildcard);
        Ok(Self {
            expression: parsed,
            time_zone,
            names_times,
        })
    }

    /// The first occurrence after `after`; none where the calendar ends.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        if self.names_times {
            self.next_named_time(after)
        } else {
            self.next_on_the_clock(after)
        }
    }

    /// Searches local times, and puts each on the time line. That keeps their order, so that the
    /// search can start at the local time of `after`; in a repeated hour it may find times that
    /// have been, which are passed over.
    fn next_named_time(&self, after: Timestamp) -> Option<Timestamp> {
        let mut local = self.time_zone.to_datetime(after);
        loop {
            local = self.expression.find_next_occurrence(&local, false).ok()?;
            let moment = self.moment_of(local)?;
            if moment > after {
                return Some(moment);
            }
        }
    }

    /// The moment of a local time: the first of two, and the end of the gap for one that is
    /// skipped.
    fn moment_of(&self, local: DateTime) -> Option<Timestamp> {
        match self.time_zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
            AmbiguousOffset::Gap { before, .. } => {
                // Read with the former offset, a skipped time lies on or after the change.
                let at_or_after = before.to_timestamp(local).ok()?;
                let just_after = Timestamp::from_second(at_or_after.as_second() + 1).ok()?;
                let change = self.time_zone.preceding(just_after).next()?;
                Some(change.timestamp())
            }
        }
    }

    fn next_on_the_clock(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_zoned(self.time_zone.clone());
        let next: Zoned = self.expression.find_next_occurrence(&after, false).ok()?;
        Some(next.timestamp())
    }
}

#[cfg(test)]
mod tests;
