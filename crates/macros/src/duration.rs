//! Durations such as `250ms`, `1m30s` or `7d`, as attributes have them. Pure.

use syn::{Error, LitStr, Result};

/// Reads a duration in milliseconds.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(
            after
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(after.len()),
        );
        let unit_ms = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit_ms)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// Reads a duration between two bounds, of which the text tells.
///
/// # Errors
/// What is wrong with it, at its place.
pub(crate) fn within(text: &LitStr, min: &str, max: &str) -> Result<u64> {
    let given = text.value();
    let Some(ms) = milliseconds(given.trim()) else {
        return Err(Error::new(
            text.span(),
            format!("{given:?} is no duration: use a text such as \"250ms\", \"30s\" or \"1h30m\""),
        ));
    };
    let bounds = milliseconds(min).zip(milliseconds(max));
    if bounds.is_some_and(|(min, max)| !(min..=max).contains(&ms)) {
        return Err(Error::new(text.span(), format!("use {min} to {max}")));
    }
    Ok(ms)
}

/// Reads `shortest..longest`.
///
/// # Errors
/// What is wrong with it, at its place.
pub(crate) fn range(text: &LitStr, max: &str) -> Result<(u64, u64)> {
    let given = text.value();
    let both = given
        .split_once("..")
        .and_then(|(from, to)| Some((milliseconds(from.trim())?, milliseconds(to.trim())?)));
    let why = match both {
        None => "use a text such as \"5s..1h\": pauses from 5 seconds to an hour".to_owned(),
        Some((from, to)) if from > to => format!("pauses of {given}: turn them round"),
        Some((from, to)) if from == 0 || milliseconds(max).is_some_and(|max| to > max) => {
            format!("a pause is 1ms to {max}")
        }
        Some(both) => return Ok(both),
    };
    Err(Error::new(text.span(), why))
}
