//! What every plan keeps, whatever the batch.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::catalog::{Absent, Catalog, Codec, Column};
use crate::change::resolve;
use crate::operation::Operation;
use crate::rejection::Rejection;

/// Keeps the JSON text as it is.
#[derive(Debug)]
struct Verbatim;

impl Codec for Verbatim {
    fn encode(&self, json: &RawValue, cell: &mut Vec<u8>) -> Result<(), Rejection> {
        cell.extend_from_slice(json.get().as_bytes());
        Ok(())
    }

    fn key_text<'a>(&self, json: &'a RawValue) -> Cow<'a, str> {
        Cow::Borrowed(json.get())
    }
}

fn table(name: &str, rank: u32, is_ordered: bool) -> Table {
    let column = |name: &str| Column {
        name: name.to_owned(),
        sql_type: "int8".to_owned(),
        cell_type: "int8".to_owned(),
        is_not_null: name == "id",
        absent: Absent::Null,
        replaced: crate::catalog::Replaced::Seen,
        codec: Arc::new(Verbatim),
    };
    Table {
        schema: "public".to_owned(),
        name: name.to_owned(),
        columns: ["id", "a", "b"].map(column).into(),
        primary_key: vec![0],
        rank,
        is_ordered,
        has_triggers: is_ordered,
    }
}

fn catalog() -> Catalog {
    Catalog::new(
        "public",
        [
            table("parent", 0, false),
            table("child", 1, false),
            table("log", 0, true),
        ],
    )
}

fn changes(catalog: &Catalog, operations: &[String]) -> Vec<Change> {
    operations
        .iter()
        .flat_map(|text| {
            let operation = Operation::parse(text.as_bytes()).expect("an operation");
            resolve(catalog, &operation).expect("changes")
        })
        .collect()
}

fn operation() -> impl Strategy<Value = String> {
    let table = prop::sample::select(vec!["parent", "child", "log"]);
    let verb = prop::sample::select(vec!["insert", "upsert", "update", "delete", "move"]);
    (table, verb, 0..8_u8, 0..8_u8, any::<bool>()).prop_map(|(table, verb, id, to, both)| {
        let set = if both { r#""a":1,"b":2"# } else { r#""b":2"# };
        match verb {
            "insert" | "upsert" => {
                format!(r#"{{"op":"{verb}","table":"{table}","row":{{"id":{id},{set}}}}}"#)
            }
            "update" => {
                format!(
                    r#"{{"op":"update","table":"{table}","key":{{"id":{id}}},"set":{{{set}}}}}"#
                )
            }
            "delete" => format!(r#"{{"op":"delete","table":"{table}","key":{{"id":{id}}}}}"#),
            _ => format!(
                r#"{{"op":"update","table":"{table}","key":{{"id":{id}}},"set":{{"id":{to}}}}}"#
            ),
        }
    })
}

proptest! {
    #[test]
    fn each_change_is_in_one_step_and_rows_keep_their_order(
        operations in prop::collection::vec(operation(), 0..60)) {
        let catalog = catalog();
        let changes = changes(&catalog, &operations);
        let steps = plan(&changes);

        let index: HashMap<*const Change, usize> =
            changes.iter().enumerate().map(|(i, change)| (std::ptr::from_ref(change), i)).collect();
        let mut step_of = vec![None; changes.len()];
        for (number, step) in steps.iter().enumerate() {
            let shape = step.shape().expect("no step is empty");
            let mut rows = HashSet::new();
            for change in &step.changes {
                let i = index[&std::ptr::from_ref::<Change>(change)];
                prop_assert!(step_of[i].replace(number).is_none(), "a change is in two steps");
                prop_assert!(Arc::ptr_eq(&change.table, &shape.table));
                prop_assert_eq!(change.verb, shape.verb);
                prop_assert_eq!(&change.columns, &shape.columns);
                prop_assert!(rows.insert(change.row.clone()), "a row is twice in one step");
            }
        }
        for (late, change) in changes.iter().enumerate() {
            prop_assert!(step_of[late].is_some(), "a change is in no step");
            for (early, before) in changes[..late].iter().enumerate() {
                let rows = |c: &Change| -> Vec<RowKey> {
                    c.row.iter().chain(&c.moved_to).cloned().collect()
                };
                let shares_row = rows(before).iter().any(|row| rows(change).contains(row));
                let is_barrier = |c: &Change| c.table.is_ordered || c.moved_to.is_some();
                if shares_row {
                    prop_assert!(step_of[early] < step_of[late], "a row's order is lost");
                } else if is_barrier(before) || is_barrier(change) {
                    prop_assert!(step_of[early] <= step_of[late], "a barrier was crossed");
                }
            }
        }
    }
}

#[test]
fn equal_changes_become_one_step() {
    let catalog = catalog();
    let operations: Vec<_> = (0..100)
        .map(|id| format!(r#"{{"op":"insert","table":"log","row":{{"id":{id},"a":1}}}}"#))
        .collect();
    let changes = changes(&catalog, &operations);
    assert_eq!(plan(&changes).len(), 1);
}

#[test]
fn parents_are_written_first_and_deleted_last() {
    let catalog = catalog();
    let operations = [
        r#"{"op":"insert","table":"child","row":{"id":1}}"#,
        r#"{"op":"insert","table":"parent","row":{"id":1}}"#,
        r#"{"op":"delete","table":"parent","key":{"id":2}}"#,
        r#"{"op":"delete","table":"child","key":{"id":2}}"#,
    ]
    .map(str::to_owned);
    let changes = changes(&catalog, &operations);
    let order: Vec<_> = plan(&changes)
        .iter()
        .filter_map(Step::shape)
        .map(|c| (c.verb, c.table.name.clone()))
        .collect();
    let expected = [
        (Verb::Insert, "parent"),
        (Verb::Insert, "child"),
        (Verb::Delete, "child"),
        (Verb::Delete, "parent"),
    ];
    assert_eq!(
        order,
        expected.map(|(verb, table)| (verb, table.to_owned()))
    );
}
