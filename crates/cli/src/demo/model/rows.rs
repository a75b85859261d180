//! The model's rows: plain structs, and the cells by which they are compared with the tables.

use std::sync::Arc;

use rusqlite::types::Value;

/// A row's cells, in the order of its table's columns.
pub(crate) type Row = Vec<Value>;

/// A row that knows its cells.
pub(super) trait Cells {
    /// The cells of the row with this id, in the order of the table's columns in `schema`.
    fn cells(&self, id: &str) -> Row;
}

#[derive(Clone, Debug)]
pub(super) struct Customer {
    pub(super) email: String,
    pub(super) name: String,
    pub(super) country: &'static str,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) merchant: u32,
    pub(super) customer: Arc<str>,
    pub(super) amount_minor: i64,
    pub(super) currency: &'static str,
    pub(super) status: &'static str,
    pub(super) captured_minor: i64,
    pub(super) refunded_minor: i64,
    pub(super) failure_code: Option<&'static str>,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) payment: Arc<str>,
    pub(super) number: i64,
    pub(super) connector: &'static str,
    pub(super) status: &'static str,
    pub(super) error_code: Option<&'static str>,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Refund {
    pub(super) payment: Arc<str>,
    pub(super) amount_minor: i64,
    pub(super) currency: &'static str,
    pub(super) status: &'static str,
    pub(super) reason: Option<&'static str>,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
}

/// A row of the log; its order is that of its cells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LogRow {
    pub(super) payment: Arc<str>,
    pub(super) kind: &'static str,
    pub(super) amount_minor: Option<i64>,
    pub(super) at_ms: i64,
}

impl Cells for Customer {
    fn cells(&self, id: &str) -> Row {
        vec![
            text(id),
            text(&self.email),
            text(&self.name),
            text(self.country),
            time(self.created_ms),
            time(self.updated_ms),
        ]
    }
}

impl Cells for Payment {
    fn cells(&self, id: &str) -> Row {
        vec![
            text(id),
            Value::Text(format!("merchant_{}", self.merchant)),
            text(&self.customer),
            self.amount_minor.into(),
            text(self.currency),
            text(self.status),
            self.captured_minor.into(),
            self.refunded_minor.into(),
            optional(self.failure_code),
            time(self.created_ms),
            time(self.updated_ms),
        ]
    }
}

impl Cells for Attempt {
    fn cells(&self, id: &str) -> Row {
        vec![
            text(id),
            text(&self.payment),
            self.number.into(),
            text(self.connector),
            text(self.status),
            optional(self.error_code),
            time(self.created_ms),
            time(self.updated_ms),
        ]
    }
}

impl Cells for Refund {
    fn cells(&self, id: &str) -> Row {
        vec![
            text(id),
            text(&self.payment),
            self.amount_minor.into(),
            text(self.currency),
            text(self.status),
            optional(self.reason),
            time(self.created_ms),
            time(self.updated_ms),
        ]
    }
}

impl LogRow {
    pub(super) fn cells(&self) -> Row {
        vec![
            text(&self.payment),
            text(self.kind),
            self.amount_minor.map_or(Value::Null, Value::Integer),
            time(self.at_ms),
        ]
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn optional(value: Option<&str>) -> Value {
    value.map_or(Value::Null, text)
}

/// A time as the tables hold it: RFC 3339 in UTC, to the millisecond.
fn time(at_ms: i64) -> Value {
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default();
    Value::Text(at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}
