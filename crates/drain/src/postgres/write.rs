//! Writes the steps of a plan: in order, with as few round trips as they allow.
//!
//! A statement that is prepared already is sent at once behind the others; one that is new waits for
//! the server first, and COPY for all that was written before it. What is written here can be taken
//! back; the first error leaves that to the caller.

use deadpool_postgres::Client;
use tokio_postgres::types::ToSql;

use super::catalog::Quirks;
use super::copy::copy;
use super::culprits::absent_rows;
use super::method::{self, Method, may_suppress};
use super::parameter::{Cell, columns};
use super::pipeline::{Pipeline, Request};
use super::statement;
use crate::change::Change;
use crate::operation::Verb;
use crate::plan::Step;
use crate::policy::OnMissing;
use crate::sink::Passed;

/// Why the steps could not be written to the end.
#[derive(Debug)]
pub(super) struct Stop {
    /// The step, where it is known: a constraint that is checked at the end names none.
    pub(super) step: Option<usize>,
    /// What happened.
    pub(super) cause: Cause,
}

/// What stopped the writing.
#[derive(Debug)]
pub(super) enum Cause {
    /// The database said so.
    Error(tokio_postgres::Error),
    /// COPY was refused before it took any data. The driver has sent the end of the data all the
    /// same, so from here on its answers don't belong to their requests: the connection is lost.
    NoCopy(tokio_postgres::Error),
    /// Updates found no row: these changes of the step; with none, it is not known which.
    NoRow(Vec<usize>),
}

/// Sends `first`, writes the steps, sends `last`, and awaits all answers. Nothing is sent for an
/// empty text. Returns what the tables' policies let pass.
pub(super) async fn write(
    client: &Client,
    quirks: &Quirks,
    steps: &[Step<'_>],
    first: &str,
    last: &str,
) -> Result<Passed, Stop> {
    let mut pipeline = Pipeline::default();
    let mut passed = Passed::default();
    if !first.is_empty() {
        pipeline.send(Request::Frame, frame(client, first)).await;
    }
    for (index, step) in steps.iter().enumerate() {
        let Some(shape) = step.shape() else { continue };
        let method = method::choose(step, quirks);
        if method == Method::Copy && pipeline.has_writes() {
            settle(&mut pipeline).await?;
        }
        if let Err(cause) = send(client, &mut pipeline, method, index, step).await {
            // An earlier request's error comes first: this one may only be its consequence.
            settle(&mut pipeline).await?;
            return Err(Stop {
                step: Some(index),
                cause,
            });
        }
        if shape.table.policy.is_lenient(shape.verb) {
            passed += settle_leniently(client, &mut pipeline, index, step).await?;
        } else if needs_row(shape) && may_suppress(&shape.table) {
            settle_with_triggers(client, &mut pipeline, index, step).await?;
        }
    }
    if !last.is_empty() {
        pipeline.send(Request::Frame, frame(client, last)).await;
    }
    settle(&mut pipeline).await?;
    Ok(passed)
}

fn needs_row(shape: &Change) -> bool {
    shape.table.policy.needs_row(shape.verb)
}

async fn frame(client: &Client, sql: &str) -> Result<u64, tokio_postgres::Error> {
    client.batch_execute(sql).await.map(|()| 0)
}

/// Sends one step.
async fn send<'a>(
    client: &'a Client,
    pipeline: &mut Pipeline<'a>,
    method: Method,
    index: usize,
    step: &Step<'a>,
) -> Result<(), Cause> {
    let Some(shape) = step.shape() else {
        return Ok(());
    };
    let method = match method {
        Method::Copy if !is_as_read(client, shape).await.map_err(Cause::Error)? => Method::Bulk,
        method => method,
    };
    let sql = statement::text(shape, method);
    let prepared = pipeline.beside(client.prepare_cached(&sql)).await;
    let statement = prepared.map_err(Cause::Error)?;
    let is_counted = needs_row(shape) || shape.table.policy.is_lenient(shape.verb);
    match method {
        Method::Copy => return pipeline.beside(copy(client, &statement, step)).await,
        Method::Bulk => {
            let rows_min = if is_counted {
                step.changes.len() as u64
            } else {
                0
            };
            let request = Request::Write {
                step: index,
                change: None,
                rows_min,
            };
            let columns = columns(step);
            let answer = async move { client.execute_raw(&statement, columns).await };
            pipeline.send(request, answer).await;
        }
        Method::Single => {
            for (change, row) in step.changes.iter().enumerate() {
                let rows_min = u64::from(is_counted);
                let request = Request::Write {
                    step: index,
                    change: Some(change),
                    rows_min,
                };
                let cells: Vec<Cell<'_>> = row.cells.iter().map(Cell).collect();
                let statement = statement.clone();
                let answer = async move { client.execute_raw(&statement, cells).await };
                pipeline.send(request, answer).await;
            }
        }
    }
    Ok(())
}

