//! What is in the place of new rows that met a conflict: nothing, the same row, or another one.
//!
//! It is asked inside of the transaction, in whatever state it is in, and changes nothing: where a
//! type knows no equality, the failed question is taken back to a savepoint of its own and asked
//! again by the values' texts.

use deadpool_postgres::Client;
use futures::TryStreamExt;
use tokio_postgres::{Error, Row};

use super::failure::{Verdict, judge, own};
use super::parameter::columns_at;
use super::statement;
use crate::change::Change;
use crate::error::Result;
use crate::plan::Step;
use crate::sink::Found;

/// See [`SinkTransaction::compare`](crate::sink::SinkTransaction::compare).
pub(super) async fn compare(client: &Client, changes: &[&Change]) -> Result<Vec<Found>> {
    let mut found = vec![Found::Nothing; changes.len()];
    // Without its key a row has no place.
    let mut open: Vec<usize> = (0..changes.len())
        .filter(|at| changes.get(*at).is_some_and(|change| change.row.is_some()))
        .collect();
    while let Some(shape) = open.first().and_then(|at| changes.get(*at).copied()) {
        let is_alike = |at: &usize| changes.get(*at).is_some_and(|other| alike(shape, other));
        let (places, others) = open.into_iter().partition::<Vec<_>, _>(is_alike);
        open = others;
        let step = Step {
            changes: places
                .iter()
                .filter_map(|at| changes.get(*at).copied())
                .collect(),
        };
        for row in ask_twice(client, shape, &step).await? {
            let place = usize::try_from(row.get::<_, i64>(0) - 1).ok();
            let at = place.and_then(|place| places.get(place));
            if let Some(answer) = at.and_then(|at| found.get_mut(*at)) {
                *answer = match (row.get(1), row.get(2)) {
                    (true, _) => Found::Same,
                    (false, true) => Found::Newer,
                    (false, false) => Found::Different,
                };
            }
        }
    }
    Ok(found)
}

fn alike(a: &Change, b: &Change) -> bool {
    std::sync::Arc::ptr_eq(&a.table, &b.table) && a.columns == b.columns
}

async fn ask_twice(client: &Client, shape: &Change, step: &Step<'_>) -> Result<Vec<Row>> {
    client
        .batch_execute("SAVEPOINT tidegate_compare")
        .await
        .map_err(own)?;
    let answer = match ask(client, &statement::compare(shape, false), step).await {
        Err(error) if judge(&error) == Verdict::Refused => {
            client
                .batch_execute("ROLLBACK TO SAVEPOINT tidegate_compare")
                .await
                .map_err(own)?;
            ask(client, &statement::compare(shape, true), step).await
        }
        answer => answer,
    };
    let rows = answer.map_err(own)?;
    client
        .batch_execute("RELEASE SAVEPOINT tidegate_compare")
        .await
        .map_err(own)?;
    Ok(rows)
}

async fn ask(client: &Client, sql: &str, step: &Step<'_>) -> Result<Vec<Row>, Error> {
    let statement = client.prepare(sql).await?;
    let width = step.shape().map_or(0, |shape| shape.columns.len());
    let places: Vec<usize> = (0..width).collect();
    let rows = client
        .query_raw(&statement, columns_at(step, &places))
        .await?;
    rows.try_collect().await
}
