//! Tables of a terminal: aligned columns under their names, without a frame.

use console::{Alignment, Term, measure_text_width, pad_str, style, truncate_str};

use crate::output::clean;

/// Stands between two columns.
const GAP: &str = "  ";
/// A last column that is cut keeps at least so many characters.
const CUT_WIDTH_MIN: usize = 24;

/// How a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// To the left: a text.
    Text(&'static str),
    /// To the right: a number.
    Number(&'static str),
    /// To the left, and cut to the width of the terminal; the last column only.
    Cut(&'static str),
}

/// Rows under a header.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self {
            columns: columns.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, with a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // A line break within a cell would break the table.
        self.rows.push(
            cells
                .into_iter()
                .map(|cell| clean(&cell).replace('\n', " "))
                .collect(),
        );
    }

    /// The table as text, each line ended; as wide as it needs where there is no terminal.
    pub(crate) fn render(&self) -> String {
        let term = Term::stdout();
        self.render_within(term.is_term().then(|| usize::from(term.size().1)))
    }

    fn render_within(&self, width_max: Option<usize>) -> String {
        let widths = self.widths();
        let header: Vec<String> = self.columns.iter().map(|c| c.name().to_owned()).collect();
        let mut text = String::new();
        for (at, row) in std::iter::once(&header).chain(&self.rows).enumerate() {
            let mut line = String::new();
            for ((column, cell), width) in self.columns.iter().zip(row).zip(&widths) {
                if !line.is_empty() {
                    line.push_str(GAP);
                }
                line.push_str(&column.cell(cell, *width, measure_text_width(&line), width_max));
            }
            let line = line.trim_end();
            let line = if at == 0 {
                style(line).bold().to_string()
            } else {
                line.to_owned()
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let width = |(at, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            let widest = cells
                .map(|cell| measure_text_width(cell))
                .max()
                .unwrap_or(0);
            widest.max(measure_text_width(column.name()))
        };
        self.columns.iter().enumerate().map(width).collect()
    }
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) | Self::Cut(name) => name,
        }
    }

    fn cell(self, cell: &str, width: usize, used: usize, width_max: Option<usize>) -> String {
        match (self, width_max) {
            (Self::Number(_), _) => pad_str(cell, width, Alignment::Right, None).into_owned(),
            (Self::Cut(_), Some(width_max)) => {
                let room = width_max.saturating_sub(used).max(CUT_WIDTH_MIN);
                truncate_str(cell, room, "…").into_owned()
            }
            _ => pad_str(cell, width, Alignment::Left, None).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = [
            Column::Text("id"),
            Column::Number("n"),
            Column::Cut("reason"),
        ];
        let mut table = Table::new(columns);
        table.row(["é1".to_owned(), "1,000".to_owned(), "a\nb\u{1b}".to_owned()]);
        table.row(["x".to_owned(), "7".to_owned(), "r".repeat(60)]);
        table
    }

    #[test]
    fn columns_are_aligned_and_cells_stay_on_their_line() {
        let text = table().render_within(None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "é1  1,000  a b\\u{1b}");
        assert_eq!(lines[2], format!("x       7  {}", "r".repeat(60)));
    }

    #[test]
    fn the_last_column_is_cut_to_the_terminal() {
        let text = table().render_within(Some(40));
        let last = text.lines().nth(2).expect("the row");
        assert_eq!(measure_text_width(last), 40);
        assert!(last.ends_with('…'));
    }
}
