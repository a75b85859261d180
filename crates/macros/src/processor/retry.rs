//! `retry = "5, 1s..1m"`: how often an event is tried in all, and the pauses between. Pure.

use syn::{Error, LitStr, Result};

use crate::duration::milliseconds;

/// The most tries, as in the streams.
const ATTEMPTS_MAX: u32 = 10_000;
/// The longest pause: a day.
const PAUSE_MS_MAX: u64 = 24 * 3_600_000;

/// What was asked for, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    pub(super) attempts: u32,
    pub(super) min_ms: u64,
    pub(super) max_ms: u64,
}

impl Retry {
    /// Reads `attempts, shortest..longest`.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub(super) fn parse(text: &LitStr) -> Result<Self> {
        read(&text.value()).map_err(|why| Error::new(text.span(), why))
    }
}

fn read(text: &str) -> std::result::Result<Retry, String> {
    let form = || {
        "use a text such as \"5, 1s..1m\": 5 tries in all, with pauses from a second to a minute"
            .to_owned()
    };
    let (attempts, pauses) = text.split_once(',').ok_or_else(form)?;
    let (min, max) = pauses.split_once("..").ok_or_else(form)?;
    let (min, max) = (min.trim(), max.trim());
    let attempts: u32 = attempts.trim().parse().ok().ok_or_else(form)?;
    let min_ms = milliseconds(min).ok_or_else(form)?;
    let max_ms = milliseconds(max).ok_or_else(form)?;
    if !(2..=ATTEMPTS_MAX).contains(&attempts) {
        return Err(format!(
            "{attempts} tries in all, the first one included: use 2 to {ATTEMPTS_MAX}"
        ));
    }
    if min_ms == 0 || max_ms > PAUSE_MS_MAX {
        return Err("a pause is 1ms to 24h".to_owned());
    }
    if min_ms > max_ms {
        return Err(format!("pauses from {min} to {max}: turn them round"));
    }
    Ok(Retry {
        attempts,
        min_ms,
        max_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_and_pauses_are_read() {
        for (text, attempts, min_ms, max_ms) in [
            ("5, 1s..1m", 5, 1_000, 60_000),
            ("2,250ms..1m30s", 2, 250, 90_000),
            ("10000, 1h..24h", 10_000, 3_600_000, 86_400_000),
        ] {
            let expected = Retry {
                attempts,
                min_ms,
                max_ms,
            };
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "such as"),
            ("5", "such as"),
            ("5, 1s", "such as"),
            ("5, 1..2", "such as"),
            ("five, 1s..2s", "such as"),
            ("5, 1s..2weeks", "such as"),
            ("1, 1s..2s", "use 2 to"),
            ("5, 0s..2s", "1ms to 24h"),
            ("5, 1s..25h", "1ms to 24h"),
            ("5, 2s..1s", "turn them round"),
        ] {
            let refusal = read(text).unwrap_err();
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }
}
