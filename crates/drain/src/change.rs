//! Changes: operations held against the catalog, with every value encoded.
//!
//! This is the last step that can fail because of what the entry says alone. What comes out names
//! its table by the catalog's own entry and its row by a [`RowKey`].

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::catalog::{Absent, Catalog, Table};
use crate::cells::Cells;
use crate::operation::{Columns, Operation, RowOperation, Verb};
use crate::policy::require_version;
use crate::rejection::{Code, Rejection};

/// Which row: two changes with equal keys touch the same row and keep their order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey(Arc<[u8]>);

impl RowKey {
    /// A key from the bytes of [`RowKey::as_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The key as bytes, to be stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The schema and the name of the row's table.
    #[must_use]
    pub fn table(&self) -> Option<(&str, &str)> {
        let mut parts = self.0.splitn(3, |byte| *byte == 0);
        let mut text = || std::str::from_utf8(parts.next()?).ok();
        let names = (text()?, text()?);
        parts.next().map(|_key| names)
    }

    /// The key of a row by its primary key's cells. Where the cells can't tell rows apart, the
    /// whole table is taken for one row: slower, never wrong.
    fn new(table: &Table, key: &Cells) -> Self {
        let names = table.schema.len() + table.name.len() + 2;
        let mut bytes = Vec::with_capacity(names + key.as_bytes().len());
        bytes.extend_from_slice(table.schema.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(table.name.as_bytes());
        bytes.push(0);
        let mut columns = table
            .primary_key
            .iter()
            .filter_map(|index| table.columns.get(*index));
        if columns.all(|column| column.codec.is_exact()) {
            bytes.extend_from_slice(key.as_bytes());
        }
        Self(bytes.into())
    }
}

/// One change of one row, ready to be planned.
#[derive(Clone, Debug)]
pub struct Change {
    /// The table.
    pub table: Arc<Table>,
    /// What is done.
    pub verb: Verb,
    /// The row; none for an insert into a table without a primary key.
    pub row: Option<RowKey>,
    /// The row under its new key, where an update changes the key.
    pub moved_to: Option<RowKey>,
    /// The columns that are given, as ascending indexes into the table's.
    pub columns: Vec<usize>,
    /// For an insert or upsert the cells of `columns`. For an update the primary key's cells (in
    /// the key's order), then those of `columns`. For a delete the primary key's cells.
    pub cells: Cells,
}

/// An entry's operation that can't be applied, and the rows it would have touched as far as they
/// are known: later operations on them have to wait.
#[derive(Clone, Debug)]
pub struct Unresolved {
    /// Why.
    pub rejection: Rejection,
    /// The rows that are known.
    pub rows: Vec<RowKey>,
}

/// Holds an operation against the catalog.
///
/// # Errors
/// The first rejection, with all rows that the operation names.
pub fn resolve(catalog: &Catalog, operation: &Operation<'_>) -> Result<Vec<Change>, Unresolved> {
    let mut changes = Vec::with_capacity(operation.rows.len());
    let mut rows = Vec::new();
    let mut first_rejection = None;
    for row in &operation.rows {
        let mut key = None;
        match resolve_row(catalog, row, &mut key) {
            Ok(change) => changes.push(change),
            Err(rejection) => first_rejection = first_rejection.or(Some(rejection)),
        }
        rows.extend(key);
    }
    match first_rejection {
        None => Ok(changes),
        Some(rejection) => Err(Unresolved { rejection, rows }),
    }
}

/// A change as a row that gives its key and the columns that are changed.
pub(crate) fn as_new_row(change: &Change) -> Option<Change> {
    if matches!(change.verb, Verb::Insert | Verb::Upsert) {
        return Some(change.clone());
    }
    let mut cells = change.cells.iter();
    let mut given = Vec::new();
    for index in change.table.primary_key.iter().chain(&change.columns) {
        given.push((*index, cells.next_framed()?));
    }
    given.sort_by_key(|(index, _)| *index);
    given.dedup_by_key(|(index, _)| *index);
    let mut framed = Cells::new();
    given.iter().for_each(|(_, cell)| framed.extend(cell));
    Some(Change {
        columns: given.iter().map(|(index, _)| *index).collect(),
        cells: framed,
        ..change.clone()
    })
}

/// The text by which an operation finds its shard when it doesn't say so itself: the primary
/// key's values of its first row, joined by `_`; the row's own text where there is no key.
///
/// # Errors
/// A rejection where the table or the key is not known.
pub fn default_partition_key<'a>(
    catalog: &Catalog,
    operation: &'a Operation<'a>,
) -> Result<Cow<'a, str>, Rejection> {
    if let Some(key) = &operation.partition_key {
        return Ok(Cow::Borrowed(key));
    }
    let Some(row) = operation.rows.first() else {
        return Ok(Cow::Borrowed(""));
    };
    let table = catalog.table(row.schema.as_deref(), &row.table)?;
    let given = if row.key.0.is_empty() {
        &row.values
    } else {
        &row.key
    };
    if table.primary_key.is_empty() {
        let values: Vec<_> = given.0.iter().map(|(_, json)| json.get()).collect();
        return Ok(Cow::Owned(values.join("_")));
    }
    let mut texts = Vec::with_capacity(table.primary_key.len());
    for column in table
        .primary_key
        .iter()
        .filter_map(|index| table.columns.get(*index))
    {
        let json = given
            .0
            .iter()
            .find(|(name, _)| *name == column.name)
            .ok_or_else(|| {
                invalid_key(table, "has no value for every column of the primary key")
            })?;
        texts.push(column.codec.key_text(json.1));
    }
    match texts.as_mut_slice() {
        [only] => Ok(std::mem::take(only)),
        _ => Ok(Cow::Owned(texts.join("_"))),
    }
}

