//! Letters: a dead letter, and everything else that is held, as people and machines see it.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tidegate_drain::Operation;
use tidegate_drain::dead_letter::{DeadLetterFilter, LetterId, StoredLetter};
use tidegate_drain::envelope::{GLOBAL_ID, PUSHED_AT, QUERY, REQUEST_ID, TYPED_SQL};
use tidegate_drain::held::HeldState;
use tidegate_store::StreamName;

use super::json_text::pretty;
use crate::output::{clean, moment};
use crate::table::{Column, Table};

/// Which letters: of these states, or all.
pub(super) fn filter(
    stream: &StreamName,
    states: &[HeldState],
    count_max: u32,
) -> DeadLetterFilter {
    DeadLetterFilter {
        stream: stream.clone(),
        states: states.to_vec(),
        id: None,
        count_max,
    }
}

/// The one letter of this name.
pub(super) fn filter_one(stream: &StreamName, id: LetterId) -> DeadLetterFilter {
    DeadLetterFilter {
        id: Some(id),
        ..filter(stream, &[], 1)
    }
}

/// Letters as a table.
pub(super) fn table(letters: &[StoredLetter]) -> String {
    let mut table = Table::new([
        Column::Text("id"),
        Column::Text("state"),
        Column::Text("code"),
        Column::Text("table"),
        Column::Text("since"),
        Column::Cut("reason"),
    ]);
    for letter in letters {
        table.row([
            letter.id.to_string(),
            letter.state.as_str().to_owned(),
            code(letter),
            table_name(letter).unwrap_or_else(|| "-".to_owned()),
            moment(letter.since_ms),
            letter.reason.clone(),
        ]);
    }
    table.render()
}

/// A letter as one line of a list in JSON: everything but its operation.
pub(super) fn brief_json(letter: &StoredLetter) -> Value {
    json!({
        "id": letter.id.to_string(),
        "shard": letter.id.shard,
        "entry_id": letter.id.entry.to_string(),
        "state": letter.state.as_str(),
        "code": letter.code,
        "sqlstate": letter.sqlstate,
        "reason": letter.reason,
        "table": table_name(letter),
        "since_ms": letter.since_ms,
        "attempts": letter.attempts,
    })
}

/// A letter with its operation. The operation is a JSON value where it is one, with every digit
/// as it was sent, and a text where it is not; none where the entry has none.
pub(super) fn full_json(letter: &StoredLetter) -> serde_json::Result<String> {
    let mut object = brief_json(letter);
    let envelope = &letter.envelope;
    for (key, field) in [
        ("request_id", REQUEST_ID),
        ("global_id", GLOBAL_ID),
        ("pushed_at", PUSHED_AT),
    ] {
        if let Some(object) = object.as_object_mut() {
            object.insert(key.to_owned(), envelope.text(field).into());
        }
    }
    let fields: Value = serde_json::from_str(&envelope.to_json())?;
    let operation = match payload(letter) {
        None => RawValue::from_string("null".to_owned())?,
        Some(text) => match RawValue::from_string(text.clone()) {
            Ok(json) => json,
            Err(_) => serde_json::value::to_raw_value(&text)?,
        },
    };
    #[derive(serde::Serialize)]
    struct Full {
        #[serde(flatten)]
        known: Value,
        operation: Box<RawValue>,
        fields: Value,
    }
    serde_json::to_string(&Full {
        known: object,
        operation,
        fields,
    })
}

/// A letter with everything that is known of it.
pub(super) fn full_text(letter: &StoredLetter) -> String {
    let envelope = &letter.envelope;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("{name:<11} {}\n", clean(value)));
    };
    line("id", &letter.id.to_string());
    line("state", letter.state.as_str());
    line("code", &code(letter));
    line("reason", &letter.reason);
    line(
        "table",
        &table_name(letter).unwrap_or_else(|| "-".to_owned()),
    );
    line("since", &moment(letter.since_ms));
    line("attempts", &letter.attempts.to_string());
    line("request_id", &envelope.text(REQUEST_ID));
    line("global_id", &envelope.text(GLOBAL_ID));
    line("pushed_at", &pushed_at(letter));
    for (name, value) in &envelope.fields {
        let known = [REQUEST_ID, GLOBAL_ID, PUSHED_AT, TYPED_SQL, QUERY];
        if !known.contains(&&name[..]) {
            line(
                &String::from_utf8_lossy(name),
                &String::from_utf8_lossy(value),
            );
        }
    }
    let operation = match payload(letter) {
        None => "(the entry has neither typed_sql nor query)".to_owned(),
        Some(json) if serde_json::from_str::<&RawValue>(&json).is_ok() => pretty(&json),
        Some(text) => text,
    };
    text.push_str(&format!("operation\n{}\n", clean(&operation)));
    text
}

/// The code, with the database's own where it spoke.
fn code(letter: &StoredLetter) -> String {
    match &letter.sqlstate {
        Some(sqlstate) => format!("{} ({sqlstate})", letter.code),
        None => letter.code.clone(),
    }
}

/// The table of the operation's first row, where it can be read.
fn table_name(letter: &StoredLetter) -> Option<String> {
    let payload = payload(letter)?;
    let operation = Operation::parse(payload.as_bytes()).ok()?;
    let row = operation.rows.first()?;
    Some(match &row.schema {
        Some(schema) => format!("{schema}.{}", row.table),
        None => row.table.to_string(),
    })
}

fn payload(letter: &StoredLetter) -> Option<String> {
    let field = |wanted: &[u8]| {
        let mut fields = letter.envelope.fields.iter();
        fields.find(|(name, _)| *name == wanted)
    };
    let (_, value) = field(TYPED_SQL).or_else(|| field(QUERY))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn pushed_at(letter: &StoredLetter) -> String {
    let text = letter.envelope.text(PUSHED_AT);
    match text.parse::<u64>() {
        Ok(seconds) => moment(seconds.saturating_mul(1_000)),
        Err(_) => text,
    }
}
