//! The ancestor's older form: an operation on one of its own types, in the field `typed_sql`.
//!
//! ```text
//! {"db_op":"insert","data":{"insertable":{"table":"refund","data":{…}}}}
//! {"db_op":"update","data":{"updatable":{"table":"refund_update","data":{"orig":{…},"update_data":…}}}}
//! ```
//!
//! It is read as the ancestor's own drainer does it. A null is left out: an insert leaves the
//! column to its default, an update leaves it as it is. The row to update is the one whose primary
//! key `orig` has. Where `update_data` is a variant, the [mapping](super::mapping) says which columns it
//! sets. Pure.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tidegate_store::EntryId;

use super::draft::{Draft, DraftRow, Refused, Value, Values};
use super::mapping::{Mapping, Place, TableMapping, Variant};
use super::query::format::{Format, Takes};
use crate::catalog::{Catalog, Table};
use crate::operation::{Columns, Verb};
use crate::rejection::{Code, Rejection};

/// The first field of the ancestor's form.
const DB_OP: &[u8] = b"\"db_op\"";
/// What the tag of an update adds to that of its table.
const UPDATE_SUFFIX: &str = "_update";

/// Whether a payload is in the ancestor's form. Tidegate's own begins with another field, so it
/// is told by its first bytes, without reading the rest.
pub(crate) fn is_db_operation(payload: &[u8]) -> bool {
    let start = payload.trim_ascii_start();
    let Some(start) = start.strip_prefix(b"{").map(<[u8]>::trim_ascii_start) else {
        return false;
    };
    if start.starts_with(b"\"op\"") {
        return false;
    }
    if start.starts_with(DB_OP) {
        return true;
    }
    #[derive(Deserialize)]
    struct Probe {
        db_op: Option<IgnoredAny>,
        op: Option<IgnoredAny>,
    }
    start.windows(DB_OP.len()).any(|window| window == DB_OP)
        && serde_json::from_slice::<Probe>(payload)
            .is_ok_and(|probe| probe.db_op.is_some() && probe.op.is_none())
}

#[derive(Deserialize)]
struct DbOperation<'a> {
    #[serde(borrow)]
    db_op: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Insert<'a> {
    #[serde(borrow)]
    insertable: Insertable<'a>,
}

#[derive(Deserialize)]
struct Insertable<'a> {
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow)]
    data: Columns<'a>,
}

#[derive(Deserialize)]
struct Update<'a> {
    #[serde(borrow)]
    updatable: Updatable<'a>,
}

#[derive(Deserialize)]
struct Updatable<'a> {
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow)]
    data: UpdateData<'a>,
}

#[derive(Deserialize)]
struct UpdateData<'a> {
    #[serde(borrow)]
    orig: Columns<'a>,
    #[serde(borrow)]
    update_data: &'a RawValue,
}

/// Reads an operation of the ancestor.
pub(super) fn read<'a>(
    payload: &'a [u8],
    id: EntryId,
    catalog: &'a Catalog,
    mapping: &'a Mapping,
) -> Result<Draft<'a>, Refused<'a>> {
    let text = std::str::from_utf8(payload).map_err(|error| {
        let at = error.valid_up_to();
        Rejection::new(
            Code::InvalidUtf8,
            format!("typed_sql is not UTF-8: the byte at {at} is wrong; send UTF-8 JSON"),
        )
    })?;
    let operation: DbOperation<'a> = read_json(text, "an operation of Hyperswitch")?;
    let row = match &*operation.db_op {
        "insert" => {
            let insert: Insert<'a> = read_json(operation.data.get(), "an insert of Hyperswitch")?;
            Some(
                Reader::new(&insert.insertable.table, catalog, mapping)?
                    .insert(insert.insertable.data)?,
            )
        }
        "update" => {
            let update: Update<'a> = read_json(operation.data.get(), "an update of Hyperswitch")?;
            let tag = &update.updatable.table;
            let tag = tag.strip_suffix(UPDATE_SUFFIX).unwrap_or(tag);
            Reader::new(tag, catalog, mapping)?.update(update.updatable.data, id)?
        }
        other => {
            let reason = format!("db_op {other:?} is unknown; use insert or update");
            return Err(Rejection::new(Code::UnknownOperation, reason).into());
        }
    };
    Ok(Draft {
        rows: row.into_iter().collect(),
    })
}

