//! The model against a naive execution: each operation is read as plain JSON and run as one plain
//! SQL statement, one after the other, by code that knows neither the model nor the drain.

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;

use super::Model;
use crate::demo::compare::TableFindings;
use crate::demo::scenario::Scenario;
use crate::demo::{schema, tables};

/// Runs an operation whole or not at all; false where it can't be run.
fn execute(database: &mut Connection, payload: &[u8]) -> bool {
    let Ok(operation) = serde_json::from_slice::<Value>(payload) else {
        return false;
    };
    let transaction = database.transaction().expect("a transaction");
    let rows = match operation["op"].as_str() {
        Some("transaction") => operation["operations"].as_array().expect("a list").clone(),
        _ => vec![operation],
    };
    let is_done = rows
        .iter()
        .all(|row| execute_row(&transaction, row).unwrap_or(false));
    if is_done {
        transaction.commit().expect("a commit");
    }
    is_done
}

fn execute_row(database: &Connection, row: &Value) -> rusqlite::Result<bool> {
    let table = row["table"].as_str().unwrap_or("");
    let (columns, cells) = columns_of(&row["row"]);
    let names = columns.join(", ");
    let places = vec!["?"; columns.len()].join(", ");
    let key = row["key"]["id"].as_str();
    let changed = match row["op"].as_str() {
        Some("insert") => {
            let sql = format!("INSERT INTO {table} ({names}) VALUES ({places})");
            database.execute(&sql, params_from_iter(cells))?
        }
        Some("upsert") => {
            let set: Vec<_> = columns
                .iter()
                .map(|c| format!("{c} = excluded.{c}"))
                .collect();
            let set = set.join(", ");
            let sql = format!(
                "INSERT INTO {table} ({names}) VALUES ({places}) ON CONFLICT (id) DO UPDATE SET {set}"
            );
            database.execute(&sql, params_from_iter(cells))?
        }
        Some("update") => {
            let (columns, mut cells) = columns_of(&row["set"]);
            let Some(key) = key else { return Ok(false) };
            cells.push(Cell::Text(key.to_owned()));
            let set: Vec<_> = columns
                .iter()
                .map(|column| format!("{column} = ?"))
                .collect();
            let sql = format!("UPDATE {table} SET {} WHERE id = ?", set.join(", "));
            database.execute(&sql, params_from_iter(cells))?
        }
        Some("delete") => database.execute(&format!("DELETE FROM {table} WHERE id = ?"), [key])?,
        _ => 0,
    };
    Ok(changed == 1)
}

fn columns_of(object: &Value) -> (Vec<String>, Vec<Cell>) {
    let Some(columns) = object.as_object() else {
        return Default::default();
    };
    columns
        .iter()
        .map(|(name, value)| {
            let cell = match value {
                Value::Null => Cell::Null,
                Value::Number(number) => Cell::Integer(number.as_i64().expect("an integer")),
                Value::String(text) => Cell::Text(text.clone()),
                other => panic!("no column holds {other}"),
            };
            (name.clone(), cell)
        })
        .unzip()
}

fn told(seed: u64, operations: u64) -> (Model, Connection) {
    let mut database = Connection::open_in_memory().expect("memory");
    // STRICT, so that a text in a column of integers is refused as the drain refuses it.
    let strict = schema::STATEMENTS.replace("\n);", "\n) STRICT;");
    database.execute_batch(&strict).expect("the schema");
    let mut model = Model::default();
    for told in Scenario::new(seed, operations) {
        let is_done = execute(&mut database, &told.payload);
        model.apply(&told.request_id, told.fact);
        let is_spoiled = model.dead_letters().contains_key(&told.request_id);
        let payload = String::from_utf8_lossy(&told.payload);
        assert_eq!(is_done, !is_spoiled, "{payload}");
    }
    (model, database)
}

fn sum(findings: &[TableFindings], of: impl Fn(&TableFindings) -> u64) -> u64 {
    findings.iter().map(of).sum()
}

#[test]
fn the_model_agrees_with_a_naive_execution() {
    for seed in 1..=3 {
        let (model, database) = told(seed, 4_000);
        for findings in tables::compare_all(&model, &database).expect("readable tables") {
            assert_eq!(
                findings.differences, [""; 0],
                "seed {seed}, table {}",
                findings.table
            );
            assert_eq!(findings.expected, findings.found);
            assert!(
                findings.found > 10,
                "table {} is hardly used",
                findings.table
            );
        }
    }
}

#[test]
fn whatever_is_done_to_the_tables_is_found() {
    let tamperings = [
        (
            "UPDATE payment SET amount_minor = amount_minor + 1 WHERE rowid = 5",
            1,
            0,
        ),
        (
            "UPDATE payment SET failure_code = '' WHERE failure_code IS NULL AND rowid < 9",
            1,
            0,
        ),
        ("UPDATE refund SET status = 'lost' WHERE rowid = 1", 1, 0),
        ("DELETE FROM payment_event WHERE rowid = 7", 1, 0),
        (
            "INSERT INTO payment_event SELECT * FROM payment_event WHERE rowid = 7",
            0,
            1,
        ),
        (
            "INSERT INTO customer SELECT 'cus_0', email, name, country, created_at, updated_at \
          FROM customer LIMIT 1",
            0,
            1,
        ),
        (
            "UPDATE payment_attempt SET id = 'att_0' WHERE rowid = 3",
            1,
            1,
        ),
    ];
    for (sql, lost, duplicated) in tamperings {
        let (model, database) = told(1, 1_000);
        assert!(database.execute(sql, []).expect("a statement") > 0, "{sql}");
        let findings = tables::compare_all(&model, &database).expect("readable tables");
        let found = (sum(&findings, |f| f.lost), sum(&findings, |f| f.duplicated));
        assert!(found.0 >= lost && found.1 >= duplicated, "{sql}: {found:?}");
        assert_eq!(found.0 == 0, lost == 0, "{sql}: {found:?}");
        assert_eq!(found.1 == 0, duplicated == 0, "{sql}: {found:?}");
    }
}
