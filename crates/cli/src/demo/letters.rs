//! The comparison of the dead letters that must be there with those that are: pure.

use std::collections::BTreeMap;

use super::compare::DIFFERENCES_MAX;

/// An entry that the drain holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// Which operation it is.
    pub(super) request_id: String,
    /// Why it is held: `dead`, or something that should have passed by now.
    pub(super) state: &'static str,
    /// The kind of the reason.
    pub(super) code: String,
}

/// What the comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LetterFindings {
    /// Dead letters that are there.
    pub(super) found: u64,
    /// Spoiled operations without their dead letter, and good ones that are held.
    pub(super) lost: u64,
    /// Dead letters that are there once more than they should.
    pub(super) duplicated: u64,
    /// The first differences, in words.
    pub(super) differences: Vec<String>,
}

/// Compares held entries with the operations that must be dead letters, and their codes.
pub(super) fn compare(
    expected: &BTreeMap<String, &'static str>,
    found: impl IntoIterator<Item = Letter>,
) -> LetterFindings {
    let mut findings = LetterFindings::default();
    let mut by_operation: BTreeMap<String, u64> = BTreeMap::new();
    for letter in found {
        let Letter {
            request_id,
            state,
            code,
        } = letter;
        findings.found += u64::from(state == "dead");
        let times = by_operation.entry(request_id.clone()).or_default();
        *times += 1;
        let is_again = *times > 1;
        match expected.get(&request_id) {
            _ if is_again => {
                findings.duplicated += 1;
                findings.note(format!("{request_id} is held more than once"));
            }
            Some(wanted) if state == "dead" && code == *wanted => {}
            Some(wanted) => {
                findings.lost += 1;
                findings.note(format!(
                    "{request_id} is {state} as {code}, not dead as {wanted}"
                ));
            }
            None => {
                findings.lost += 1;
                findings.note(format!(
                    "{request_id} is {state} as {code}, and should be applied"
                ));
            }
        }
    }
    for (request_id, wanted) in expected {
        if !by_operation.contains_key(request_id) {
            findings.lost += 1;
            findings.note(format!("{request_id} should be a dead letter, {wanted}"));
        }
    }
    findings
}

impl LetterFindings {
    fn note(&mut self, difference: String) {
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(difference);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(request_id: &str, state: &'static str, code: &str) -> Letter {
        Letter {
            request_id: request_id.to_owned(),
            state,
            code: code.to_owned(),
        }
    }

    fn compared(found: &[Letter]) -> (u64, u64, u64) {
        let expected = BTreeMap::from([("req_1".to_owned(), "not_null")]);
        let findings = compare(&expected, found.iter().cloned());
        assert_eq!(
            findings.differences.len() as u64,
            findings.lost + findings.duplicated
        );
        (findings.found, findings.lost, findings.duplicated)
    }

    #[test]
    fn the_right_letters_have_no_differences() {
        assert_eq!(compared(&[letter("req_1", "dead", "not_null")]), (1, 0, 0));
    }

    #[test]
    fn everything_else_is_found() {
        let right = letter("req_1", "dead", "not_null");
        assert_eq!(compared(&[]), (0, 1, 0), "it is missing");
        assert_eq!(
            compared(&[letter("req_1", "dead", "refused")]),
            (1, 1, 0),
            "another reason"
        );
        assert_eq!(
            compared(&[letter("req_1", "waiting", "not_null")]),
            (0, 1, 0),
            "not dead yet"
        );
        assert_eq!(
            compared(&[right.clone(), right.clone()]),
            (2, 0, 1),
            "it is there twice"
        );
        let good = letter("req_2", "dead", "refused");
        assert_eq!(
            compared(&[right, good]),
            (2, 1, 0),
            "a good operation is dead"
        );
    }
}
