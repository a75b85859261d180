//! Cells as parameters: their bytes are bound as they are.
//!
//! A cell was encoded for the type that its placeholder is cast to, so there is nothing left to
//! convert. Values are never shown, as the driver's log would print parameters.
//!
//! Source: PostgreSQL, `array_recv` in `src/backend/utils/adt/arrayfuncs.c`.

use std::error::Error;
use std::fmt;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::plan::Step;

/// One cell.
pub(super) struct Cell<'a>(pub(super) Option<&'a [u8]>);

impl ToSql for Cell<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            None => Ok(IsNull::Yes),
            Some(content) => {
                out.put_slice(content);
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl fmt::Debug for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The cells of a column, one below the other.
#[derive(Default)]
pub(super) struct Column {
    framed: Vec<u8>,
    count: usize,
    has_null: bool,
}

impl ToSql for Column {
    fn to_sql(
        &self,
        type_: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Kind::Array(element) = type_.kind() else {
            return Err(format!("{type_} is no array").into());
        };
        let dimensions = 1;
        let lower_bound = 1;
        out.put_i32(dimensions);
        out.put_i32(i32::from(self.has_null));
        out.put_u32(element.oid());
        out.put_i32(i32::try_from(self.count)?);
        out.put_i32(lower_bound);
        out.put_slice(&self.framed);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cells", self.count)
    }
}

/// Turns the rows of a step into columns: all of them, in the order of the cells.
pub(super) fn columns(step: &Step<'_>) -> Vec<Column> {
    let width = step.shape().map_or(0, |shape| shape.cells.iter().count());
    let mut columns: Vec<Column> = (0..width).map(|_| Column::default()).collect();
    for change in &step.changes {
        let mut cells = change.cells.iter();
        for column in &mut columns {
            if let Some(framed) = cells.next_framed() {
                column.push(framed);
            }
        }
    }
    columns
}

/// The columns at these places of the rows' cells.
pub(super) fn columns_at(step: &Step<'_>, places: &[usize]) -> Vec<Column> {
    let mut all: Vec<Option<Column>> = columns(step).into_iter().map(Some).collect();
    let take = |place: &usize| all.get_mut(*place).and_then(Option::take);
    places.iter().filter_map(take).collect()
}

impl Column {
    fn push(&mut self, framed: &[u8]) {
        // The frame of NULL is a negative length.
        self.has_null |= framed.first().is_some_and(|byte| byte & 0x80 != 0);
        self.framed.extend_from_slice(framed);
        self.count += 1;
    }
}
