//! What a rule has to say about a place in the project.

use std::fmt;

/// Something wrong, or worth a note, at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    path: String,
    /// Counted from one; `None` is about the whole file.
    line: Option<usize>,
    text: String,
    is_wrong: bool,
}

impl Finding {
    /// Something wrong in a line (counted from zero, as iterators do), and what to do about it.
    pub(super) fn in_line(path: &str, index: usize, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: Some(index + 1),
            text: text.into(),
            is_wrong: true,
        }
    }

    /// Something wrong with a whole file, and what to do about it.
    pub(super) fn in_file(path: &str, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            text: text.into(),
            is_wrong: true,
        }
    }

    /// Something to know about a whole file, that fails nothing.
    pub(super) fn note(path: &str, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            text: text.into(),
            is_wrong: false,
        }
    }

    /// Whether it fails its step.
    pub(super) fn is_wrong(&self) -> bool {
        self.is_wrong
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_wrong {
            formatter.write_str("note: ")?;
        }
        formatter.write_str(&self.path)?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        write!(formatter, ": {}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_begins_with_a_place_that_editors_open() {
        assert_eq!(
            Finding::in_line("a.rs", 6, "wrong").to_string(),
            "a.rs:7: wrong"
        );
        assert_eq!(Finding::in_file("a.rs", "wrong").to_string(), "a.rs: wrong");
        assert_eq!(
            Finding::note("a.rs", "long").to_string(),
            "note: a.rs: long"
        );
    }
}