/// Leaves the row's key in `key` as soon as it is known, for the caller to use if the rest fails.
fn resolve_row(
    catalog: &Catalog,
    row: &RowOperation<'_>,
    key: &mut Option<RowKey>,
) -> Result<Change, Rejection> {
    let table = catalog.table(row.schema.as_deref(), &row.table)?;
    table.require_primary_key(row.verb)?;
    let is_keyed = matches!(row.verb, Verb::Update | Verb::Delete);
    let given_key = if is_keyed { &row.key } else { &row.values };
    let key_cells = encode_key(table, given_key, is_keyed)?;
    *key = key_cells.as_ref().map(|cells| RowKey::new(table, cells));

    let values = sorted(table, &row.values)?;
    // An encoded value is seldom longer than its JSON, and each has a frame.
    let room: usize = values.iter().map(|(_, json)| json.get().len() + 4).sum();
    let mut cells =
        Cells::with_capacity(room + key_cells.as_ref().map_or(0, |k| k.as_bytes().len()));
    if let (true, Some(key_cells)) = (is_keyed, &key_cells) {
        cells.extend(key_cells.as_bytes());
    }
    for (index, json) in &values {
        encode(table, *index, json, &mut cells)?;
    }
    let columns: Vec<usize> = values.iter().map(|(index, _)| *index).collect();
    if row.verb == Verb::Update && columns.is_empty() {
        return Err(Rejection::new(
            Code::InvalidJson,
            "op \"update\" has an empty \"set\"",
        ));
    }
    if !is_keyed {
        require_values(table, &columns)?;
    }
    require_version(table, row.verb, |version| {
        let given = values.iter().find(|(index, _)| *index == version);
        given.is_some_and(|(_, json)| json.get() != "null")
    })?;
    let moved_to = match row.verb {
        Verb::Update => moved_key(table, &row.key, &row.values, key.as_ref())?,
        _ => None,
    };
    Ok(Change {
        table: table.clone(),
        verb: row.verb,
        row: key.clone(),
        moved_to,
        columns,
        cells,
    })
}

/// What most keys fit in, with their frames.
const KEY_BYTES: usize = 96;

/// The primary key's cells in the key's order; none where the database will draw the key itself
/// or the table has no key.
fn encode_key(
    table: &Table,
    given: &Columns<'_>,
    is_keyed: bool,
) -> Result<Option<Cells>, Rejection> {
    if table.primary_key.is_empty() {
        return Ok(None);
    }
    if is_keyed && given.0.len() != table.primary_key.len() {
        return Err(invalid_key(
            table,
            "must name exactly the primary key's columns",
        ));
    }
    let mut cells = Cells::with_capacity(KEY_BYTES);
    for index in &table.primary_key {
        let Some(column) = table.columns.get(*index) else {
            continue;
        };
        match given.0.iter().find(|(name, _)| *name == column.name) {
            Some((_, json)) if json.get() != "null" => encode(table, *index, json, &mut cells)?,
            Some(_) => return Err(invalid_key(table, "has a null in the primary key")),
            None if !is_keyed && column.absent == Absent::Default => return Ok(None),
            None => {
                return Err(invalid_key(
                    table,
                    "has no value for every column of the primary key",
                ));
            }
        }
    }
    Ok(Some(cells))
}

