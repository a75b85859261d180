//! Writes the steps of a plan: in order, with as few round trips as they allow.
//!
//! A statement that is prepared already is sent at once behind the others; one that is new waits for
//! the server first, and COPY for all that was written before it. What is written here can be taken
//! back; the first error leaves that to the caller.

use deadpool_postgres::Client;

use super::catalog::Quirks;
use super::copy::copy;
use super::culprits::absent_rows;
use super::method::{self, Method, may_suppress};
use super::parameter::{Cell, columns};
use super::pipeline::{Pipeline, Request};
use super::statement;
use crate::operation::Verb;
use crate::plan::Step;

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
/// empty text.
pub(super) async fn write(
    client: &Client,
    quirks: &Quirks,
    steps: &[Step<'_>],
    first: &str,
    last: &str,
) -> Result<(), Stop> {
    let mut pipeline = Pipeline::default();
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
        if shape.verb == Verb::Update && may_suppress(&shape.table) {
            settle_with_triggers(client, &mut pipeline, index, step).await?;
        }
    }
    if !last.is_empty() {
        pipeline.send(Request::Frame, frame(client, last)).await;
    }
    settle(&mut pipeline).await
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
    let sql = statement::text(shape, method);
    let prepared = pipeline.beside(client.prepare_cached(&sql)).await;
    let statement = prepared.map_err(Cause::Error)?;
    let is_update = shape.verb == Verb::Update;
    match method {
        Method::Copy => return pipeline.beside(copy(client, &statement, step)).await,
        Method::Bulk => {
            let rows_min = if is_update {
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
                let rows_min = u64::from(is_update);
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

/// Awaits the answers; updates that wrote too few rows found no row.
async fn settle(pipeline: &mut Pipeline<'_>) -> Result<(), Stop> {
    let answers = pipeline.settle().await.map_err(stopped)?;
    let Some((step, _)) = answers.short.first().copied() else {
        return Ok(());
    };
    let of_step = answers.short.iter().filter(|(other, _)| *other == step);
    let changes: Vec<usize> = of_step.filter_map(|(_, change)| *change).collect();
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
