//! One transaction of the drain: rows, dead letters and ledger, or nothing of them.
//!
//! ```text
//! BEGIN ─► SAVEPOINT ─► steps ─► constraints ─► … ─► ledger ─► COMMIT
//!              ▲           │ refused
//!              └───────────┘ ROLLBACK TO, then the search for the culprit
//! ```
//!
//! Each attempt to write stands behind a savepoint, so a refusal undoes that attempt alone. The
//! savepoint of an attempt that succeeded is released together with the setting of the next one,
//! to save a round trip. Dropped without a commit, everything is rolled back.

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::Client;
use tidegate_store::{EntryId, Partition};
use tokio_postgres::error::DbError;

use super::catalog::Quirks;
use super::culprits::{absent_rows, copied_row, orphans, taken};
use super::failure::{Verdict, is_stale_plan, judge, own, reported};
use super::refusal::{is_missing_parent, refusal};
use super::session::Session;
use super::write::{Cause, Stop, write};
use super::{ledger, letters};
use crate::change::Change;
use crate::dead_letter::DeadLetter;
use crate::envelope::Envelope;
use crate::error::{Error, Result};
use crate::held::HeldIndex;
use crate::operation::Verb;
use crate::plan::{Step, plan};
use crate::sink::{Fence, Outcome, SinkTransaction, Unit};

/// An open transaction.
pub(super) struct PostgresTransaction {
    session: Session,
    quirks: Arc<Quirks>,
    savepoint: Savepoint,
}

/// How the savepoint stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Savepoint {
    /// None is set.
    None,
    /// It is set, and nothing was written since.
    Fresh,
    /// It is set, and what was written since is to stay.
    Used,
}

/// Constraints that may be deferred are, until the end of an attempt, as in the sender's mind a
/// unit is one transaction.
const DEFER: &str = "SET CONSTRAINTS ALL DEFERRED";
/// So that they speak up inside of the savepoint.
const CHECK: &str = "SET CONSTRAINTS ALL IMMEDIATE";
const SET: &str = "SAVEPOINT tidegate";
const RELEASE: &str = "RELEASE SAVEPOINT tidegate";
const UNDO: &str = "ROLLBACK TO SAVEPOINT tidegate";

impl PostgresTransaction {
    /// Wraps a session that has begun.
    pub(super) fn new(session: Session, quirks: Arc<Quirks>) -> Self {
        Self {
            session,
            quirks,
            savepoint: Savepoint::None,
        }
    }

    /// The connection for the drain's own statements; to be followed by [`Self::done`].
    fn open(&mut self) -> Result<&Client> {
        self.session.unsettle();
        self.session.client()
    }

    fn done<T>(&mut self, result: Result<T>) -> Result<T> {
        match result {
            Ok(_) => self.session.settle(),
            Err(_) => self.session.abandon(),
        }
        result
    }

    async fn apply_units(&mut self, units: &[&Unit]) -> Result<Outcome> {
        let steps = plan(changes(units));
        match self.attempt(&steps).await? {
            None => Ok(Outcome::Applied),
            Some(stop) => self.search(units, &steps, stop).await,
        }
    }

