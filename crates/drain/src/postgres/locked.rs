//! Whose row or table somebody else has locked, when a batch met a lock and gave up waiting.
//!
//! A lock on rows is told from one on a table by asking for the rows without waiting: those that
//! are skipped are locked. Where none is (or the question itself has to wait), all units that touch
//! the table have to stand in line for it. That may be more than must wait (a new child of one
//! locked parent row), never less.
//!
//! Everything here happens behind the transaction's savepoint, like the rest of the
//! [`search`](super::search).

use deadpool_postgres::Client;
use tokio_postgres::Error;

use super::culprits::{ask, given};
use super::failure::{Verdict, judge, own};
use super::refusal::refusal;
use super::search::{changes_at, indexes};
use super::statement;
use super::transaction::PostgresTransaction;
use super::write::{Cause, Stop};
use crate::catalog::Column;
use crate::error::Result;
use crate::locks::{Lock, TableKey};
use crate::operation::Verb;
use crate::plan::Step;
use crate::sink::{Outcome, Refusal, Unit};

impl Stop {
    /// Whether a lock was waited for in vain.
    pub(super) fn is_lock(&self) -> bool {
        matches!(&self.cause, Cause::Error(error) if judge(error) == Verdict::Locked)
    }
}

impl PostgresTransaction {
    /// Finds out which units the lock holds up. Nothing of the units is applied when this begins.
    pub(super) async fn search_lock(
        &mut self,
        units: &[&Unit],
        steps: &[Step<'_>],
        stop: &Stop,
    ) -> Result<Outcome> {
        let refused = |culprits| {
            Ok(Outcome::Refused {
                applied: 0,
                culprits,
            })
        };
        let refusal = refusal(stop, steps);
        let Some(step) = stop.step.and_then(|at| steps.get(at)) else {
            // A constraint that is checked at the end: the caller finds the unit by halves.
            let only = (units.len() == 1).then_some((0, refusal));
            return refused(only.into_iter().collect());
        };
        let rows = self.locked_rows(step).await?;
        let at_fault = indexes(units, &changes_at(step, &rows));
        if !at_fault.is_empty() {
            let refusal = Refusal {
                lock: Lock::Row,
                ..refusal
            };
            let named = at_fault.into_iter().map(|index| (index, refusal.clone()));
            return refused(named.collect());
        }
        let Some(table) = step.shape().map(|shape| TableKey::of(&shape.table)) else {
            return refused(Vec::new());
        };
        let touches = |unit: &Unit| {
            let mut tables = unit.changes.iter().map(|change| &change.table);
            tables.any(|of| TableKey::of(of) == table)
        };
        let named = units.iter().enumerate().filter(|(_, unit)| touches(unit));
        refused(named.map(|(index, _)| (index, refusal.clone())).collect())
    }

    /// The places of a step's changes whose row is locked.
    async fn locked_rows(&mut self, step: &Step<'_>) -> Result<Vec<usize>> {
        let client = self.session.client()?;
        let rows = match locked_rows(client, step).await {
            Ok(rows) => rows,
            Err(error) => match judge(&error) {
                Verdict::Unavailable => return Err(own(error)),
                // The whole table is locked, or may not be read in this way.
                _ => Vec::new(),
            },
        };
        // The question has locked the rows that are free.
        self.undo().await?;
        Ok(rows)
    }
}

async fn locked_rows(client: &Client, step: &Step<'_>) -> Result<Vec<usize>, Error> {
    let Some(shape) = step.shape() else {
        return Ok(Vec::new());
    };
    let table = &shape.table;
    let keys: Vec<&Column> = table
        .primary_key
        .iter()
        .filter_map(|index| table.columns.get(*index))
        .collect();
    let names: Vec<&str> = keys.iter().map(|column| column.name.as_str()).collect();
    let places: Vec<usize> = match shape.verb {
        Verb::Insert => return Ok(Vec::new()),
        Verb::Update | Verb::Delete => (0..keys.len()).collect(),
        Verb::Upsert => given(shape, &names).iter().map(|(at, _)| *at).collect(),
    };
    if places.is_empty() || places.len() != keys.len() {
        return Ok(Vec::new());
    }
    ask(client, &statement::locked(table, &keys), step, &places).await
}
