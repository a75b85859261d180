//! `tidegate drain plan --diff`: the rows that a file of operations would change, as they are and as
//! they would become. The database is only read.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use tidegate_drain::diff::{Effect, Overlay, RowDiff};
use tidegate_drain::envelope::{Envelope, fields};
use tidegate_drain::{Rejection, preview};
use tidegate_store::EntryId;

use super::lines::Lines;
use crate::config::Settings;
use crate::output::{self, clean, things};
use crate::table::{Column, Table};
use crate::{connect, failure};

/// The most characters of a value that a table shows.
const VALUE_CHARACTERS_MAX: usize = 40;

/// How the answer is printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// As one JSON object.
    pub(crate) json: bool,
    /// Without the rows' values.
    pub(crate) hide_values: bool,
}

/// Looks at what a file would change; the exit code says whether every line can be applied as far
/// as can be told.
///
/// # Errors
/// A file that can't be read, and the sink's errors.
pub(crate) async fn run(file: &str, form: Form, settings: &Settings) -> miette::Result<ExitCode> {
    let options = &settings.drain;
    let mut lines = Lines::open(file, options.entry_bytes_max)?;
    let sink = connect::sink(settings).await?;
    let catalog = options.catalog(&*sink).await.map_err(failure::drain)?;
    let (mut overlay, mut rejected) = (Overlay::default(), Vec::new());
    while let Some(batch) = lines.next_batch()? {
        for line in batch {
            let envelope = Envelope {
                id: EntryId::new(line.number, 0),
                fields: fields("", "", line.bytes, SystemTime::UNIX_EPOCH),
            };
            match preview::unit(&catalog, options, envelope) {
                Ok(unit) => overlay.add(&unit).map_err(failure::drain)?,
                Err(rejection) => rejected.push((line.number, rejection)),
            }
        }
    }
    let diffs = overlay.diff(&*sink).await.map_err(failure::drain)?;
    if form.json {
        output::print_json(&to_json(&diffs, &rejected, form.hide_values))?;
    } else {
        output::print(&text(&diffs, &rejected, form.hide_values))?;
    }
    let is_bad = |diff: &RowDiff| matches!(diff.effect, Effect::Conflict | Effect::Missing);
    Ok(if rejected.is_empty() && !diffs.iter().any(is_bad) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn to_json(diffs: &[RowDiff], rejected: &[(u64, Rejection)], hide_values: bool) -> Value {
    let row = |diff: &RowDiff| {
        let mut row = json!({
            "line": diff.first.ms,
            "table": table_name(diff),
            "effect": diff.effect.as_str(),
            "may_differ": diff.may_differ,
            "columns": changed(diff).map(|(name, _)| name).collect::<Vec<_>>(),
        });
        if let Some(row) = row.as_object_mut().filter(|_| !hide_values) {
            let key: Map<String, Value> = diff
                .key()
                .map(|(column, value)| (column.name.clone(), json!(value)))
                .collect();
            let columns = || diff.table.columns.iter().zip(&diff.columns);
            let old: Map<String, Value> = columns()
                .map(|(column, glance)| (column.name.clone(), json!(glance.old)))
                .collect();
            let new: Map<String, Value> = columns()
                .filter_map(|(column, glance)| {
                    Some((column.name.clone(), json!(glance.new.as_ref()?)))
                })
                .collect();
            row.insert("key".to_owned(), Value::Object(key));
            row.insert("row".to_owned(), json!(diff.is_there().then_some(old)));
            let is_gone = diff.effect == Effect::Delete;
            row.insert("given".to_owned(), json!((!is_gone).then_some(new)));
        }
        row
    };
    let rejection = |(line, rejection): &(u64, Rejection)| {
        json!({
            "line": line,
            "code": rejection.code.as_str(),
            "reason": rejection.reason,
        })
    };
    json!({
        "rows": diffs.iter().map(row).collect::<Vec<_>>(),
        "dead_letters": rejected.iter().map(rejection).collect::<Vec<_>>(),
    })
}

fn text(diffs: &[RowDiff], rejected: &[(u64, Rejection)], hide_values: bool) -> String {
    let mut table = Table::new([
        Column::Number("line"),
        Column::Text("table"),
        Column::Text("key"),
        Column::Text("effect"),
        Column::Cut("columns"),
    ]);
    let mut sums: BTreeMap<Effect, u64> = BTreeMap::new();
    for diff in diffs {
        *sums.entry(diff.effect).or_default() += 1;
        let key = diff.key().map(|(column, value)| match value {
            Some(value) if !hide_values => format!("{}={}", column.name, short(value)),
            _ => column.name.clone(),
        });
        let columns: Vec<String> = changed(diff)
            .map(|(name, change)| match change {
                _ if hide_values => name.to_owned(),
                (old, new) if diff.is_there() => {
                    format!("{name}: {} -> {}", shown(old), shown(new))
                }
                (_, new) => format!("{name}: {}", shown(new)),
            })
            .collect();
        let mark = if diff.may_differ { " (?)" } else { "" };
        table.row([
            diff.first.ms.to_string(),
            table_name(diff),
            key.collect::<Vec<_>>().join(" "),
            format!("{}{mark}", diff.effect.as_str()),
            columns.join(", "),
        ]);
    }
    let mut text = if diffs.is_empty() {
        String::new()
    } else {
        table.render()
    };
    let sums: Vec<String> = sums
        .iter()
        .map(|(effect, count)| format!("{} {}", output::count(*count), effect.as_str()))
        .collect();
    text.push_str(&format!(
        "-- {}{}{}; nothing was changed\n",
        things(diffs.len() as u64, "row"),
        if sums.is_empty() { "" } else { ": " },
        sums.join(", ")
    ));
    if diffs.iter().any(|diff| diff.may_differ) {
        text.push_str("-- (?) triggers or a version column may make something else of it\n");
    }
    for (line, rejection) in rejected {
        let reason = clean(&rejection.to_string()).replace('\n', " ");
        text.push_str(&format!(
            "-- line {line} would be a dead letter: {reason}\n"
        ));
    }
    text
}

fn table_name(diff: &RowDiff) -> String {
    format!("{}.{}", diff.table.schema, diff.table.name)
}

/// The names of the columns that would change, with both values; of a row that goes, all of them.
fn changed(diff: &RowDiff) -> impl Iterator<Item = (&str, (Option<&str>, Option<&str>))> {
    let is_gone = diff.effect == Effect::Delete;
    let columns = diff.table.columns.iter().zip(&diff.columns);
    columns.filter_map(move |(column, glance)| {
        let new = match &glance.new {
            _ if is_gone => None,
            Some(new) if !glance.is_same => new.as_deref(),
            _ => return None,
        };
        Some((column.name.as_str(), (glance.old.as_deref(), new)))
    })
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| format!("{:?}", short(value)))
}

fn short(value: &str) -> String {
    let mut short: String = value.chars().take(VALUE_CHARACTERS_MAX).collect();
    if short.len() < value.len() {
        short.push('…');
    }
    short
}
