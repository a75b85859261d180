//! Rows as they are, beside what changes would make of them: a question that changes nothing.
//!
//! The database writes both values, so that they can be compared by people too.

use deadpool_postgres::{Client, Pool};
use futures::TryStreamExt;
use tokio_postgres::{Error, Row};

use super::failure::{Verdict, judge, own};
use super::parameter::columns_at;
use super::session::Session;
use super::statement;
use crate::change::Change;
use crate::diff::{Glance, Peek};
use crate::error::Result;
use crate::plan::Step;

/// See [`Sink::peek`](crate::Sink::peek).
pub(super) async fn peek(pool: &Pool, changes: &[Change]) -> Result<Vec<Peek>> {
    let mut found: Vec<Peek> = changes.iter().map(|_| Peek::default()).collect();
    let mut open: Vec<usize> = (0..changes.len()).collect();
    while let Some(shape) = open.first().and_then(|at| changes.get(*at)) {
        let is_alike = |at: &usize| {
            let other = changes.get(*at);
            other.is_some_and(|other| {
                std::sync::Arc::ptr_eq(&shape.table, &other.table) && shape.columns == other.columns
            })
        };
        let (places, others) = open.into_iter().partition::<Vec<_>, _>(is_alike);
        open = others;
        let step = Step {
            changes: places.iter().filter_map(|at| changes.get(*at)).collect(),
        };
        for row in ask_twice(pool, shape, &step).await? {
            let place = usize::try_from(row.get::<_, i64>(0) - 1).ok();
            let at = place.and_then(|place| places.get(place));
            if let Some(peek) = at.and_then(|at| found.get_mut(*at)) {
                *peek = read(&row, shape);
            }
        }
    }
    Ok(found)
}

fn read(row: &Row, shape: &Change) -> Peek {
    let old: Vec<Option<String>> = row.get(2);
    let new: Vec<Option<String>> = row.get(3);
    let same: Vec<bool> = row.get(4);
    let mut columns: Vec<Glance> = old
        .into_iter()
        .map(|old| Glance {
            old,
            ..Glance::default()
        })
        .collect();
    for ((index, new), is_same) in shape.columns.iter().zip(new).zip(same) {
        if let Some(glance) = columns.get_mut(*index) {
            glance.new = Some(new);
            glance.is_same = is_same;
        }
    }
    Peek {
        is_there: row.get(1),
        columns,
    }
}

/// Where a type knows no equality, the values are compared by their texts.
async fn ask_twice(pool: &Pool, shape: &Change, step: &Step<'_>) -> Result<Vec<Row>> {
    let first = in_session(pool, &statement::peek(shape, false), step).await?;
    let answer = match first {
        Err(error) if judge(&error) == Verdict::Refused => {
            in_session(pool, &statement::peek(shape, true), step).await?
        }
        answer => answer,
    };
    answer.map_err(own)
}

async fn in_session(pool: &Pool, sql: &str, step: &Step<'_>) -> Result<Result<Vec<Row>, Error>> {
    let mut session = Session::begin_with(pool, " READ ONLY").await?;
    session.unsettle();
    let answer = ask(session.client()?, sql, step).await;
    // Dropped like this the transaction is rolled back.
    session.settle();
    Ok(answer)
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
