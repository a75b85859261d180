//! The search for the rows at fault, when the database refused a batch.
//!
//! In the order of cost: the rows that a query can name ([`culprits`](super::culprits)), the row
//! that COPY stopped at, and else nobody; then the caller searches by halves.
//!
//! Everything here happens behind the transaction's savepoint, and leaves nothing of a refused
//! unit behind it.

use std::sync::Arc;

use tokio_postgres::error::DbError;

use super::culprits::{absent_rows, copied_row, orphans, taken};
use super::failure::{Verdict, judge, own};
use super::refusal::{is_missing_parent, refusal};
use super::transaction::PostgresTransaction;
use super::write::{Cause, Stop};
use crate::change::Change;
use crate::error::Result;
use crate::operation::Verb;
use crate::plan::{Step, plan};
use crate::sink::{Outcome, Unit};

/// What the database is asked about the changes of a step.
enum Question<'a> {
    /// Which find no row to update.
    AbsentRows,
    /// Which miss the parent row that the error is about; with the steps after this one.
    Orphans(&'a DbError, &'a [Step<'a>]),
    /// Which have a unique key that is taken already.
    Taken(&'a DbError),
}

impl PostgresTransaction {
    /// Finds out whose fault it was. Nothing of the units is applied when this begins.
    pub(super) async fn search(
        &mut self,
        units: &[&Unit],
        steps: &[Step<'_>],
        stop: Stop,
    ) -> Result<Outcome> {
        if units.len() == 1 {
            let culprits = vec![(0, refusal(&stop, steps))];
            return Ok(Outcome::Refused {
                applied: 0,
                culprits,
            });
        }
        let named = self.name(steps, &stop).await?;
        let culprits = indexes(units, steps, &stop, &named);
        if !culprits.is_empty() {
            let refusal = refusal(&stop, steps);
            let culprits = culprits
                .into_iter()
                .map(|index| (index, refusal.clone()))
                .collect();
            return Ok(Outcome::Refused {
                applied: 0,
                culprits,
            });
        }
        let answer = match &stop.cause {
            Cause::Error(error) => error.as_db_error(),
            Cause::NoRow(_) | Cause::NoCopy(_) => None,
        };
        let shape = stop.step.and_then(|at| steps.get(at)).and_then(Step::shape);
        let table = shape.map_or("", |shape| shape.table.name.as_str());
        let suspect = answer
            .and_then(|answer| copied_row(answer, table))
            .map(|row| indexes(units, steps, &stop, &[row]));
        match suspect.as_deref() {
            Some([suspect]) => self.confirm(units, *suspect).await,
            _ => Ok(Outcome::Refused {
                applied: 0,
                culprits: Vec::new(),
            }),
        }
    }

    /// The changes of the stopped step that are certainly at fault, by their places in the step.
    async fn name(&mut self, steps: &[Step<'_>], stop: &Stop) -> Result<Vec<usize>> {
        let Some((at, step)) = stop.step.and_then(|at| Some((at, steps.get(at)?))) else {
            return Ok(Vec::new());
        };
        let (before, later) = (steps.get(..at), steps.get(at + 1..));
        let (before, later) = (before.unwrap_or_default(), later.unwrap_or_default());
        let question = match &stop.cause {
            Cause::NoRow(known) if !known.is_empty() => return Ok(known.clone()),
            Cause::NoRow(_) => Question::AbsentRows,
            Cause::NoCopy(_) => return Ok(Vec::new()),
            Cause::Error(error) => match error.as_db_error() {
                Some(answer) if is_missing_parent(answer, step.shape().map(|shape| shape.verb)) => {
                    Question::Orphans(answer, later)
                }
                Some(answer) if answer.code().code() == "23505" && only_inserts(steps, step) => {
                    return self.ask(&[], step, Question::Taken(answer)).await;
                }
                _ => return Ok(Vec::new()),
            },
        };
        self.ask(before, step, question).await
    }

    /// Asks in the state that the steps before leave, and takes them back.
    async fn ask(
        &mut self,
        before: &[Step<'_>],
        step: &Step<'_>,
        question: Question<'_>,
    ) -> Result<Vec<usize>> {
        if !before.is_empty() && self.attempt(before).await?.is_some() {
            return Ok(Vec::new());
        }
        let client = self.session.client()?;
        let named = match question {
            Question::AbsentRows => absent_rows(client, step).await,
            Question::Orphans(error, later) => orphans(client, step, later, error).await,
            Question::Taken(error) => taken(client, step, error).await,
        };
        match named {
            // A question that the database doesn't understand is no reason to stop.
            Err(error) if judge(&error) != Verdict::Refused => return Err(own(error)),
            _ => self.undo().await?,
        }
        Ok(named.unwrap_or_default())
    }

    /// Applies the units before the suspect, and then holds the suspect against them alone: in the
    /// plan it may have met rows that come later in the stream.
    async fn confirm(&mut self, units: &[&Unit], suspect: usize) -> Result<Outcome> {
        let refused = |applied, culprits| Ok(Outcome::Refused { applied, culprits });
        let (before, from) = units.split_at(suspect.min(units.len()));
        if !before.is_empty() && self.attempt(&plan(changes(before))).await?.is_some() {
            return refused(0, Vec::new());
        }
        let steps = plan(changes(from.get(..1).unwrap_or_default()));
        match self.attempt(&steps).await? {
            Some(stop) => refused(suspect, vec![(suspect, refusal(&stop, &steps))]),
            None => refused(suspect + 1, Vec::new()),
        }
    }
}

/// All changes of units, in order.
pub(super) fn changes<'a>(units: &[&'a Unit]) -> impl Iterator<Item = &'a Change> {
    units.iter().flat_map(|unit| &unit.changes)
}

/// Whether nothing in the batch frees a unique key of the step's table.
fn only_inserts(steps: &[Step<'_>], step: &Step<'_>) -> bool {
    let Some(shape) = step.shape() else {
        return false;
    };
    let mut shapes = steps.iter().filter_map(Step::shape);
    !shape.table.is_ordered
        && shapes
            .all(|other| !Arc::ptr_eq(&other.table, &shape.table) || other.verb == Verb::Insert)
}

/// The units of these changes of the stopped step, each once, ascending.
fn indexes(units: &[&Unit], steps: &[Step<'_>], stop: &Stop, places: &[usize]) -> Vec<usize> {
    let Some(step) = stop.step.and_then(|at| steps.get(at)) else {
        return Vec::new();
    };
    let unit_of = |place: &usize| {
        let change = *step.changes.get(*place)?;
        units
            .iter()
            .position(|unit| unit.changes.iter().any(|own| std::ptr::eq(own, change)))
    };
    let mut found: Vec<usize> = places.iter().filter_map(unit_of).collect();
    found.sort_unstable();
    found.dedup();
    found
}
