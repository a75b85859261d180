//! Names the bad rows of a batch with one query, where the database named only the first.
//!
//! Rows that wait for a parent in another shard come in crowds, and so do rows that are there
//! already because somebody sends a day's operations again. Found by halves, each of them would
//! cost a dozen statements.
//!
//! It names a row only where it is certain: the row is refused whatever becomes of the others.

use deadpool_postgres::Client;
use futures::TryStreamExt;
use tokio_postgres::error::DbError;
use tokio_postgres::{Error, Row};

use super::catalog::{FOREIGN_KEY, UNIQUE_KEY};
use super::identifier::qualified;
use super::parameter::columns_at;
use super::statement;
use crate::catalog::{Column, Table};
use crate::change::Change;
use crate::operation::Verb;
use crate::plan::Step;

/// The changes of a step whose row is not there, by their places in the step. To be asked in the
/// state in which the step is written.
pub(super) async fn absent_rows(client: &Client, step: &Step<'_>) -> Result<Vec<usize>, Error> {
    let Some(shape) = step.shape() else {
        return Ok(Vec::new());
    };
    let table = &shape.table;
    let keys = table
        .primary_key
        .iter()
        .filter_map(|index| table.columns.get(*index));
    let pairs: Vec<_> = keys.map(|column| (column, column.name.as_str())).collect();
    let places: Vec<usize> = (0..pairs.len()).collect();
    let sql = statement::search(&pairs, &statement::name(table), false);
    ask(client, &sql, step, &places).await
}

/// The changes of a step whose parent row is not there, by the foreign key in the error. To be
/// asked in the state in which the step is written. Where a later step may bring the parent, as
/// the stream's own order might have done before, nobody is named.
pub(super) async fn orphans(
    client: &Client,
    step: &Step<'_>,
    later: &[Step<'_>],
    are_siblings_there: bool,
    error: &DbError,
) -> Result<Vec<usize>, Error> {
    let Some(row) = constraint(client, FOREIGN_KEY, error).await? else {
        return Ok(Vec::new());
    };
    let (schema, parent): (&str, &str) = (row.get(0), row.get(1));
    let (own, others): (Vec<&str>, Vec<&str>) = (row.get(2), row.get(3));
    let Some(shape) = step.shape() else {
        return Ok(Vec::new());
    };
    let is_parent = |table: &Table| table.schema == schema && table.name == parent;
    // A parent in the same statement is not seen before it is written.
    let is_blind = is_parent(&shape.table) && !are_siblings_there;
    let may_follow = later
        .iter()
        .filter_map(Step::shape)
        .any(|shape| is_parent(&shape.table));
    let given = given(shape, &own);
    if is_blind || may_follow || given.len() != own.len() {
        return Ok(Vec::new());
    }
    let places: Vec<usize> = given.iter().map(|(place, _)| *place).collect();
    let pairs: Vec<_> = given
        .iter()
        .map(|(_, column)| *column)
        .zip(others)
        .collect();
    let sql = statement::search(&pairs, &qualified(schema, parent), false);
    ask(client, &sql, step, &places).await
}

/// The new rows of a step whose unique key is taken, by the constraint in the error. To be asked
/// in the state before the whole batch, and only where the batch frees no key of the table.
pub(super) async fn taken(
    client: &Client,
    step: &Step<'_>,
    error: &DbError,
) -> Result<Vec<usize>, Error> {
    let Some(row) = constraint(client, UNIQUE_KEY, error).await? else {
        return Ok(Vec::new());
    };
    let own: Vec<&str> = row.get(0);
    let Some(shape) = step.shape() else {
        return Ok(Vec::new());
    };
    let given = given(shape, &own);
    let is_same = error.table() == Some(&shape.table.name);
    if !is_same || given.len() != own.len() {
        return Ok(Vec::new());
    }
    let places: Vec<usize> = given.iter().map(|(place, _)| *place).collect();
    let pairs: Vec<_> = given.iter().map(|(_, column)| *column).zip(own).collect();
    let sql = statement::search(&pairs, &statement::name(&shape.table), true);
    ask(client, &sql, step, &places).await
}

/// The row of a COPY into the table that the error is about, counted from 0. The words around the
/// number are in the server's language.
pub(super) fn copied_row(error: &DbError, table: &str) -> Option<usize> {
    // A trigger's own context stands on lines before.
    let context = error
        .where_()?
        .lines()
        .find_map(|line| line.strip_prefix("COPY "))?;
    let after_name = context.strip_prefix(table)?;
    let digits = after_name
        .split(|c: char| !c.is_ascii_digit())
        .find(|part| !part.is_empty())?;
    digits.parse::<usize>().ok()?.checked_sub(1)
}

/// What the catalog says of the constraint in an error.
async fn constraint(client: &Client, sql: &str, error: &DbError) -> Result<Option<Row>, Error> {
    let (Some(schema), Some(table), Some(name)) =
        (error.schema(), error.table(), error.constraint())
    else {
        return Ok(None);
    };
    client.query_opt(sql, &[&schema, &table, &name]).await
}

/// Where the named columns stand in the cells of a change of this shape, as far as they are given.
pub(super) fn given<'a>(shape: &'a Change, names: &[&str]) -> Vec<(usize, &'a Column)> {
    let skipped = if shape.verb == Verb::Update {
        shape.table.primary_key.len()
    } else {
        0
    };
    let find = |name: &&str| {
        let columns = shape
            .columns
            .iter()
            .filter_map(|index| shape.table.columns.get(*index));
        let mut placed = columns.enumerate();
        placed
            .find(|(_, column)| column.name == **name)
            .map(|(at, column)| (at + skipped, column))
    };
    names.iter().filter_map(find).collect()
}

/// Asks a question about the cells at these places of the step's changes; the answer is places.
pub(super) async fn ask(
    client: &Client,
    sql: &str,
    step: &Step<'_>,
    places: &[usize],
) -> Result<Vec<usize>, Error> {
    let statement = client.prepare(sql).await?;
    let rows = client
        .query_raw(&statement, columns_at(step, places))
        .await?;
    let found: Vec<i64> = rows
        .map_ok(|row| row.get::<_, i64>(0))
        .try_collect()
        .await?;
    // Places are counted from 1.
    Ok(found
        .into_iter()
        .filter_map(|place| usize::try_from(place - 1).ok())
        .collect())
}
