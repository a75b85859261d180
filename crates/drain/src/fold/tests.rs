//! What folding must not change, held against a small database of its own that knows nothing of it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::catalog::{Catalog, Codec, Column};
use crate::change::resolve;
use crate::operation::Operation;
use crate::plan::plan;
use crate::rejection::Rejection;

/// Keeps the JSON text as it is.
#[derive(Debug)]
struct Verbatim {
    is_exact: bool,
}

impl Codec for Verbatim {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        cell.extend_from_slice(json.get().as_bytes());
        Ok(())
    }

    fn is_exact(&self) -> bool {
        self.is_exact
    }
}

/// The columns in order: `free` and `loose` are nobody's business, `unique` must be different in
/// each row, `read` is looked at by the database, `drawn` has a default.
const COLUMNS: [(&str, Replaced); 6] = [
    ("id", Replaced::Seen),
    ("free", Replaced::Unseen),
    ("loose", Replaced::Unseen),
    ("unique", Replaced::Seen),
    ("read", Replaced::UnseenIfNull),
    ("drawn", Replaced::Unseen),
];
/// What `unique` and `read` refuse.
const UNREADABLE: &str = "3";
/// What `drawn` is where nobody gives it.
const DRAWN: &str = "7";

fn table(name: &str, is_ordered: bool, is_exact: bool) -> Table {
    let column = |(name, replaced): (&str, Replaced)| Column {
        name: name.to_owned(),
        sql_type: "int8".to_owned(),
        cell_type: "int8".to_owned(),
        is_not_null: name == "id",
        absent: if name == "drawn" {
            Absent::Default
        } else {
            Absent::Null
        },
        replaced,
        codec: Arc::new(Verbatim { is_exact }),
    };
    Table {
        schema: "public".to_owned(),
        name: name.to_owned(),
        columns: COLUMNS.map(column).into(),
        primary_key: vec![0],
        rank: 0,
        is_ordered,
        has_triggers: is_ordered,
    }
}

fn catalog() -> Catalog {
    let tables = [
        table("t", false, true),
        table("log", true, true),
        table("vague", false, false),
    ];
    Catalog::new("public", tables)
}

fn changes(operations: &[String]) -> Vec<Change> {
    let catalog = catalog();
    let of_one = |text: &String| {
        let operation = Operation::parse(text.as_bytes()).expect("an operation");
        resolve(&catalog, &operation).expect("changes")
    };
    operations.iter().flat_map(of_one).collect()
}

