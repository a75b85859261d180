//! Operations as they travel: the JSON of the `typed_sql` field.
//!
//! Parsing borrows from the payload and keeps each value as the JSON text it was sent as, so that
//! a number is never squeezed through a float on its way to a NUMERIC column. What a value means
//! is decided later, by the type of its column.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::rejection::{Code, Rejection};

/// The most row operations one `transaction` may hold.
pub const TRANSACTION_OPERATIONS_MAX: usize = 1_000;

/// One operation: what one entry asks for, applied whole or not at all.
#[derive(Debug)]
pub struct Operation<'a> {
    /// Decides the shard; without it, the key of the first row decides.
    pub partition_key: Option<Cow<'a, str>>,
    /// What is done, in order; more than one for a `transaction`.
    pub rows: Vec<RowOperation<'a>>,
}

/// One change of one row.
#[derive(Debug)]
pub struct RowOperation<'a> {
    /// What is done to the row.
    pub verb: Verb,
    /// The table's schema; the sink's default schema where it is absent.
    pub schema: Option<Cow<'a, str>>,
    /// The table.
    pub table: Cow<'a, str>,
    /// The key of an `update` or a `delete`; empty otherwise.
    pub key: Columns<'a>,
    /// The row of an `insert` or an `upsert`, the changed columns of an `update`.
    pub values: Columns<'a>,
}

/// What is done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// A new row; one with the same key is a conflict.
    Insert,
    /// A new row, or the given columns of the one that is there.
    Upsert,
    /// The given columns of a row that is there.
    Update,
    /// No row any more.
    Delete,
}

/// Column names and their values as JSON text, in the order they were sent.
#[derive(Debug, Default)]
pub struct Columns<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Operation<'a> {
    /// Reads an operation from the bytes of a `typed_sql` field.
    ///
    /// # Errors
    /// A [`Rejection`] that says what is wrong and where.
    ///
    /// # Examples
    /// ```
    /// use tidegate_drain::Operation;
    /// let payload = br#"{"op":"delete","table":"invoice","key":{"id":7}}"#;
    /// let operation = Operation::parse(payload)?;
    /// assert_eq!(operation.rows[0].table, "invoice");
    /// # Ok::<(), tidegate_drain::Rejection>(())
    /// ```
    pub fn parse(payload: &'a [u8]) -> Result<Self, Rejection> {
        let text = std::str::from_utf8(payload).map_err(|e| {
            let at = e.valid_up_to();
            Rejection::new(
                Code::InvalidUtf8,
                format!("typed_sql is not UTF-8: the byte at {at} is wrong; send UTF-8 JSON"),
            )
        })?;
        let wire: Wire<'a> = serde_json::from_str(text).map_err(|e| {
            Rejection::new(
                Code::InvalidJson,
                format!("typed_sql is not an operation: {e}"),
            )
        })?;
        wire.into_operation()
    }
}

/// The JSON object, before its fields are held against its `op`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    schema: Option<Cow<'a, str>>,
    #[serde(borrow)]
    table: Option<Cow<'a, str>>,
    #[serde(borrow)]
    partition_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    row: Option<Columns<'a>>,
    #[serde(borrow)]
    key: Option<Columns<'a>>,
    #[serde(borrow)]
    set: Option<Columns<'a>>,
    #[serde(borrow)]
    operations: Option<Vec<Wire<'a>>>,
}

impl<'a> Wire<'a> {
    fn into_operation(mut self) -> Result<Operation<'a>, Rejection> {
        let partition_key = self.partition_key.take();
        if self.op != "transaction" {
            return Ok(Operation {
                partition_key,
                rows: vec![self.into_row()?],
            });
        }
        let named = [
            ("schema", self.schema.is_some()),
            ("table", self.table.is_some()),
            ("row", self.row.is_some()),
            ("key", self.key.is_some()),
            ("set", self.set.is_some()),
        ];
        refuse_fields("transaction", &named)?;
        let operations = self.operations.unwrap_or_default();
        if operations.is_empty() || operations.len() > TRANSACTION_OPERATIONS_MAX {
            return Err(Rejection::new(
                Code::InvalidJson,
                format!(
                    "a transaction needs 1 to {TRANSACTION_OPERATIONS_MAX} \"operations\", this one has {}",
                    operations.len()
                ),
            ));
        }
        let rows = operations
            .into_iter()
            .map(Wire::into_row)
            .collect::<Result<_, _>>()?;
        Ok(Operation {
            partition_key,
            rows,
        })
    }

    fn into_row(self) -> Result<RowOperation<'a>, Rejection> {
        let verb = self.verb()?;
        let op = self.op;
        let is_keyed = matches!(verb, Verb::Update | Verb::Delete);
        let refused = [
            ("operations", self.operations.is_some()),
            ("row", self.row.is_some() && is_keyed),
            ("key", self.key.is_some() && !is_keyed),
            ("set", self.set.is_some() && verb != Verb::Update),
            // Inside a transaction only the outer key can decide the shard.
            ("partition_key", self.partition_key.is_some()),
        ];
        refuse_fields(&op, &refused)?;
        let table = self.table.ok_or_else(|| missing(&op, "table"))?;
        let key = match self.key {
            Some(key) => key,
            None if is_keyed => return Err(missing(&op, "key")),
            None => Columns::default(),
        };
        let values = match verb {
            Verb::Insert | Verb::Upsert => self.row.ok_or_else(|| missing(&op, "row"))?,
            Verb::Update => self.set.ok_or_else(|| missing(&op, "set"))?,
            Verb::Delete => Columns::default(),
        };
        Ok(RowOperation {
            verb,
            schema: self.schema,
            table,
            key,
            values,
        })
    }

    fn verb(&self) -> Result<Verb, Rejection> {
        match &*self.op {
            "insert" => Ok(Verb::Insert),
            "upsert" => Ok(Verb::Upsert),
            "update" => Ok(Verb::Update),
            "delete" => Ok(Verb::Delete),
            "transaction" => Err(Rejection::new(
                Code::UnknownOperation,
                "a transaction can't hold another transaction; list the row operations only",
            )),
            other => Err(Rejection::new(
                Code::UnknownOperation,
                format!(
                    "op {other:?} is unknown; use insert, update, upsert, delete or transaction"
                ),
            )),
        }
    }
}

