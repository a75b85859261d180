//! `tidegate drain audit`: do the rows say what the entries said?

use std::process::ExitCode;

use serde_json::json;
use tidegate_drain::audit::{Audit, audit};

use crate::config::Settings;
use crate::output::{self, count};
use crate::table::{Column, Table};
use crate::{connect, failure};

/// Compares a sample of rows with their last operations; the exit code says whether all agree.
///
/// # Errors
/// Those of the store and the sink.
pub(crate) async fn run(
    sample: usize,
    json: bool,
    settings: &Settings,
) -> miette::Result<ExitCode> {
    let store = connect::store(settings).await?;
    let sink = connect::prepared_sink(settings).await?;
    let audits = audit(&*store, &*sink, &settings.drain, sample)
        .await
        .map_err(failure::drain)?;
    let is_right = audits.iter().all(|audit| audit.differences.is_empty());
    if json {
        let shards = audits.iter().map(to_json).collect::<Vec<_>>();
        output::print_json(&json!({ "agrees": is_right, "shards": shards }))?;
    } else {
        output::print(&text(&audits))?;
    }
    Ok(if is_right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn to_json(audit: &Audit) -> serde_json::Value {
    let differences = audit
        .differences
        .iter()
        .map(|it| json!({ "entry": it.entry.to_string(), "table": it.table, "reason": it.reason }));
    json!({
        "shard": audit.shard,
        "entries": audit.entries,
        "rows": audit.rows,
        "untold": audit.untold,
        "differences": differences.collect::<Vec<_>>(),
    })
}

fn text(audits: &[Audit]) -> String {
    let sum = |of: fn(&Audit) -> u64| audits.iter().map(of).sum::<u64>();
    let (entries, rows, untold) = (sum(|it| it.entries), sum(|it| it.rows), sum(|it| it.untold));
    let differing = sum(|it| it.differences.len() as u64);
    let mut text = String::new();
    if differing > 0 {
        let mut table = Table::new([
            Column::Number("shard"),
            Column::Text("entry"),
            Column::Text("table"),
            Column::Text("difference"),
        ]);
        for audit in audits {
            for it in &audit.differences {
                let (entry, reason) = (it.entry.to_string(), it.reason.to_owned());
                table.row([audit.shard.to_string(), entry, it.table.clone(), reason]);
            }
        }
        text = table.render();
    }
    text.push_str(&format!(
        "{} rows of {} entries that are still in the stream: {} differ, of {} nothing can be told\n",
        count(rows),
        count(entries),
        count(differing),
        count(untold)
    ));
    text
}