fn insert(table: &str, values: &str) -> String {
    format!(r#"{{"op":"insert","table":"{table}","row":{{{values}}}}}"#)
}

fn update(table: &str, id: u8, values: &str) -> String {
    format!(r#"{{"op":"update","table":"{table}","key":{{"id":{id}}},"set":{{{values}}}}}"#)
}

type Row = BTreeMap<String, Option<String>>;

/// A database that takes one change after the other.
#[derive(Debug, Default, PartialEq, Eq)]
struct Database {
    rows: BTreeMap<(String, String), Row>,
    /// What the trigger of `log` saw of `t`, each time.
    seen: Vec<Vec<Row>>,
}

impl Database {
    /// The database after all changes; none where it refused one.
    fn after<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Option<Self> {
        let mut database = Self::default();
        for change in changes {
            database.apply(change)?;
        }
        Some(database)
    }

    fn apply(&mut self, change: &Change) -> Option<()> {
        let name = change.table.name.clone();
        let mut texts = change.cells.iter().map(|cell| {
            cell.map(|text| String::from_utf8(text.to_vec()).expect("the JSON that was sent"))
        });
        let key = match change.verb {
            Verb::Update | Verb::Delete => texts.next()?,
            Verb::Insert | Verb::Upsert => None,
        };
        let columns = change.columns.iter().map(|at| COLUMNS[*at].0.to_owned());
        let given: Row = columns.zip(texts).collect();
        let key = key.or_else(|| given.get("id").cloned().flatten())?;
        let place = (name.clone(), key);
        let is_there = self.rows.contains_key(&place);
        let row = match (change.verb, is_there) {
            (Verb::Delete, _) => {
                self.rows.remove(&place);
                None
            }
            (Verb::Insert, false) | (Verb::Upsert, false) => {
                let absent = COLUMNS.map(|(name, _)| {
                    let drawn = (name == "drawn").then(|| DRAWN.to_owned());
                    (name.to_owned(), drawn)
                });
                Some(absent.into_iter().chain(given).collect())
            }
            (Verb::Update, true) | (Verb::Upsert, true) => {
                let mut row = self.rows.remove(&place)?;
                row.extend(given);
                Some(row)
            }
            (Verb::Insert, true) | (Verb::Update, false) => return None,
        };
        if let Some(row) = row {
            self.admit(&name, &row)?;
            self.rows.insert(place, row);
        }
        if name == "log" {
            let of_t = self.rows.iter().filter(|((table, _), _)| table == "t");
            self.seen.push(of_t.map(|(_, row)| row.clone()).collect());
        }
        Some(())
    }

    /// Refuses what a constraint or a type refuses.
    fn admit(&self, table: &str, row: &Row) -> Option<()> {
        let is_bad = |name: &str| row[name].as_deref() == Some(UNREADABLE);
        let unique = &row["unique"];
        let is_taken = unique.is_some()
            && self
                .rows
                .iter()
                .any(|((of, _), other)| of == table && other["unique"] == *unique);
        (!is_bad("unique") && !is_bad("read") && !is_taken).then_some(())
    }
}

fn values() -> impl Strategy<Value = String> {
    let value = || prop::option::weighted(0.6, 0..12_u8);
    let given = (
        prop::option::weighted(0.8, value()),
        prop::option::weighted(0.5, value()),
        prop::option::weighted(0.1, value()),
        prop::option::weighted(0.3, value()),
        prop::option::weighted(0.3, value()),
    );
    given.prop_map(|(free, loose, unique, read, drawn)| {
        let json = |value: Option<u8>| value.map_or("null".to_owned(), |value| value.to_string());
        let named = [
            ("free", free),
            ("loose", loose),
            ("unique", unique),
            ("read", read),
            ("drawn", drawn),
        ];
        let given = named.into_iter().filter_map(|(name, value)| {
            let value = json(value?);
            Some(format!(",\"{name}\":{value}"))
        });
        given.collect()
    })
}

fn operation() -> impl Strategy<Value = String> {
    let table = prop::sample::select(vec!["t", "t", "t", "t", "t", "t", "log"]);
    let verb = prop::sample::select(vec![
        "insert", "insert", "update", "update", "update", "update", "upsert", "delete",
    ]);
    (table, verb, 0..4_u8, values()).prop_map(|(table, verb, id, values)| match verb {
        "delete" => format!(r#"{{"op":"delete","table":"{table}","key":{{"id":{id}}}}}"#),
        "update" if values.is_empty() => update(table, id, "\"free\":1"),
        "update" => update(table, id, values.trim_start_matches(',')),
        verb => format!(r#"{{"op":"{verb}","table":"{table}","row":{{"id":{id}{values}}}}}"#),
    })
}

/// Operations of which the small database accepts most.
fn operations() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec((operation(), 0..20_u8), 0..60).prop_map(|drawn| {
        let mut database = Database::default();
        let mut kept = Vec::new();
        for (operation, luck) in drawn {
            let one = changes(std::slice::from_ref(&operation));
            let before = (database.rows.clone(), database.seen.clone());
            let is_accepted = one.iter().all(|change| database.apply(change).is_some());
            if !is_accepted {
                (database.rows, database.seen) = before;
            }
            if is_accepted || luck == 0 {
                kept.push(operation);
            }
        }
        kept
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn folded_changes_end_as_the_changes_do_or_are_refused_as_they_are(operations in operations()) {
        let changes = changes(&operations);
        let Some(folded) = fold(changes.iter()) else { return Ok(()) };
        prop_assert!(folded.len() < changes.len());
        let expected = Database::after(&changes);
        prop_assert_eq!(Database::after(folded.iter().map(AsRef::as_ref)), expected);
    }

    #[test]
    fn the_plan_of_folded_changes_ends_as_the_changes_do(operations in operations()) {
        let changes = changes(&operations);
        let Some(folded) = fold(changes.iter()) else { return Ok(()) };
        let Some(expected) = Database::after(&changes) else { return Ok(()) };
        let steps = plan(folded.iter().map(AsRef::as_ref));
        // A plan may be refused where a unique value goes from row to row; then it is searched.
        if let Some(found) = Database::after(steps.into_iter().flat_map(|step| step.changes)) {
            prop_assert_eq!(found, expected);
        }
    }
}

/// The verbs that are left of some operations.
fn left(operations: &[String]) -> Vec<Verb> {
    let changes = changes(operations);
    match fold(changes.iter()) {
        Some(folded) => folded.iter().map(|change| change.verb).collect(),
        None => changes.iter().map(|change| change.verb).collect(),
    }
}

#[test]
fn a_life_of_a_row_is_written_once() {
    let operations = [
        insert("t", r#""id":1,"free":1,"read":null"#),
        update("t", 1, r#""free":2,"read":5"#),
        insert("t", r#""id":2"#),
        update("t", 1, r#""loose":3"#),
    ];
    let changes = changes(&operations);
    let folded = fold(changes.iter()).expect("something to fold");
    assert_eq!(folded.len(), 2);
    assert_eq!(folded[0].columns, [0, 1, 2, 4]);
    let cells: Vec<_> = folded[0].cells.iter().flatten().collect();
    assert_eq!(cells, [b"1", b"2", b"3", b"5"]);
}

#[test]
fn updates_join_where_one_has_the_columns_of_both() {
    let (both, one) = (r#""free":1,"loose":2"#, r#""loose":3"#);
    assert_eq!(left(&[update("t", 1, both), update("t", 1, one)]).len(), 1);
    assert_eq!(left(&[update("t", 1, one), update("t", 1, both)]).len(), 1);
    let other = update("t", 1, r#""free":1"#);
    assert_eq!(left(&[other, update("t", 1, one)]).len(), 2);
}

#[test]
fn what_the_database_would_look_at_is_written() {
    let cases = [
        // A constraint is on the column.
        (r#""id":1,"unique":1"#, r#""unique":2"#),
        (r#""id":1"#, r#""unique":2"#),
        // The value might be refused.
        (r#""id":1,"read":1"#, r#""read":2"#),
        // The default might be.
        (r#""id":1"#, r#""drawn":2"#),
    ];
    for (row, set) in cases {
        assert_eq!(
            left(&[insert("t", row), update("t", 1, set)]).len(),
            2,
            "{set}"
        );
    }
    let triggered = [
        insert("log", r#""id":1,"free":1"#),
        update("log", 1, r#""free":2"#),
    ];
    assert_eq!(left(&triggered).len(), 2);
}

#[test]
fn nothing_is_moved_past_a_trigger_or_past_a_delete() {
    let row = insert("t", r#""id":1,"free":1"#);
    let change = update("t", 1, r#""free":2"#);
    let trigger = insert("log", r#""id":1"#);
    assert_eq!(left(&[row.clone(), trigger, change.clone()]).len(), 3);
    let delete = r#"{"op":"delete","table":"t","key":{"id":1}}"#.to_owned();
    assert_eq!(left(&[row, delete, change]).len(), 3);
}

#[test]
fn rows_whose_keys_cannot_be_told_apart_are_not_joined() {
    let operations = [
        insert("vague", r#""id":1,"free":1"#),
        update("vague", 2, r#""free":2"#),
    ];
    assert_eq!(left(&operations).len(), 2);
}