/// The key after an update that sets columns of the primary key.
fn moved_key(
    table: &Table,
    key: &Columns<'_>,
    set: &Columns<'_>,
    before: Option<&RowKey>,
) -> Result<Option<RowKey>, Rejection> {
    let is_key = |name: &str| {
        let mut columns = table
            .primary_key
            .iter()
            .filter_map(|index| table.columns.get(*index));
        columns.any(|column| column.name == name)
    };
    if !set.0.iter().any(|(name, _)| is_key(name)) {
        return Ok(None);
    }
    let mut after: Vec<(Cow<'_, str>, &RawValue)> = Vec::with_capacity(key.0.len());
    for (name, json) in &key.0 {
        let changed = set.0.iter().find(|(set_name, _)| set_name == name);
        after.push((name.clone(), changed.map_or(*json, |(_, json)| *json)));
    }
    let cells = encode_key(table, &Columns(after), true)?;
    let after = cells.map(|cells| RowKey::new(table, &cells));
    Ok(after.filter(|after| Some(after) != before))
}

/// The given columns by ascending index, each given once.
fn sorted<'a>(table: &Table, given: &Columns<'a>) -> Result<Vec<(usize, &'a RawValue)>, Rejection> {
    let mut values = Vec::with_capacity(given.0.len());
    // Producers mostly send columns in the table's order, so the next column is tried first.
    let mut expected = 0;
    let mut is_ascending = true;
    for (name, json) in &given.0 {
        let index = match table.columns.get(expected) {
            Some(column) if column.name == *name && column.absent != Absent::Generated => expected,
            _ => table.writable_column(name)?,
        };
        is_ascending &= index >= expected;
        expected = index + 1;
        values.push((index, *json));
    }
    if is_ascending {
        return Ok(values);
    }
    values.sort_by_key(|(index, _)| *index);
    for pair in values.windows(2) {
        if let [(a, _), (b, _)] = pair
            && a == b
        {
            let name = table
                .columns
                .get(*a)
                .map_or("", |column| column.name.as_str());
            return Err(Rejection::new(
                Code::InvalidJson,
                format!("column {name:?} of table {:?} is given twice", table.name),
            ));
        }
    }
    Ok(values)
}

fn encode(
    table: &Table,
    index: usize,
    json: &RawValue,
    cells: &mut Cells,
) -> Result<(), Rejection> {
    let Some(column) = table.columns.get(index) else {
        return Ok(());
    };
    if json.get() != "null" {
        return cells
            .push_with(|cell| column.codec.encode(json, cell))
            .map_err(|rejection| rejection.in_column(&table.name, &column.name));
    }
    // A trigger may still put a value there, so then the database has to judge.
    if column.is_not_null && !table.has_triggers {
        let rejection = Rejection {
            code: Code::NotNull,
            sqlstate: Some("23502".to_owned()),
            reason: "null is not allowed; send a value".to_owned(),
        };
        return Err(rejection.in_column(&table.name, &column.name));
    }
    cells.push_null();
    Ok(())
}

/// Refuses a new row that leaves out a column which must have a value and has no default.
fn require_values(table: &Table, columns: &[usize]) -> Result<(), Rejection> {
    if table.has_triggers {
        return Ok(());
    }
    for (index, column) in table.columns.iter().enumerate() {
        let is_required = column.is_not_null && column.absent == Absent::Null;
        if is_required && columns.binary_search(&index).is_err() {
            let rejection = Rejection {
                code: Code::NotNull,
                sqlstate: Some("23502".to_owned()),
                reason: "it must have a value and has no default; send one".to_owned(),
            };
            return Err(rejection.in_column(&table.name, &column.name));
        }
    }
    Ok(())
}

fn invalid_key(table: &Table, what: &str) -> Rejection {
    Rejection::new(
        Code::InvalidKey,
        format!(
            "the operation on table {:?} {what}; its primary key is ({})",
            table.name,
            table.key_names()
        ),
    )
}
