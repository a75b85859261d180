//! The comparison of what must be in a table with what is in it: pure, row by row, all columns.
//!
//! Both sides come in the order of their keys, so two rows with one key stand side by side, and
//! neither side has to be held in memory. A table without a key is compared by whole rows: one
//! that is there twice is one row too many.

use std::cmp::Ordering;

use rusqlite::types::Value;

use super::model::Row;
use super::schema::Table;

/// The most differences that are described one by one; all are counted.
pub(crate) const DIFFERENCES_MAX: usize = 10;

/// What the comparison of one table came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableFindings {
    /// The table.
    pub(crate) table: &'static str,
    /// Rows that must be there.
    pub(crate) expected: u64,
    /// Rows that are there.
    pub(crate) found: u64,
    /// Rows that are missing, or are there with other values.
    pub(crate) lost: u64,
    /// Rows that should not be there, or are there once more than they should.
    pub(crate) duplicated: u64,
    /// The first differences, in words.
    pub(crate) differences: Vec<String>,
}

/// Compares a table's rows; both sides are in the order of the table's key.
///
/// # Errors
/// The first error of `found`.
pub(crate) fn compare<E>(
    table: Table,
    expected: impl Iterator<Item = Row>,
    found: impl Iterator<Item = Result<Row, E>>,
) -> Result<TableFindings, E> {
    let mut findings = TableFindings {
        table: table.name,
        ..TableFindings::default()
    };
    let mut expected = expected.peekable();
    for row in found {
        let row = row?;
        findings.found += 1;
        let order_to_row = |wanted: &Row| order(wanted, &row, table.key_columns);
        while let Some(missing) = expected.next_if(|wanted| order_to_row(wanted).is_lt()) {
            findings.miss(table, &missing);
        }
        match expected.next_if(|wanted| order_to_row(wanted).is_eq()) {
            Some(wanted) => findings.pair(table, &wanted, &row),
            None => findings.exceed(table, &row),
        }
    }
    for missing in expected {
        findings.miss(table, &missing);
    }
    Ok(findings)
}

impl TableFindings {
    fn pair(&mut self, table: Table, wanted: &Row, found: &Row) {
        self.expected += 1;
        if wanted != found {
            self.lost += 1;
            self.note(|| describe(table, wanted, found));
        }
    }

    fn miss(&mut self, table: Table, wanted: &Row) {
        self.expected += 1;
        self.lost += 1;
        self.note(|| format!("{} is missing", name_of(table, wanted)));
    }

    fn exceed(&mut self, table: Table, found: &Row) {
        self.duplicated += 1;
        self.note(|| {
            format!(
                "{} should not be there, or not so often",
                name_of(table, found)
            )
        });
    }

    fn note(&mut self, difference: impl FnOnce() -> String) {
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(difference());
        }
    }
}

/// The order of two rows by their first columns, as SQLite sorts them.
fn order(a: &Row, b: &Row, columns: usize) -> Ordering {
    let cells = a.iter().zip(b).take(columns);
    cells
        .map(|(a, b)| order_of_cells(a, b))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn order_of_cells(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Real(a), Value::Real(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
        (a, b) => class_of(a).cmp(&class_of(b)),
    }
}

/// The place of a value's kind: SQLite sorts NULL first, then numbers, texts and bytes.
fn class_of(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Integer(_) => 1,
        Value::Real(_) => 2,
        Value::Text(_) => 3,
        Value::Blob(_) => 4,
    }
}

fn name_of(table: Table, row: &Row) -> String {
    let key: Vec<_> = row.iter().take(table.key_columns).map(shown).collect();
    format!("{} {}", table.name, key.join(", "))
}

fn describe(table: Table, wanted: &Row, found: &Row) -> String {
    let cells = table.columns.iter().zip(wanted.iter().zip(found));
    let others: Vec<_> = cells
        .filter(|(_, (wanted, found))| wanted != found)
        .map(|(column, (wanted, found))| {
            format!("{column} is {}, not {}", shown(found), shown(wanted))
        })
        .collect();
    format!("{}: {}", name_of(table, wanted), others.join(", "))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::demo::schema::{PAYMENT_EVENT, REFUND};

    /// Rows of the log, which has no key.
    fn log(rows: &[(&str, Option<i64>)]) -> Vec<Row> {
        let row = |(payment, amount): &(&str, Option<i64>)| {
            let amount = amount.map_or(Value::Null, Value::Integer);
            vec![text(payment), text("captured"), amount, text("t")]
        };
        rows.iter().map(row).collect()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn compared(table: Table, expected: Vec<Row>, found: Vec<Row>) -> TableFindings {
        let found = found.into_iter().map(Ok::<_, Infallible>);
        compare(table, expected.into_iter(), found).expect("no error")
    }

    #[test]
    fn equal_tables_have_no_differences() {
        let rows = log(&[("a", None), ("a", Some(1)), ("b", Some(1)), ("b", Some(1))]);
        let findings = compared(PAYMENT_EVENT, rows.clone(), rows);
        assert_eq!((findings.expected, findings.found), (4, 4));
        assert_eq!((findings.lost, findings.duplicated), (0, 0));
    }

    #[test]
    fn a_row_that_is_there_twice_is_one_too_many() {
        let findings = compared(
            PAYMENT_EVENT,
            log(&[("a", None), ("b", None)]),
            log(&[("a", None), ("a", None), ("b", None)]),
        );
        assert_eq!((findings.lost, findings.duplicated), (0, 1));
        assert!(findings.differences[0].contains("payment_event a, captured, NULL, t"));
    }

    #[test]
    fn missing_rows_are_found_everywhere() {
        let all = log(&[("a", None), ("b", None), ("c", None)]);
        for missing in 0..3 {
            let mut found = all.clone();
            found.remove(missing);
            let findings = compared(PAYMENT_EVENT, all.clone(), found);
            assert_eq!(
                (findings.lost, findings.duplicated),
                (1, 0),
                "without row {missing}"
            );
        }
        assert_eq!(compared(PAYMENT_EVENT, all.clone(), Vec::new()).lost, 3);
        assert_eq!(compared(PAYMENT_EVENT, Vec::new(), all).duplicated, 3);
    }

    #[test]
    fn another_value_is_named_with_its_column() {
        let row = |status: &str| {
            let mut row = vec![text("ref_1"); REFUND.columns.len()];
            row[4] = text(status);
            row
        };
        let findings = compared(REFUND, vec![row("succeeded")], vec![row("pending")]);
        assert_eq!((findings.lost, findings.duplicated), (1, 0));
        assert_eq!(
            findings.differences,
            ["refund ref_1: status is pending, not succeeded"]
        );
    }
}