/// A variant's name and its content, where it has one.
type NamedVariant<'a> = (Cow<'a, str>, Option<&'a RawValue>);

/// Reads what belongs to one table.
struct Reader<'a> {
    table: &'a Table,
    tag: String,
    mapping: Option<&'a TableMapping>,
}

impl<'a> Reader<'a> {
    fn new(tag: &str, catalog: &'a Catalog, mapping: &'a Mapping) -> Result<Self, Rejection> {
        let table = catalog
            .table(None, mapping.table_name(tag))
            .map_err(|mut rejection| {
                let hint =
                    format!("; a mapping file can name another one: [tables.{tag}] table = …");
                rejection.reason.push_str(&hint);
                rejection
            })?;
        Ok(Self {
            table,
            tag: tag.to_owned(),
            mapping: mapping.table(tag),
        })
    }

    fn insert(&self, data: Columns<'a>) -> Result<DraftRow<'a>, Refused<'a>> {
        Ok(self.row(Verb::Insert, Vec::new(), self.values(data, None)?))
    }

    /// None where nothing is to be changed, which the ancestor takes for done.
    fn update(
        &self,
        data: UpdateData<'a>,
        id: EntryId,
    ) -> Result<Option<DraftRow<'a>>, Refused<'a>> {
        let key = self.key(data.orig)?;
        match self.changes(data.update_data, id) {
            Ok(values) if values.is_empty() => Ok(None),
            Ok(values) => Ok(Some(self.row(Verb::Update, key, values))),
            Err(rejection) => {
                // Later updates of the row must not overtake this one.
                let row = DraftRow::keyed(
                    Cow::Borrowed(&self.table.name),
                    Some(Cow::Borrowed(&self.table.schema)),
                    key,
                );
                Err(Refused {
                    rejection,
                    rows: Some(Draft { rows: vec![row] }),
                })
            }
        }
    }

