//! One transaction of the drain: rows, dead letters and ledger, or nothing of them.
//!
//! ```text
//! BEGIN ─► steps ─► constraints ─► … ─► ledger ─► COMMIT
//!    ▲        │ refused
//!    └────────┘ taken back, then the search for the culprit
//! ```
//!
//! A refusal undoes the attempt that met it and nothing else; see [`savepoint`](super::savepoint).
//! Dropped without a commit, everything is rolled back.

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::Client;
use tidegate_store::{EntryId, Partition};

use super::catalog::Quirks;
use super::failure::{Verdict, is_stale_plan, judge, own, reported};
use super::patience::{self, Patient};
use super::savepoint::Ground;
use super::search::changes;
use super::session::Session;
use super::write::{Cause, Stop, write};
use super::{compare, ledger, letters};
use crate::change::Change;
use crate::dead_letter::DeadLetter;
use crate::envelope::Envelope;
use crate::error::{Error, Result};
use crate::fold::fold;
use crate::held::HeldIndex;
use crate::plan::{Step, plan};
use crate::recent::Addition;
use crate::sink::{Fence, Found, Outcome, Passed, SinkTransaction, Unit};

/// An open transaction.
pub(super) struct PostgresTransaction {
    pub(super) session: Session,
    quirks: Arc<Quirks>,
    ground: Ground,
    /// What policies let pass in everything that is written, and in the last attempt of it.
    passed: (Passed, Passed),
    /// What the ledger is to remember with its next move.
    addition: Option<Addition>,
    /// Whether changes of one row may be written as one; no longer once that was refused.
    may_fold: bool,
    patience: Patient,
}

/// Constraints that may be deferred are, until the end of an attempt, as in the sender's mind a
/// unit is one transaction.
const DEFER: &str = "SET CONSTRAINTS ALL DEFERRED";
/// So that they speak up while the attempt can be taken back.
const CHECK: &str = "SET CONSTRAINTS ALL IMMEDIATE";

impl PostgresTransaction {
    /// Wraps a session that has begun.
    pub(super) fn new(
        session: Session,
        quirks: Arc<Quirks>,
        patience: Patient,
        may_fold: bool,
    ) -> Self {
        Self {
            session,
            quirks,
            ground: Ground::Clean,
            passed: <(Passed, Passed)>::default(),
            addition: None,
            may_fold,
            patience,
        }
    }

    /// The connection for the drain's own statements; to be followed by [`Self::done`].
    fn open(&mut self) -> Result<&Client> {
        self.session.unsettle();
        self.ground.touch();
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
        if self.may_fold
            && let Some(folded) = fold(changes(units))
        {
            let steps = plan(folded.iter().map(AsRef::as_ref));
            if self.attempt(&steps).await?.is_none() {
                return Ok(Outcome::Applied);
            }
            // Whose fault it was can only be said of the changes as they were sent.
            self.may_fold = false;
        }
        let steps = plan(changes(units));
        match self.attempt(&steps).await? {
            None => Ok(Outcome::Applied),
            Some(stop) => self.search(units, &steps, stop).await,
        }
    }

    /// Writes all of the steps or none. A refusal is answered with why, an absence is an error.
    pub(super) async fn attempt(&mut self, steps: &[Step<'_>]) -> Result<Option<Stop>> {
        let last = if self.quirks.has_deferrable() {
            CHECK
        } else {
            ""
        };
        self.attempt_with(steps, last).await
    }

    /// The same without a look at the constraints that are deferred, for what is taken back anyway.
    pub(super) async fn attempt_unchecked(&mut self, steps: &[Step<'_>]) -> Result<Option<Stop>> {
        self.attempt_with(steps, "").await
    }

    async fn attempt_with(&mut self, steps: &[Step<'_>], last: &str) -> Result<Option<Stop>> {
        let defer = if self.quirks.has_deferrable() {
            DEFER
        } else {
            ""
        };
        let first = match (self.ground.prepare(), defer) {
            (savepoint, "") => savepoint.to_owned(),
            ("", defer) => defer.to_owned(),
            (savepoint, defer) => format!("{savepoint}; {defer}"),
        };
        let client = self.session.client()?;
        self.passed.1 = Passed::default();
        match write(client, &self.quirks, steps, &first, last).await {
            Ok(passed) => {
                self.passed.0 += passed;
                self.passed.1 = passed;
                self.ground.keep();
                Ok(None)
            }
            Err(Stop {
                step,
                cause: Cause::NoCopy(error),
            }) => {
                let shape = step.and_then(|at| steps.get(at)).and_then(Step::shape);
                let verdict = judge(&error);
                if let (Some(shape), Verdict::Refused | Verdict::Locked) = (shape, verdict) {
                    // The next attempt is by INSERT, and its refusal can be undone.
                    self.quirks.forbid_copy(&shape.table);
                    return Err(Error::SinkUnavailable(reported(&error)));
                }
                Err(own(error))
            }
            Err(Stop {
                step: _,
                cause: Cause::Error(error),
            }) if !matches!(judge(&error), Verdict::Refused | Verdict::Locked) => {
                if error.as_db_error().is_some_and(is_stale_plan) {
                    client.statement_cache.clear();
                }
                Err(own(error))
            }
            Err(stop) => {
                if stop.is_lock() {
                    self.patience.is_met();
                }
                self.undo().await?;
                Ok(Some(stop))
            }
        }
    }

    /// Takes the last attempt back.
    pub(super) async fn undo(&mut self) -> Result<()> {
        // What was set for the transaction is taken back as well.
        let sql = format!("{}{}", self.ground.undo(), self.patience.sql());
        self.passed.0 -= std::mem::take(&mut self.passed.1);
        let client = self.session.client()?;
        client.batch_execute(&sql).await.map_err(own)
    }
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

    fn passed(&self) -> Passed {
        self.passed.0
    }

    async fn compare(&mut self, changes: &[&Change]) -> Result<Vec<Found>> {
        self.session.unsettle();
        let result = match self.session.client() {
            Ok(client) => compare::compare(client, changes).await,
            Err(error) => Err(error),
        };
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

    fn remember(&mut self, addition: Addition) {
        self.addition = Some(addition);
    }

    async fn advance(
        &mut self,
        shard: &Partition,
        fence: &Fence,
        position: EntryId,
        applied: u64,
    ) -> Result<bool> {
        let addition = self.addition.take();
        let result = ledger::advance(self.open()?, shard, fence, position, applied, addition).await;
        self.done(result)
    }

    async fn lock_ledger(&mut self, shard: &Partition) -> Result<Option<HeldIndex>> {
        let patience = self.patience.sql();
        let result = ledger::lock(self.open()?, shard, patience::ENDLESS, &patience).await;
        self.done(result)
    }

    async fn revise(&mut self, shard: &Partition, applied: u64) -> Result<()> {
        let result = ledger::revise(self.open()?, shard, applied).await;
        self.done(result)
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let quirks = self.quirks;
        // A constraint that was made deferrable behind our back: from now on it is looked at.
        self.session.commit_or(|| quirks.expect_deferrable()).await
    }
}
