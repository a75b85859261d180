//! Warnings of lines that will be dead letters: some of them, and then only their number.

use tidegate_drain::Rejection;

use crate::output::{clean, count};
use crate::progress;

/// As many lines are named one by one; a file that is wrong from end to end must not fill the
/// terminal.
pub(super) const NAMED_MAX: u64 = 10;

/// What was wrong so far.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    count: u64,
}

impl Warnings {
    /// A line was sent that will be a dead letter.
    pub(super) fn add(&mut self, line: u64, rejection: &Rejection) {
        self.count += 1;
        if self.count <= NAMED_MAX {
            progress::warn(&format!(
                "line {line} will be a dead letter: {}",
                clean(&rejection.to_string())
            ));
        }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Tells of those that were not named.
    pub(super) fn finish(&self) {
        if let more @ 1.. = self.count.saturating_sub(NAMED_MAX) {
            progress::warn(&format!("{} more lines will be dead letters", count(more)));
        }
    }
}
