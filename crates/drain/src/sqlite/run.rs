//! Runs a script inside an open transaction, in the order of the stream.
//!
//! Each unit takes place as a whole or not at all: a unit of one statement undoes itself when it
//! fails, any other stands in a savepoint. The first refused unit ends the run; what was before it
//! stays applied. If the process dies here, the transaction never was.

use rusqlite::{CachedStatement, Connection};

use super::cell;
use super::failure::from_sqlite;
use super::refusal::{Phase, by_deferred_key, by_sqlite, no_such_row};
use super::script::{Script, Shape};
use super::statement::exists;
use super::writer::OpenTransaction;
use crate::cells;
use crate::error::{Error, Result};
use crate::operation::Verb;
use crate::policy::OnMissing;
use crate::sink::{Outcome, Passed, Refusal};

/// Why a unit was not applied.
pub(super) enum Failed {
    /// Because of what it says.
    Refused(Refusal),
    /// Because of something else: the transaction is worthless.
    Error(Error),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Error(from_sqlite(error))
    }
}

/// Runs a script. What the tables' policies let pass is returned as well.
pub(super) fn run(open: &OpenTransaction, script: &Script) -> Result<(Outcome, Passed)> {
    let connection = open.connection()?;
    let mut run = Run {
        connection,
        script,
        cells: script.cells.iter(),
        statement: None,
        passed: Passed::default(),
    };
    for (index, unit) in script.units.iter().enumerate() {
        let passed = run.passed;
        let done = if run.needs_savepoint(unit) || open.deferred().may_exist() {
            run.unit_in_savepoint(open, unit)
        } else {
            run.unit(unit)
        };
        match done {
            Ok(()) => {}
            Err(Failed::Refused(refusal)) => {
                let outcome = Outcome::Refused {
                    applied: index,
                    culprits: vec![(index, refusal)],
                };
                return Ok((outcome, passed));
            }
            Err(Failed::Error(error)) => return Err(error),
        }
    }
    Ok((Outcome::Applied, run.passed))
}

struct Run<'a> {
    connection: &'a Connection,
    script: &'a Script,
    cells: cells::Iter<'a>,
    /// The statement of the last change; changes of one shape mostly come in a row.
    statement: Option<(usize, CachedStatement<'a>)>,
    /// What the tables' policies let pass.
    passed: Passed,
}

impl Run<'_> {
    /// A trigger can leave effects behind when it fails with `RAISE(FAIL)`.
    fn needs_savepoint(&self, unit: &[usize]) -> bool {
        let has_triggers = |index: &usize| {
            self.script
                .shapes
                .get(*index)
                .is_some_and(|shape| shape.table.is_ordered)
        };
        unit.len() > 1 || unit.iter().any(has_triggers)
    }

    fn unit_in_savepoint(&mut self, open: &OpenTransaction, unit: &[usize]) -> Result<(), Failed> {
        self.execute("SAVEPOINT tidegate_unit")?;
        let mut done = self.unit(unit);
        let deferred = open.deferred();
        if done.is_ok() && deferred.may_exist() && deferred.are_violated(self.connection)? {
            let shapes = unit
                .iter()
                .filter_map(|index| self.script.shapes.get(*index));
            done = Err(Failed::Refused(by_deferred_key(shapes)));
        }
        match &done {
            Ok(()) => {}
            Err(Failed::Refused(_)) => self.execute("ROLLBACK TO tidegate_unit")?,
            Err(Failed::Error(_)) => return done,
        }
        self.execute("RELEASE tidegate_unit")?;
        done
    }

    fn unit(&mut self, unit: &[usize]) -> Result<(), Failed> {
        unit.iter().try_for_each(|index| self.change(*index))
    }

    fn change(&mut self, index: usize) -> Result<(), Failed> {
        let Some(shape) = self.script.shapes.get(index) else {
            return Err(broken_script());
        };
        let mut statement = match self.statement.take() {
            Some((last, statement)) if last == index => statement,
            _ => self
                .connection
                .prepare_cached(&shape.sql)
                .map_err(|error| self.judge(error, shape, Phase::Prepare))?,
        };
        let from = self.cells.clone();
        for number in 1..=shape.parameters {
            let value = self
                .cells
                .next()
                .and_then(cell::to_sql)
                .ok_or_else(broken_script)?;
            statement
                .raw_bind_parameter(number, value)
                .map_err(|error| self.judge(error, shape, Phase::Run))?;
        }
        let rows = statement
            .raw_execute()
            .map_err(|error| self.judge(error, shape, Phase::Run))?;
        self.statement = Some((index, statement));
        if rows == 0 {
            self.nothing_was_changed(shape, from)?;
        }
        Ok(())
    }

    /// Decides, by the table's policy, what a change is that found nothing to do.
    fn nothing_was_changed(
        &mut self,
        shape: &Shape,
        mut cells: cells::Iter<'_>,
    ) -> Result<(), Failed> {
        let policy = shape.table.policy;
        if policy.version.is_some() && matches!(shape.verb, Verb::Update | Verb::Upsert) {
            let mut exists = self.connection.prepare_cached(&exists(&shape.table))?;
            for number in 1..=shape.table.primary_key.len() {
                let value = cells.next().and_then(cell::to_sql);
                exists.raw_bind_parameter(number, value.ok_or_else(broken_script)?)?;
            }
            if shape.verb == Verb::Upsert || exists.raw_query().next()?.is_some() {
                self.passed.stale += 1;
                return Ok(());
            }
        }
        if policy.needs_row(shape.verb) {
            return Err(Failed::Refused(no_such_row(shape)));
        }
        if shape.verb == Verb::Update && policy.on_missing_update == OnMissing::Skip {
            self.passed.skipped += 1;
        }
        Ok(())
    }

    fn judge(&self, error: rusqlite::Error, shape: &Shape, phase: Phase) -> Failed {
        if self.connection.is_autocommit() {
            // Units that were applied before this one are undone as well, so it can't be left out.
            return Failed::Error(Error::SinkRefused(
                format!(
                    "a trigger of table {:?} rolls the whole transaction back ({error}); let it \
                     RAISE(ABORT, …) instead of RAISE(ROLLBACK, …)",
                    shape.table.name
                )
                .into(),
            ));
        }
        by_sqlite(self.connection, error, shape, phase)
    }

    fn execute(&self, sql: &str) -> Result<(), Failed> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

fn broken_script() -> Failed {
    Failed::Error(Error::Invalid(
        "a change has fewer cells than its statement takes".to_owned(),
    ))
}