/// Whether the columns still have the types that the cells were encoded for. COPY takes bytes for
/// what they are not, where another statement converts or refuses them. The look leaves a lock on the
/// table until the end of the transaction, so that it stays true; and a statement that was
/// prepared for other types fails.
async fn is_as_read(client: &Client, shape: &Change) -> Result<bool, tokio_postgres::Error> {
    let look = client.prepare_cached(&statement::look(shape)).await?;
    let no_parameters: [&(dyn ToSql + Sync); 0] = [];
    client.execute(&look, &no_parameters).await?;
    Ok(statement::given(shape)
        .zip(look.columns())
        .all(|(column, found)| statement::is_type(&column.cell_type, found.type_().name())))
}

/// Awaits the answers; updates that wrote too few rows found no row.
async fn settle(pipeline: &mut Pipeline<'_>) -> Result<(), Stop> {
    let answers = pipeline.settle().await.map_err(stopped)?;
    let Some((step, _, _)) = answers.short.first().copied() else {
        return Ok(());
    };
    let of_step = answers.short.iter().filter(|(other, ..)| *other == step);
    let changes: Vec<usize> = of_step.filter_map(|(_, change, _)| *change).collect();
    Err(Stop {
        step: Some(step),
        cause: Cause::NoRow(changes),
    })
}

/// A trigger may keep an update back although the row is there; then it counts as applied.
async fn settle_with_triggers(
    client: &Client,
    pipeline: &mut Pipeline<'_>,
    index: usize,
    step: &Step<'_>,
) -> Result<(), Stop> {
    let Err(stop) = settle(pipeline).await else {
        return Ok(());
    };
    let Cause::NoRow(changes) = &stop.cause else {
        return Err(stop);
    };
    if stop.step != Some(index) {
        return Err(stop);
    }
    let in_step = |error| Stop {
        step: Some(index),
        cause: Cause::Error(error),
    };
    let absent = absent_rows(client, step).await.map_err(in_step)?;
    let changes: Vec<usize> = changes
        .iter()
        .copied()
        .filter(|change| absent.contains(change))
        .collect();
    if changes.is_empty() {
        return Ok(());
    }
    Err(Stop {
        step: Some(index),
        cause: Cause::NoRow(changes),
    })
}

/// A policy may let changes pass that found nothing to do: rows that are not there, or are newer.
async fn settle_leniently(
    client: &Client,
    pipeline: &mut Pipeline<'_>,
    index: usize,
    step: &Step<'_>,
) -> Result<Passed, Stop> {
    let answers = pipeline.settle().await.map_err(stopped)?;
    let short = answers.short.iter();
    if let Some((other, change, _)) = short.clone().find(|(at, ..)| *at != index) {
        return Err(Stop {
            step: Some(*other),
            cause: Cause::NoRow(change.iter().copied().collect()),
        });
    }
    let missed: u64 = short.clone().map(|(.., rows)| rows).sum();
    let mut passed = Passed::default();
    let Some(shape) = step.shape().filter(|_| missed > 0) else {
        return Ok(passed);
    };
    let policy = shape.table.policy;
    if policy.version.is_none() {
        passed.skipped = missed;
        return Ok(passed);
    }
    passed.stale = missed;
    if shape.verb == Verb::Upsert {
        return Ok(passed);
    }
    let in_step = |cause| Stop {
        step: Some(index),
        cause,
    };
    let mut absent = absent_rows(client, step)
        .await
        .map_err(|error| in_step(Cause::Error(error)))?;
    let known: Vec<usize> = short.filter_map(|(_, change, _)| *change).collect();
    if !known.is_empty() {
        // A row that was moved to another key is gone, and was not missed.
        absent.retain(|change| known.contains(change));
    }
    if absent.is_empty() {
        return Ok(passed);
    }
    if policy.on_missing_update == OnMissing::DeadLetter {
        return Err(in_step(Cause::NoRow(absent)));
    }
    passed.skipped = absent.len() as u64;
    passed.stale = missed.saturating_sub(passed.skipped);
    Ok(passed)
}

fn stopped((request, error): (Request, tokio_postgres::Error)) -> Stop {
    let step = match request {
        Request::Frame => None,
        Request::Write { step, .. } => Some(step),
    };
    Stop {
        step,
        cause: Cause::Error(error),
    }
}
