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
    /// Which have a unique key that is taken already.
    Taken(&'a DbError),
    /// Which miss their parent row.
    Orphans {
        /// The first one's error.
        error: &'a DbError,
        /// The steps that are not written yet.
        later: &'a [Step<'a>],
        /// Whether the step's own rows are written already.
        are_siblings_there: bool,
    },
}

impl PostgresTransaction {
    /// Finds out whose fault it was. Nothing of the units is applied when this begins.
    pub(super) async fn search(
        &mut self,
        units: &[&Unit],
        steps: &[Step<'_>],
        stop: Stop,
    ) -> Result<Outcome> {
        if stop.is_lock() {
            return self.search_lock(units, steps, &stop).await;
        }
        if units.len() == 1 {
            let culprits = vec![(0, refusal(&stop, steps))];
            return Ok(Outcome::Refused {
                applied: 0,
                culprits,
            });
        }
        let named = self.name(steps, &stop).await?;
        let culprits = indexes(units, &named);
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
        let step = stop.step.and_then(|at| steps.get(at));
        let table = step
            .and_then(Step::shape)
            .map_or("", |shape| shape.table.name.as_str());
        let row = answer.and_then(|answer| copied_row(answer, table));
        let suspect = row.and_then(|row| step?.changes.get(row).copied());
        let suspect = suspect.map(|change| indexes(units, &[change]));
        match suspect.as_deref() {
            Some([suspect]) => self.confirm(units, *suspect).await,
            _ => Ok(Outcome::Refused {
                applied: 0,
                culprits: Vec::new(),
            }),
        }
    }

    /// The changes that are certainly at fault.
    async fn name<'a>(&mut self, steps: &[Step<'a>], stop: &Stop) -> Result<Vec<&'a Change>> {
        let Some((at, step)) = stop.step.and_then(|at| Some((at, steps.get(at)?))) else {
            return self.name_deferred(steps, stop).await;
        };
        let (before, later) = (steps.get(..at), steps.get(at + 1..));
        let (mut before, later) = (before.unwrap_or_default(), later.unwrap_or_default());
        let question = match &stop.cause {
            Cause::NoRow(known) if !known.is_empty() => return Ok(changes_at(step, known)),
            Cause::NoRow(_) => Question::AbsentRows,
            Cause::NoCopy(_) => return Ok(Vec::new()),
            Cause::Error(error) => match error.as_db_error() {
                Some(answer) if is_missing_parent(answer, step.shape().map(|shape| shape.verb)) => {
                    Question::Orphans {
                        error: answer,
                        later,
                        are_siblings_there: false,
                    }
                }
                Some(answer) if answer.code().code() == "23505" && only_inserts(steps, step) => {
                    before = &[];
                    Question::Taken(answer)
                }
                _ => return Ok(Vec::new()),
            },
        };
        if !before.is_empty() && self.attempt(before).await?.is_some() {
            return Ok(Vec::new());
        }
        let named = self.ask(step, &question).await?;
        self.undo().await?;
        Ok(named.unwrap_or_default())
    }

    /// The same for a foreign key that is checked at the end, when all rows are there.
    async fn name_deferred<'a>(
        &mut self,
        steps: &[Step<'a>],
        stop: &Stop,
    ) -> Result<Vec<&'a Change>> {
        let Cause::Error(error) = &stop.cause else {
            return Ok(Vec::new());
        };
        let Some(error) = error
            .as_db_error()
            .filter(|answer| is_missing_parent(answer, None))
        else {
            return Ok(Vec::new());
        };
        if self.attempt_unchecked(steps).await?.is_some() {
            return Ok(Vec::new());
        }
        let mut named = Vec::new();
        let question = Question::Orphans {
            error,
            later: &[],
            are_siblings_there: true,
        };
        for step in steps {
            let of_child = step.shape().filter(|shape| {
                shape.verb != Verb::Delete
                    && error.schema() == Some(&shape.table.schema)
                    && error.table() == Some(&shape.table.name)
            });
            if of_child.is_some() {
                match self.ask(step, &question).await? {
                    Some(found) => named.extend(found),
                    None => break,
                }
            }
        }
        self.undo().await?;
        Ok(named)
    }

    /// Asks about a step in the state that the transaction is in. A question that the database
    /// doesn't understand is no reason to stop; after it, the attempt must be taken back.
    async fn ask<'a>(
        &mut self,
        step: &Step<'a>,
        question: &Question<'_>,
    ) -> Result<Option<Vec<&'a Change>>> {
        let client = self.session.client()?;
        let places = match question {
            Question::AbsentRows => absent_rows(client, step).await,
            Question::Taken(error) => taken(client, step, error).await,
            Question::Orphans {
                error,
                later,
                are_siblings_there,
            } => orphans(client, step, later, *are_siblings_there, error).await,
        };
        match places {
            Ok(places) => Ok(Some(changes_at(step, &places))),
            Err(error) if matches!(judge(&error), Verdict::Refused | Verdict::Locked) => Ok(None),
            Err(error) => Err(own(error)),
        }
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
pub(super) fn changes<'a>(units: &[&'a Unit]) -> impl Iterator<Item = &'a Change> + Clone {
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

/// The changes at these places of a step.
pub(super) fn changes_at<'a>(step: &Step<'a>, places: &[usize]) -> Vec<&'a Change> {
    places
        .iter()
        .filter_map(|place| step.changes.get(*place).copied())
        .collect()
}

/// The units of these changes, each once, ascending.
pub(super) fn indexes(units: &[&Unit], changes: &[&Change]) -> Vec<usize> {
    let unit_of = |change: &&Change| {
        let is_own = |unit: &&Unit| unit.changes.iter().any(|own| std::ptr::eq(own, *change));
        units.iter().position(is_own)
    };
    let mut found: Vec<usize> = changes.iter().filter_map(unit_of).collect();
    found.sort_unstable();
    found.dedup();
    found
}
