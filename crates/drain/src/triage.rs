//! Triage: is a refused insert a replay, or a real conflict, and what does the table's policy say?
//!
//! Pure; the caller has looked at the database. An insert whose row is there with the very values
//! it gives was applied before, by ourselves or by somebody who sent it twice: nothing is left to
//! do. So it is where the row's version is not older. Everything else is a real conflict, and the
//! policy decides. A unit that is mended here is tried again, and may be refused again.

use crate::change::Change;
use crate::operation::Verb;
use crate::policy::OnConflict;
use crate::sink::{Found, Passed};

/// The changes of a refused unit as they can be tried again.
#[derive(Debug)]
pub(crate) struct Mended {
    /// What is left of them.
    pub(crate) changes: Vec<Change>,
    /// What was left out.
    pub(crate) passed: Passed,
}

/// Whether a change is one that a row can be in the way of.
pub(crate) fn is_open(change: &Change) -> bool {
    change.verb == Verb::Insert
}

/// Decides on the changes of a unit by what each found in its place (only of inserts it matters).
/// None where nothing can be mended: it is a conflict.
pub(crate) fn mend(changes: &[Change], found: &[Found]) -> Option<Mended> {
    let mut passed = Passed::default();
    let mut is_mended = false;
    let mut left = Vec::with_capacity(changes.len());
    for (change, found) in changes.iter().zip(found) {
        let policy = change.table.policy.on_conflict;
        let verb = match (is_open(change), found, policy) {
            (false, ..) => Some(change.verb),
            (true, Found::Same, _) | (true, Found::Different, OnConflict::Skip) => {
                passed.skipped += 1;
                None
            }
            (true, Found::Newer, _) => {
                passed.stale += 1;
                None
            }
            (true, Found::Different, OnConflict::Update) => Some(Verb::Upsert),
            // Another unique value is in the way. Alone in its unit, it is surely this one's.
            (true, Found::Nothing, OnConflict::Skip) if changes.len() == 1 => {
                passed.skipped += 1;
                None
            }
            (true, Found::Nothing | Found::Different, _) => Some(Verb::Insert),
        };
        is_mended |= verb != Some(change.verb);
        left.extend(verb.map(|verb| Change {
            verb,
            ..change.clone()
        }));
    }
    is_mended.then_some(Mended {
        changes: left,
        passed,
    })
}
