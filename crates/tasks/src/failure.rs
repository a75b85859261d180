//! What a task's error says about trying again.
//!
//! ```text
//! Err(any error)                          the task's retries decide
//! Err(Failure::retry_after(…))            … but not before
//! Err(Failure::permanent(…))              dead at once
//! Err(Failure::unknown(…))                parked for a person
//! ```
//!
//! A [`Failure`] is an error as any other, so that `?` carries it through. It is looked for along the
//! whole chain of causes. Nothing is kept here.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use tidegate_streams::BoxError;

/// What an error asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Advice {
    /// Nothing: the task's own retries decide.
    #[default]
    Default,
    /// To try again, and not before so long; as `Retry-After` says it.
    RetryAfter(Duration),
    /// Never to try again.
    Permanent,
    /// Nobody knows whether the effect has happened: a person has to look.
    Unknown,
}

/// An error with an advice.
#[derive(Debug)]
pub struct Failure {
    advice: Advice,
    source: BoxError,
}

impl Failure {
    /// A failure that trying again won't mend: the task is dead at once.
    pub fn permanent(source: impl Into<BoxError>) -> Self {
        Self::with(Advice::Permanent, source)
    }

    /// A failure after which the task is not tried again before so long. It counts as a retry, and
    /// takes the place of the backoff.
    pub fn retry_after(delay: Duration, source: impl Into<BoxError>) -> Self {
        Self::with(Advice::RetryAfter(delay), source)
    }

    /// A failure after which nobody knows whether the effect has happened, such as a payment whose
    /// answer was lost. The task is parked as unknown until a person resolves it.
    pub fn unknown(source: impl Into<BoxError>) -> Self {
        Self::with(Advice::Unknown, source)
    }

    fn with(advice: Advice, source: impl Into<BoxError>) -> Self {
        Self {
            advice,
            source: source.into(),
        }
    }

    /// What it asks for.
    #[must_use]
    pub fn advice(&self) -> Advice {
        self.advice
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.source()
    }
}

/// The advice of the first [`Failure`] in the chain of an error's causes.
#[must_use]
pub fn advice_of(error: &(dyn StdError + 'static)) -> Advice {
    let mut cause = Some(error);
    while let Some(one) = cause {
        if let Some(failure) = one.downcast_ref::<Failure>() {
            return failure.advice;
        }
        cause = one.source();
    }
    Advice::Default
}

/// The most bytes of an error's text that are kept with a task.
pub const ERROR_BYTES_MAX: usize = 4_096;

/// An error with its causes, as it is kept with a task: cut at [`ERROR_BYTES_MAX`].
pub(crate) fn text_of(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = next.source();
    }
    cut(text)
}

/// A text of at most [`ERROR_BYTES_MAX`] bytes.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > ERROR_BYTES_MAX {
        let end = text.floor_char_boundary(ERROR_BYTES_MAX - 3);
        text.truncate(end);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Failure);

    #[test]
    fn the_advice_is_found_behind_other_errors() {
        let outer = Outer(Failure::permanent("no such account"));
        assert_eq!(advice_of(&outer), Advice::Permanent);
        assert_eq!(text_of(&outer), "outer: no such account");
        let plain: BoxError = "plain".into();
        assert_eq!(advice_of(&*plain), Advice::Default);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let text = cut("ä".repeat(ERROR_BYTES_MAX));
        assert!(
            text.len() <= ERROR_BYTES_MAX && text.ends_with("..."),
            "{}",
            text.len()
        );
    }
}
