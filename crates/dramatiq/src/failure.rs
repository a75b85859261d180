//! What went wrong in an actor, and whether it is worth another try.

use std::fmt;
use std::time::Duration;

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// As the options of the message and the actor say.
    ByOptions,
    /// After this time, as long as there are retries left.
    After(Duration),
    /// Never: the message becomes a dead letter.
    Never,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of error; Python's programs see it as the name of an exception's class.
    pub kind: String,
    /// What went wrong, for a person.
    pub message: String,
    /// When to try again.
    pub again: Again,
}

impl Failure {
    /// A failure of this kind.
    #[must_use]
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
            again: Again::ByOptions,
        }
    }

    /// This failure, to be tried again after `pause`.
    #[must_use]
    pub fn after(mut self, pause: Duration) -> Self {
        self.again = Again::After(pause);
        self
    }

    /// This failure, not to be tried again.
    #[must_use]
    pub fn never_again(mut self) -> Self {
        self.again = Again::Never;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    /// The kind is the name of the error's type, without its path.
    fn from(error: E) -> Self {
        let path = std::any::type_name::<E>();
        let path = path.split('<').next().unwrap_or(path);
        let kind = path.rsplit("::").next().unwrap_or(path);
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            message.push_str(&format!(": {source}"));
            cause = source.source();
        }
        Self::new(kind, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_kind_is_the_name_of_its_type() {
        let failure = Failure::from("x".parse::<i64>().unwrap_err());
        assert_eq!(failure.kind, "ParseIntError");
        assert_eq!(failure.again, Again::ByOptions);
    }
}
