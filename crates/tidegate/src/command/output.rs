//! Results on the standard output, for people or for machines; complaints on the standard error.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line speaks on both"
)]

use std::error::Error as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::Value;

use crate::Error;

/// Prints one object on a line of its own.
pub(super) fn json(value: &Value) {
    println!("{value}");
}

/// Prints a line.
pub(super) fn line(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// Says something beside the results.
pub(super) fn note(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

/// Prints rows under a header; the columns from `first_number` on are numbers.
pub(super) fn table(header: &[&str], first_number: usize, rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(first_number) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{}", table.trim_fmt());
}

/// Says why the command failed, with every cause that the text does not hold yet.
pub(super) fn complain(error: &Error) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = next.source();
    }
    eprintln!("error: {text}");
}