    /// Writes all of the steps or none. A refusal is answered with why, an absence is an error.
    async fn attempt(&mut self, steps: &[Step<'_>]) -> Result<Option<Stop>> {
        let first = match self.savepoint {
            Savepoint::None => format!("{SET}; {DEFER}"),
            Savepoint::Fresh => DEFER.to_owned(),
            Savepoint::Used => format!("{RELEASE}; {SET}; {DEFER}"),
        };
        let client = self.session.client()?;
        match write(client, &self.quirks, steps, &first, CHECK).await {
            Ok(()) => {
                self.savepoint = Savepoint::Used;
                Ok(None)
            }
            Err(Stop {
                step,
                cause: Cause::NoCopy(error),
            }) => {
                let shape = step.and_then(|at| steps.get(at)).and_then(Step::shape);
                if let (Some(shape), Verdict::Refused) = (shape, judge(&error)) {
                    // The next attempt is by INSERT, and its refusal can be undone.
                    self.quirks.forbid_copy(&shape.table);
                    return Err(Error::SinkUnavailable(reported(&error)));
                }
                Err(own(error))
            }
            Err(Stop {
                step: _,
                cause: Cause::Error(error),
            }) if judge(&error) != Verdict::Refused => {
                if error.as_db_error().is_some_and(is_stale_plan) {
                    client.statement_cache.clear();
                }
                Err(own(error))
            }
            Err(stop) => {
                self.undo().await?;
                Ok(Some(stop))
            }
        }
    }

    async fn undo(&mut self) -> Result<()> {
        self.session
            .client()?
            .batch_execute(UNDO)
            .await
            .map_err(own)?;
        self.savepoint = Savepoint::Fresh;
        Ok(())
    }

    /// Finds out whose fault it was. Nothing of the units is applied when this begins.
    async fn search(&mut self, units: &[&Unit], steps: &[Step<'_>], stop: Stop) -> Result<Outcome> {
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
        let suspect = answer
            .and_then(copied_row)
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
        let Some((before, step)) = stop
            .step
            .and_then(|at| Some((steps.get(..at)?, steps.get(at)?)))
        else {
            return Ok(Vec::new());
        };
        let verb = step.shape().map(|shape| shape.verb);
        match &stop.cause {
            Cause::NoRow(known) if !known.is_empty() => Ok(known.clone()),
            Cause::NoRow(_) => self.name_behind(before, step, None).await,
            Cause::NoCopy(_) => Ok(Vec::new()),
            Cause::Error(error) => match error.as_db_error() {
                Some(answer) if is_missing_parent(answer, verb) => {
                    self.name_behind(before, step, Some(answer)).await
                }
                Some(answer) if answer.code().code() == "23505" && only_inserts(steps, step) => {
                    let client = self.session.client()?;
                    taken(client, step, answer).await.map_err(own)
                }
                _ => Ok(Vec::new()),
            },
        }
    }

    /// Brings the steps before back, to ask in the state that the stopped step has met.
    async fn name_behind(
        &mut self,
        before: &[Step<'_>],
        step: &Step<'_>,
        missing_parent: Option<&DbError>,
    ) -> Result<Vec<usize>> {
        if !before.is_empty() && self.attempt(before).await?.is_some() {
            return Ok(Vec::new());
        }
        let client = self.session.client()?;
        let named = match missing_parent {
            Some(error) => orphans(client, step, error).await,
            None => absent_rows(client, step).await,
        };
        let named = named.map_err(own)?;
        if !before.is_empty() {
            self.undo().await?;
        }
        Ok(named)
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

fn changes<'a>(units: &[&'a Unit]) -> impl Iterator<Item = &'a Change> {
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

#[async_trait]
impl SinkTransaction for PostgresTransaction {
    async fn apply(&mut self, units: &[&Unit]) -> Result<Outcome> {
        if units.iter().all(|unit| unit.changes.is_empty()) {
            return Ok(Outcome::Applied);
        }
        self.session.unsettle();
        let result = self.apply_units(units).await;
        self.done(result)
    }

    async fn hold(&mut self, shard: &Partition, letters: &[DeadLetter]) -> Result<()> {
        let result = letters::hold(self.open()?, shard, letters).await;
        self.done(result)
    }

    async fn load_held(&mut self, shard: &Partition, ids: &[EntryId]) -> Result<Vec<Envelope>> {
        let result = letters::load(self.open()?, shard, ids).await;
        self.done(result)
    }

    async fn release(&mut self, shard: &Partition, ids: &[EntryId]) -> Result<()> {
        let result = letters::release(self.open()?, shard, ids).await;
        self.done(result)
    }

    async fn discard(&mut self, shard: &Partition, ids: &[EntryId]) -> Result<()> {
        let result = letters::discard(self.open()?, shard, ids).await;
        self.done(result)
    }

    async fn advance(
        &mut self,
        shard: &Partition,
        fence: &Fence,
        position: EntryId,
        applied: u64,
    ) -> Result<bool> {
        let result = ledger::advance(self.open()?, shard, fence, position, applied).await;
        self.done(result)
    }

    async fn lock_ledger(&mut self, shard: &Partition) -> Result<Option<HeldIndex>> {
        let result = ledger::lock(self.open()?, shard).await;
        self.done(result)
    }

    async fn revise(&mut self, shard: &Partition, applied: u64) -> Result<()> {
        let result = ledger::revise(self.open()?, shard, applied).await;
        self.done(result)
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.session.commit().await
    }
}