fn missing(op: &str, field: &str) -> Rejection {
    let code = if field == "key" {
        Code::InvalidKey
    } else {
        Code::InvalidJson
    };
    Rejection::new(code, format!("op {op:?} needs the field {field:?}"))
}

fn refuse_fields(op: &str, fields: &[(&str, bool)]) -> Result<(), Rejection> {
    match fields.iter().find(|(_, is_present)| *is_present) {
        Some((field, _)) => Err(Rejection::new(
            Code::InvalidJson,
            format!("op {op:?} has no field {field:?} at this place"),
        )),
        None => Ok(()),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Columns<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ColumnsVisitor;

        impl<'de> Visitor<'de> for ColumnsVisitor {
            type Value = Columns<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of column names and values")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Columns<'de>, M::Error> {
                let mut columns = Vec::with_capacity(map.size_hint().unwrap_or(32));
                while let Some(Name(name)) = map.next_key()? {
                    if name.len() > COLUMN_NAME_BYTES_MAX {
                        return Err(M::Error::custom("a column's name is too long"));
                    }
                    columns.push((name, map.next_value::<&RawValue>()?));
                }
                Ok(Columns(columns))
            }
        }

        deserializer.deserialize_map(ColumnsVisitor)
    }
}

/// More than any database allows a name to have.
const COLUMN_NAME_BYTES_MAX: usize = 1_024;

/// Borrowed where the name has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(payload: &str) -> Rejection {
        Operation::parse(payload.as_bytes()).expect_err("must be rejected")
    }

    #[test]
    fn each_verb_is_read() {
        let insert = br#"{"op":"insert","table":"t","row":{"a":1.10}}"#;
        let operation = Operation::parse(insert).expect("an operation");
        assert_eq!(operation.rows[0].verb, Verb::Insert);
        assert_eq!(operation.rows[0].values.0[0].1.get(), "1.10");
        let update = br#"{"op":"update","schema":"s","table":"t","key":{"id":1},"set":{"a":2}}"#;
        let operation = Operation::parse(update).expect("an operation");
        assert_eq!(operation.rows[0].schema.as_deref(), Some("s"));
        let both = br#"{"op":"transaction","partition_key":"p","operations":[
            {"op":"upsert","table":"t","row":{"id":1}},{"op":"delete","table":"t","key":{"id":2}}]}"#;
        let operation = Operation::parse(both).expect("an operation");
        assert_eq!(
            (operation.rows.len(), operation.partition_key.as_deref()),
            (2, Some("p"))
        );
    }

    #[test]
    fn each_fault_has_its_reason() {
        let cases = [
            ("{", Code::InvalidJson, "EOF"),
            (
                r#"{"op":"merge","table":"t"}"#,
                Code::UnknownOperation,
                "merge",
            ),
            (
                r#"{"op":"insert","row":{}}"#,
                Code::InvalidJson,
                "\"table\"",
            ),
            (
                r#"{"op":"update","table":"t","set":{"a":1}}"#,
                Code::InvalidKey,
                "\"key\"",
            ),
            (
                r#"{"op":"insert","table":"t","row":{},"key":{}}"#,
                Code::InvalidJson,
                "no field",
            ),
            (
                r#"{"op":"insert","table":"t","row":{},"x":1}"#,
                Code::InvalidJson,
                "unknown field",
            ),
            (
                r#"{"op":"transaction","operations":[]}"#,
                Code::InvalidJson,
                "1 to",
            ),
            (
                r#"{"op":"transaction","operations":[{"op":"transaction","operations":[]}]}"#,
                Code::UnknownOperation,
                "another transaction",
            ),
            (r#"[1]"#, Code::InvalidJson, "operation"),
        ];
        for (payload, code, part) in cases {
            let rejection = rejection(payload);
            assert_eq!(rejection.code, code, "{payload}: {rejection}");
            assert!(rejection.reason.contains(part), "{payload}: {rejection}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_named() {
        let rejection = Operation::parse(b"{\"op\":\"\xff\"}").expect_err("must be rejected");
        assert_eq!(rejection.code, Code::InvalidUtf8);
        assert!(rejection.reason.contains("byte at 7"), "{rejection}");
    }
}
