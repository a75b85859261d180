//! Spoiled operations: what careless producers send.
//!
//! Each uses an id of its own, which no other operation names, so that nothing is parked behind
//! it. Each must end as a dead letter and leave no trace in the tables.

use serde_json::{Value, json};

/// What is wrong with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Spoil {
    /// The JSON is cut off.
    CutOff,
    /// The bytes are not UTF-8.
    NotUtf8,
    /// `op` is a word that nobody knows.
    UnknownOperation,
    /// The table was dropped long ago.
    UnknownTable,
    /// The column is misspelled.
    UnknownColumn,
    /// Words where a number must stand.
    WrongType,
    /// An update that doesn't say of which row.
    MissingKey,
    /// NULL where a value must stand.
    NullInNotNull,
    /// An update of a row that never was.
    NoSuchRow,
    /// A transaction whose first half is right: nothing of it may be kept.
    HalfTransaction,
}

impl Spoil {
    /// All of them; they take turns.
    pub(crate) const ALL: &'static [Self] = &[
        Self::CutOff,
        Self::UnknownColumn,
        Self::NoSuchRow,
        Self::WrongType,
        Self::HalfTransaction,
        Self::NullInNotNull,
        Self::MissingKey,
        Self::UnknownTable,
        Self::NotUtf8,
        Self::UnknownOperation,
    ];

    /// What is sent.
    pub(super) fn payload(self, id: &str, at: &str) -> Vec<u8> {
        let good = json!({"id": id, "email": "a@example.com", "name": "A", "country": "SE",
            "created_at": at, "updated_at": at});
        match self {
            Self::CutOff => {
                let mut bytes = insert("customer", &good).to_string().into_bytes();
                bytes.truncate(bytes.len() / 2);
                bytes
            }
            Self::NotUtf8 => {
                let text = insert("customer", &with(good, "name", json!("Ren?"))).to_string();
                // The letter é in Latin-1, as an old producer writes it.
                text.bytes()
                    .map(|byte| if byte == b'?' { 0xe9 } else { byte })
                    .collect()
            }
            _ => self.operation(id, at, good).to_string().into_bytes(),
        }
    }

    /// The operation of a spoil that can be written as JSON; `good` is a row without a fault.
    fn operation(self, id: &str, at: &str, good: Value) -> Value {
        let event = json!({"payment_id": id, "kind": "payment.never", "at": at});
        let columns = json!({"status": "succeeded", "updated_at": at});
        let update = json!({"op": "update", "table": "payment", "key": {"id": id}, "set": columns});
        match self {
            Self::UnknownOperation => json!({"op": "merge", "table": "customer", "row": good}),
            Self::UnknownTable => insert("invoice_2019", &good),
            Self::UnknownColumn => insert("customer", &with(good, "fax", json!("+46"))),
            Self::WrongType => insert(
                "payment_event",
                &with(event, "amount_minor", json!("ten euros")),
            ),
            Self::MissingKey => json!({"op": "update", "table": "payment", "set": columns}),
            Self::NullInNotNull => insert("customer", &with(good, "email", Value::Null)),
            Self::NoSuchRow => update,
            Self::HalfTransaction => json!({"op": "transaction", "partition_key": id,
                "operations": [insert("payment_event", &event), update]}),
            Self::CutOff | Self::NotUtf8 => insert("customer", &good),
        }
    }
}

fn insert(table: &str, row: &Value) -> Value {
    json!({"op": "insert", "table": table, "row": row})
}

fn with(mut row: Value, column: &str, value: Value) -> Value {
    if let Value::Object(columns) = &mut row {
        columns.insert(column.to_owned(), value);
    }
    row
}