    fn changes(&self, update_data: &'a RawValue, id: EntryId) -> Result<Values<'a>, Rejection> {
        let Some((name, content)) = self.variant(update_data)? else {
            return self.values(read_json(update_data.get(), "an update's data")?, None);
        };
        let variants = self.mapping.map(|mapping| &mapping.variants);
        let variant = variants
            .and_then(|variants| variants.get(&*name))
            .ok_or_else(|| self.unmapped(&name))?;
        let mut values = match content {
            Some(content) => {
                let what = format!("the content of the variant {name:?}");
                self.values(read_json(content.get(), &what)?, Some(variant))?
            }
            None => Vec::new(),
        };
        for column in &variant.now {
            values.push((Cow::Borrowed(column), Value::Made(moment(id)?)));
        }
        for (column, constant) in &variant.set {
            values.push((Cow::Borrowed(column), Value::Lent(&constant.0)));
        }
        Ok(values)
    }

    /// The variant's name and content, where the data is one: a text, or an object with one field
    /// that is called like a type and not like a column.
    fn variant(&self, data: &'a RawValue) -> Result<Option<NamedVariant<'a>>, Rejection> {
        if data.get().starts_with('"') {
            let name: Cow<'a, str> = read_json::<Name<'a>>(data.get(), "an update's data")?.0;
            return Ok(Some((name, None)));
        }
        let columns: Columns<'a> = read_json(data.get(), "an update's data")?;
        let Ok([(name, content)]) = <[_; 1]>::try_from(columns.0) else {
            return Ok(None);
        };
        let is_mapped = self
            .mapping
            .is_some_and(|mapping| mapping.variants.contains_key(&*name));
        let is_column = self.table.columns.iter().any(|column| column.name == *name);
        let is_type = name.starts_with(|first: char| first.is_ascii_uppercase());
        Ok((is_mapped || is_type && !is_column).then_some((name, Some(content))))
    }

    fn unmapped(&self, variant: &str) -> Rejection {
        Rejection::new(
            Code::Unmapped,
            format!(
                "the update of table {:?} has the variant {variant:?}, and the mapping does not \
                 say which columns it sets; add [tables.{}.variants.{variant}] to the mapping file \
                 (hyperswitch.mapping), then retry",
                self.table.name, self.tag
            ),
        )
    }

    /// The primary key's values of the row as it was.
    fn key(&self, orig: Columns<'a>) -> Result<Values<'a>, Rejection> {
        let mut key = Vec::with_capacity(self.table.primary_key.len());
        for (field, json) in orig.0 {
            let Some(column) = self.column(&field, None) else {
                continue;
            };
            let mut columns = self.table.primary_key.iter();
            let is_key = columns.any(|index| {
                let of_key = self.table.columns.get(*index);
                of_key.is_some_and(|of_key| of_key.name == column)
            });
            if is_key {
                let value = self.value(&field, json, &column)?;
                key.push((column, value));
            }
        }
        Ok(key)
    }

    fn values(
        &self,
        fields: Columns<'a>,
        variant: Option<&'a Variant>,
    ) -> Result<Values<'a>, Rejection> {
        let mut values = Vec::with_capacity(fields.0.len());
        for (field, json) in fields.0 {
            if json.get() == "null" {
                continue;
            }
            if let Some(column) = self.column(&field, variant) {
                let value = self.value(&field, json, &column)?;
                values.push((column, value));
            }
        }
        Ok(values)
    }

    /// The column of a field; none where it has none.
    fn column(&self, field: &Cow<'a, str>, variant: Option<&'a Variant>) -> Option<Cow<'a, str>> {
        match self.mapping.map(|mapping| mapping.place(variant, field)) {
            None | Some(Place::Same) => Some(field.clone()),
            Some(Place::Column(column)) => Some(Cow::Borrowed(column)),
            Some(Place::Ignored) => None,
        }
    }

    /// The value as its column takes it.
    fn value(&self, field: &str, json: &'a RawValue, column: &str) -> Result<Value<'a>, Rejection> {
        let json = match self.mapping {
            Some(mapping) if mapping.unwraps(field) => unwrap(json),
            _ => json,
        };
        let text = json.get();
        if text.starts_with('[') && self.holds_bytes(column) {
            let bytes: Vec<u8> = read_json(text, "a list of bytes")
                .map_err(|rejection| rejection.in_column(&self.table.name, column))?;
            return Ok(Value::Made(byte_string(&bytes)?));
        }
        if let Some(mapping) = self.mapping
            && mapping.has_values(column)
            && let Ok(Name(text)) = serde_json::from_str(text)
            && let Some(other) = mapping.value(column, &text)
        {
            return Ok(Value::Made(raw(other)?));
        }
        Ok(Value::Lent(json))
    }

    fn holds_bytes(&self, column: &str) -> bool {
        let mut columns = self.table.columns.iter();
        columns
            .find(|of_table| of_table.name == column)
            .is_some_and(|column| column.codec.takes() == Takes::Only(Format::Bytes))
    }

    fn row(&self, verb: Verb, key: Values<'a>, values: Values<'a>) -> DraftRow<'a> {
        DraftRow {
            verb,
            schema: Some(Cow::Borrowed(&self.table.schema)),
            table: Cow::Borrowed(&self.table.name),
            key,
            values,
        }
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// What is inside of an object with one field; anything else as it is.
fn unwrap(json: &RawValue) -> &RawValue {
    let inner: Result<Columns<'_>, _> = serde_json::from_str(json.get());
    match inner.map(|columns| <[_; 1]>::try_from(columns.0)) {
        Ok(Ok([(_, inner)])) => inner,
        _ => json,
    }
}

/// When the entry was pushed. The drainer's own clock would give a retried entry another time.
fn moment(id: EntryId) -> Result<Box<RawValue>, Rejection> {
    let ms = i64::try_from(id.ms).unwrap_or(i64::MAX);
    let moment = Timestamp::from_millisecond(ms).map_err(|_beyond| {
        Rejection::new(Code::OutOfRange, "the entry's id is beyond the calendar")
    })?;
    raw(&moment.to_string())
}

fn byte_string(bytes: &[u8]) -> Result<Box<RawValue>, Rejection> {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    raw(&format!("\\x{digits}"))
}

fn raw(text: &str) -> Result<Box<RawValue>, Rejection> {
    serde_json::value::to_raw_value(text)
        .map_err(|error| Rejection::new(Code::InvalidJson, error.to_string()))
}

fn read_json<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, Rejection> {
    serde_json::from_str(text).map_err(|error| {
        Rejection::new(
            Code::InvalidJson,
            format!("typed_sql is not {what}: {error}"),
        )
    })
}
