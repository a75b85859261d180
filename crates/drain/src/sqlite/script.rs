//! A script: units turned into statements and one long row of their cells, so that they can be
//! handed to the thread that runs them without a copy of each change. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::statement;
use crate::catalog::Table;
use crate::cells::Cells;
use crate::change::Change;
use crate::operation::Verb;
use crate::sink::Unit;

/// What changes of one table, verb and columns have in common.
#[derive(Debug)]
pub(super) struct Shape {
    /// The table.
    pub(super) table: Arc<Table>,
    /// What is done.
    pub(super) verb: Verb,
    /// The statement.
    pub(super) sql: String,
    /// How many cells it takes.
    pub(super) parameters: usize,
}

/// Units to run, in order.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// The shapes that occur.
    pub(super) shapes: Vec<Shape>,
    /// The units: each is the shapes of its changes, by index.
    pub(super) units: Vec<Vec<usize>>,
    /// The cells of all changes, one after the other.
    pub(super) cells: Cells,
}

impl Script {
    /// Turns units into a script.
    pub(super) fn new<'a>(units: impl IntoIterator<Item = &'a Unit>) -> Self {
        let mut script = Self::default();
        let mut known = HashMap::new();
        for unit in units {
            let changes = unit.changes.iter().map(|change| {
                script.cells.extend(change.cells.as_bytes());
                shape_of(change, &mut known, &mut script.shapes)
            });
            let changes = changes.collect();
            script.units.push(changes);
        }
        script
    }

    /// The statements for people: equal ones in a row are one line with their number.
    pub(super) fn lines(&self) -> Vec<String> {
        let indexes: Vec<usize> = self.units.iter().flatten().copied().collect();
        let runs = indexes.chunk_by(|a, b| a == b);
        let line = |run: &[usize]| {
            let shape = self.shapes.get(*run.first()?)?;
            Some(match run.len() {
                1 => shape.sql.clone(),
                count => format!("{} -- {count} rows", shape.sql),
            })
        };
        runs.filter_map(line).collect()
    }
}

/// The table by identity (a catalog holds each once), the verb and the columns.
type ShapeKey<'a> = (*const Table, Verb, &'a [usize]);

fn shape_of<'a>(
    change: &'a Change,
    known: &mut HashMap<ShapeKey<'a>, usize>,
    shapes: &mut Vec<Shape>,
) -> usize {
    let key = (
        Arc::as_ptr(&change.table),
        change.verb,
        change.columns.as_slice(),
    );
    *known.entry(key).or_insert_with(|| {
        let (sql, parameters) = statement::text(change);
        let table = Arc::clone(&change.table);
        shapes.push(Shape {
            table,
            verb: change.verb,
            sql,
            parameters,
        });
        shapes.len() - 1
    })
}
